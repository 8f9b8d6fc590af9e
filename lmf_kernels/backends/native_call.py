"""Render calls as the packed structs that the compiled modules take, and what all compiled kernels refuse.

`csrc/common/params.h` has the structs. Each compiled module exports their layout, from which a `Packer` makes one
function per struct. Its keyword arguments are the members: a missing, unknown or mistyped one raises at once. A packed
call holds everything but the tensors' `addresses` and the number of threads, so it serves all calls whose tensors have
the same types, shapes and strides.
"""

import itertools
import operator
import struct
from array import array

import torch

from .. import build_info

HALVES = (torch.float16, torch.bfloat16)
DIFFERENTIABLE = ("fields", "weights", "skip")  # tensors with respect to which backward kernels compute gradients
_FLOAT32, _WITH_HALVES = (torch.float32,), (torch.float32, *HALVES)


def pack_functions(
    name,
    size,  # of the struct in bytes
    members,  # ((name, code of Python's struct module, offset in bytes), ...), in order
):
    """{name: function} for the nested structs of a C++ struct, and one under its own name for its plain members.

    Each function takes its members as keyword arguments and returns bytes. Joined in order, these are the struct. A
    function raises TypeError where a name is missing or unknown, and struct.error where a value has the wrong type.
    """
    by_nested = itertools.groupby(members, lambda row: row[0].rpartition(".")[0])
    groups = [(nested or name, list(rows)) for nested, rows in by_nested]
    ends = [rows[0][2] for _, rows in groups[1:]] + [size]
    return {group: _pack_function(group, rows, end) for (group, rows), end in zip(groups, ends, strict=True)}


def _pack_function(name, members, end):
    layout, at, names = "=", members[0][2], []
    for member, code, offset in members:
        if code != "x":  # else it comes with each call: zeros stand here
            layout += f"{offset - at}x{code}"
            at = offset + struct.calcsize("=" + code)
            names.append(member.rpartition(".")[2])
    parameters = "*, " * bool(names) + ", ".join(names)
    scope = {"pack": struct.Struct(f"{layout}{end - at}x").pack}
    # A class would take keywords three times slower.
    exec(f"def {name}({parameters}):\n    return pack({', '.join(names)})", scope)
    return scope[name]


