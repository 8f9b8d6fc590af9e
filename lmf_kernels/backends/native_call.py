"""Render calls as the packed structs that the compiled modules take, and what all compiled kernels refuse.

`csrc/common/params.h` has the structs. Each compiled module exports their layout, from which a `Packer` makes one
function per struct. Its keyword arguments are the members: a missing, unknown or mistyped one raises at once.
"""

import struct
from array import array
from itertools import groupby

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
    groups = [(nested or name, list(rows)) for nested, rows in groupby(members, lambda row: row[0].rpartition(".")[0])]
    ends = [rows[0][2] for _, rows in groups[1:]] + [size]
    return {group: _pack_function(group, rows, end) for (group, rows), end in zip(groups, ends, strict=True)}


def _pack_function(name, members, end):
    layout, at = "=", members[0][2]
    for _, code, offset in members:
        layout += f"{offset - at}x{code}"
        at = offset + struct.calcsize("=" + code)
    names = ", ".join(member.rpartition(".")[2] for member, _, _ in members)
    scope = {"pack": struct.Struct(f"{layout}{end - at}x").pack}
    exec(f"def {name}(*, {names}):\n    return pack({names})", scope)  # a class would take keywords three times slower
    return scope[name]


class Packer:
    """Packs calls for one compiled module."""

    def __init__(self, module):
        structs, enums = module.structs, module.enums
        render = pack_functions("RenderCall", *structs["RenderCall"])
        if tuple(render) != ("fields", "skip", "out", "points", "RenderCall"):
            raise TypeError(f"RenderCall consists of {', '.join(render)}: pack them here in that order.")
        self._fields, self._skip, self._out, self._points, self._render_call = render.values()
        self._mlp = pack_functions("ModulatedMlp", *structs["ModulatedMlp"])["ModulatedMlp"]
        self._plain = pack_functions("PlainMlp", *structs["PlainMlp"])["PlainMlp"]
        self._c2f = pack_functions("C2fMlp", *structs["C2fMlp"])["C2fMlp"]
        self._gradients = pack_functions("ModulatedGradients", *structs["ModulatedGradients"])["ModulatedGradients"]
        bilinear = pack_functions("BilinearCall", *structs["BilinearCall"])
        self._bilinear_out, self._bilinear_call = bilinear["out"], bilinear["BilinearCall"]
        self._heads, self._epilogues = enums["Head"], enums["Epilogue"]
        self._elements, self._stores = ({getattr(torch, name): value for name, value in enums[enum].items()}
                                        for enum in ("Element", "Store"))
        self._no_skip = self._skip(data=0, element=0, stride_b=0, stride_c=0, stride_y=0, stride_x=0)
        self._no_points = self._points(coord=0, cell=0)

    def modulated_mlp(
        self,
        call,
        out,  # call.output_shape()
        threads=1,
    ):
        """(bytes of a ModulatedCall, tensors to keep alive until the kernel has run)."""
        render, alive = self._render(call, out, threads)
        weights, spec = call.weights.contiguous(), call.spec
        mlp = self._mlp(weights=weights.data_ptr(), element=self._elements[weights.dtype], head=self._heads[spec.head],
                        in_dim=spec.in_dim, hidden=spec.widths[0], depth=len(spec.widths), ensemble=spec.ensemble)
        return render + mlp, (weights, alive)

    def plain_mlp(
        self,
        call,
        out,  # call.output_shape()
        threads=1,
    ):
        """(bytes of a PlainCall, what to keep alive until the kernel has run)."""
        render, alive = self._render(call, out, threads)
        weights, spec, widths = call.weights.contiguous(), call.spec, array("i", call.spec.widths)
        mlp = self._plain(weights=weights.data_ptr(), widths=widths.buffer_info()[0],
                          element=self._elements[weights.dtype], head=self._heads[spec.head], in_dim=spec.in_dim,
                          depth=len(widths), ensemble=spec.ensemble)
        return render + mlp, (weights, widths, alive)

    def c2f_mlp(
        self,
        call,
        out,  # call.output_shape()
        threads=1,
    ):
        """(bytes of a C2fCall, what to keep alive until the kernel has run)."""
        render, alive = self._render(call, out, threads)
        weights, spec = call.weights.contiguous(), call.spec
        coarse, fine = array("i", spec.coarse), array("i", spec.fine)
        cell_y, cell_x = call.family.seen_cell(call)
        mlp = self._c2f(
            weights=weights.data_ptr(), coarse=coarse.buffer_info()[0], fine=fine.buffer_info()[0],
            element=self._elements[weights.dtype], head=self._heads[spec.head], in_dim=spec.in_dim,
            coarse_depth=len(coarse), fine_depth=len(fine), cell_y=cell_y, cell_x=cell_x,
            linear_slices=spec.slicing == "linear", slice_ensemble=spec.slice_ensemble)
        return render + mlp, (weights, coarse, fine, alive)

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

    def _render(self, call, out, threads):
        """(bytes of a RenderCall, tensors to keep alive): the part that all families share."""
        fields, skip, coord, mask = call.fields, call.skip, call.coord, call.mask
        stride_b, stride_y, stride_x, stride_c = fields.stride()
        if stride_c != 1:
            fields = fields.contiguous()
            stride_b, stride_y, stride_x, _ = fields.stride()
        batch, rows, cols, _ = fields.shape
        if coord is None:
            cell, points = None, self._no_points
            lr_y0, lr_x0, lr_h, lr_w = call.lr
            (height, width), (y0, x0, out_rows, out_cols), to = call.size, call.window, out.stride()
            to_b, to_c, to_y, to_x = to if call.layout == "nchw" else (to[0], to[3], to[1], to[2])
            rel_cell_y, rel_cell_x = call.rel_cell
        else:
            coord, cell = coord.contiguous(), call.cell.contiguous()
            points = self._points(coord=coord.data_ptr(), cell=cell.data_ptr())
            lr_y0, lr_x0, lr_h, lr_w = 0, 0, rows, cols
            height, width, y0, x0, out_rows, out_cols = 0, 0, 0, 0, 1, coord.shape[1]
            (to_b, to_x, to_c), to_y = out.stride(), 0
            rel_cell_y = rel_cell_x = 0.0
        parts = (
            self._fields(data=fields.data_ptr(), element=self._elements[fields.dtype],
                         stride_b=stride_b, stride_y=stride_y, stride_x=stride_x, batch=batch, rows=rows, cols=cols,
                         lr_h=lr_h, lr_w=lr_w, lr_y0=lr_y0, lr_x0=lr_x0),
            self._no_skip if skip is None else self._pack_skip(skip),
            self._out(data=out.data_ptr(), stride_b=to_b, stride_c=to_c, stride_y=to_y, stride_x=to_x,
                      height=height, width=width, y0=y0, x0=x0, rows=out_rows, cols=out_cols,
                      epilogue=self._epilogues[call.epilogue], store=self._stores[call.dtype]),
            points,
            self._render_call(mask=0 if mask is None else mask.data_ptr(), rel_cell_y=rel_cell_y,
                              rel_cell_x=rel_cell_x, threads=threads),
        )
        return b"".join(parts), (fields, coord, cell, mask)

    def _pack_skip(self, skip):
        stride_b, stride_c, stride_y, stride_x = skip.stride()
        return self._skip(data=skip.data_ptr(), element=self._elements[skip.dtype],
                          stride_b=stride_b, stride_c=stride_c, stride_y=stride_y, stride_x=stride_x)


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