class Packer:
    """Packs calls for one compiled module."""

    def __init__(self, module):
        structs, enums = module.structs, module.enums
        render = pack_functions("RenderCall", *structs["RenderCall"])
        if tuple(render) != ("fields", "skip", "out", "points", "RenderCall"):
            raise TypeError(f"RenderCall consists of {', '.join(render)}: pack them here in that order.")
        self._fields, self._skip, self._out, points, self._render_call = render.values()
        self._mlp = pack_functions("ModulatedMlp", *structs["ModulatedMlp"])["ModulatedMlp"]
        self._plain = pack_functions("PlainMlp", *structs["PlainMlp"])["PlainMlp"]
        self._c2f = pack_functions("C2fMlp", *structs["C2fMlp"])["C2fMlp"]
        self._gradients = pack_functions("ModulatedGradients", *structs["ModulatedGradients"])["ModulatedGradients"]
        bilinear = pack_functions("BilinearCall", *structs["BilinearCall"])
        self._bilinear_out, self._bilinear_call = bilinear["out"], bilinear["BilinearCall"]
        self._heads, self._epilogues = enums["Head"], enums["Epilogue"]
        self._elements, self._stores = ({getattr(torch, name): value for name, value in enums[enum].items()}
                                        for enum in ("Element", "Store"))
        self._no_skip = self._skip(element=0, stride_b=0, stride_c=0, stride_y=0, stride_x=0)
        self._points = points()

    def modulated_mlp(
        self,
        call,  # from `dense`, here and below
        strides,  # of the output
    ):
        """Bytes of a ModulatedCall."""
        spec = call.spec
        return self._render(call, strides) + self._mlp(
            element=self._elements[call.weights.dtype], head=self._heads[spec.head], in_dim=spec.in_dim,
            hidden=spec.widths[0], depth=len(spec.widths), ensemble=spec.ensemble)

    def plain_mlp(
        self,
        call,
        strides,  # of the output
    ):
        """Bytes of a PlainCall, then its widths."""
        spec = call.spec
        return self._render(call, strides) + self._plain(
            element=self._elements[call.weights.dtype], head=self._heads[spec.head], in_dim=spec.in_dim,
            depth=len(spec.widths), ensemble=spec.ensemble) + array("i", spec.widths).tobytes()

    def c2f_mlp(
        self,
        call,
        strides,  # of the output
    ):
        """Bytes of a C2fCall, then its coarse and its fine widths."""
        spec = call.spec
        cell_y, cell_x = call.family.seen_cell(call)
        return self._render(call, strides) + self._c2f(
            element=self._elements[call.weights.dtype], head=self._heads[spec.head], in_dim=spec.in_dim,
            coarse_depth=len(spec.coarse), fine_depth=len(spec.fine), cell_y=cell_y, cell_x=cell_x,
            linear_slices=spec.slicing == "linear", slice_ensemble=spec.slice_ensemble,
        ) + array("i", spec.coarse + spec.fine).tobytes()

    def modulated_gradients(
        self,
        gradients,  # {name of DIFFERENTIABLE: float32 tensor}
    ):
        """Bytes of a ModulatedGradients."""
        return self._gradients(**{name: gradients[name].data_ptr() if name in gradients else 0
                                  for name in DIFFERENTIABLE})

    def resize_bilinear(
        self,
        source,  # (B, rows, cols, 3) float32, contiguous
        out,  # (B, y, x, 3) float32 or uint8
        *,
        first, source_size, size, window, epilogue, threads,
    ):
        """Bytes of a BilinearCall. The arguments are those of `cmsr.bilinear.resized`."""
        batch, rows, cols, _ = source.shape
        to_b, to_y, to_x, to_c = out.stride()
        y0, x0, out_rows, out_cols = window
        return self._bilinear_out(
            data=out.data_ptr(), stride_b=to_b, stride_c=to_c, stride_y=to_y, stride_x=to_x, height=size[0],
            width=size[1], y0=y0, x0=x0, rows=out_rows, cols=out_cols, epilogue=self._epilogues[epilogue],
            store=self._stores[out.dtype],
        ) + self._bilinear_call(
            source=source.data_ptr(), batch=batch, rows=rows, cols=cols, y0=first[0], x0=first[1],
            full_rows=source_size[0], full_cols=source_size[1], threads=threads)

    def _render(self, call, strides):
        """Bytes of a RenderCall: the part that all families share."""
        fields, skip = call.fields, call.skip
        stride_b, stride_y, stride_x, _ = fields.stride()
        batch, rows, cols, _ = fields.shape
        if call.coord is None:
            lr_y0, lr_x0, lr_h, lr_w = call.lr
            (height, width), (y0, x0, out_rows, out_cols) = call.size, call.window
            to_b, to_c, to_y, to_x = strides if call.layout == "nchw" else [strides[axis] for axis in (0, 3, 1, 2)]
            rel_cell_y, rel_cell_x = call.rel_cell
        else:
            lr_y0, lr_x0, lr_h, lr_w = 0, 0, rows, cols
            height, width, y0, x0, out_rows, out_cols = 0, 0, 0, 0, 1, call.coord.shape[1]
            (to_b, to_x, to_c), to_y = strides, 0
            rel_cell_y = rel_cell_x = 0.0
        return b"".join((
            self._fields(element=self._elements[fields.dtype], stride_b=stride_b, stride_y=stride_y, stride_x=stride_x,
                         batch=batch, rows=rows, cols=cols, lr_h=lr_h, lr_w=lr_w, lr_y0=lr_y0, lr_x0=lr_x0),
            self._no_skip if skip is None else self._pack_skip(skip),
            self._out(stride_b=to_b, stride_c=to_c, stride_y=to_y, stride_x=to_x, height=height, width=width, y0=y0,
                      x0=x0, rows=out_rows, cols=out_cols, epilogue=self._epilogues[call.epilogue],
                      store=self._stores[call.dtype]),
            self._points,
            self._render_call(rel_cell_y=rel_cell_y, rel_cell_x=rel_cell_x),
        ))

    def _pack_skip(self, skip):
        stride_b, stride_c, stride_y, stride_x = skip.stride()
        return self._skip(element=self._elements[skip.dtype], stride_b=stride_b, stride_c=stride_c, stride_y=stride_y,
                          stride_x=stride_x)


def dense(call):
    """The call with fields of channel stride 1 and other tensors contiguous, as kernels read them; itself if it is so.
    """
    fields, weights, coord, cell = call.fields, call.weights, call.coord, call.cell
    given = fields, weights, coord, cell
    if fields.stride(3) != 1:
        fields = fields.contiguous()
    weights = weights.contiguous()
    if coord is not None:
        coord, cell = coord.contiguous(), cell.contiguous()
    if all(map(operator.is_, given, (fields, weights, coord, cell))):
        return call
    return call._replace(fields=fields, weights=weights, coord=coord, cell=cell)


def output_strides(call):
    """Strides of what a call renders into."""
    if call.out is not None:
        return call.out.stride()
    return tuple(itertools.accumulate(call.output_shape()[:0:-1], operator.mul, initial=1))[::-1]


def addresses(
    call,  # from `dense`
    out,  # call.output_shape()
):
    """What a compiled module takes beside the packed call. The tensors must stay alive until the kernel has run."""
    _, _, fields, weights, skip, coord, cell, *_, mask, _ = call
    return (fields.data_ptr(), weights.data_ptr(), 0 if skip is None else skip.data_ptr(),
            0 if coord is None else coord.data_ptr(), 0 if cell is None else cell.data_ptr(),
            0 if mask is None else mask.data_ptr(), out.data_ptr())


def entries(make, arranged=dense):
    """(run, prepare) of a kernel module, see `interface.Backend`.

    Args:
        make: make(call) gives render(call) for all calls whose tensors have the same types, shapes and strides.
        arranged: the call with tensors as the kernel reads them. It is itself if nothing has to be copied.
    """
    def run(call):
        call = arranged(call)
        return make(call)(call)

    def prepare(call):
        return make(call) if arranged(call) is call else None

    return run, prepare


def load_module(name):
    """(module, Packer, "") of the compiled module `name`, or (None, None, why it is missing)."""
    module, reason = build_info.load(name)
    if module is None:
        return None, None, f"the compiled module lmf_kernels.{name} cannot be imported: {reason}"
    try:
        return module, Packer(module), ""
    except (AttributeError, KeyError):  # it exports no structs, or not all of these
        return None, None, (f"the compiled module lmf_kernels.{name} was built from older sources; "
                            "install lmf_kernels again")


def refuse_common(call, halves):
    """The reason why a compiled kernel cannot take the call, or None. halves: it also takes HALVES."""
    allowed = _WITH_HALVES if halves else _FLOAT32
    for name, tensor, dtypes in (("fields", call.fields, allowed), ("weights", call.weights, allowed),
                                 ("skip", call.skip, allowed), ("coord", call.coord, _FLOAT32),
                                 ("cell", call.cell, _FLOAT32)):
        if tensor is not None and tensor.dtype not in dtypes:
            return f"{name} is {tensor.dtype}, the kernel takes {', '.join(map(str, dtypes))}"
    if call.dtype not in allowed and call.dtype != torch.uint8:
        return f"it stores {', '.join(map(str, (*allowed, torch.uint8)))}, not {call.dtype}"
    if call.spec.out_dim != 3:
        return f"it writes 3 channels, not {call.spec.out_dim}"
    return None


def refuse_gradients(wanted):
    """The reason why no backward kernel of the modulated family computes the gradients in `wanted`, or None."""
    others = [name for name in wanted if name not in DIFFERENTIABLE]
    return f"it makes no gradient of {' and '.join(others)}" if others else None


def before_epilogue(
    call,
    grad,  # like the call's output
    run,
):
    """The gradient with respect to the values before the epilogue. run(call) renders if these values are needed."""
    if call.epilogue == "none":
        return grad
    value = run(call._replace(dtype=torch.float32))  # values of exactly 0 or 1 count as clamped
    return torch.where((value > 0) & (value < 1), 0.5 * grad, 0)
