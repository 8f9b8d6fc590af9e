"""A render call as the plain numbers that the compiled modules take. The order is that of csrc/common/params.h."""

import torch

from .call import EPILOGUES
from ..families.render_spec import HEADS

_STORES = {torch.float32: 0, torch.uint8: 1, torch.float16: 2, torch.bfloat16: 3}
_ELEMENTS = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}
HALVES = (torch.float16, torch.bfloat16)
DIFFERENTIATED = ("fields", "weights", "skip")  # what backward kernels make gradients of
_NO_SKIP = (0, 0, 0, 0, 0)
_FLOAT32, _WITH_HALVES = (torch.float32,), (torch.float32, *HALVES)


def refuse_common(call, halves):
    """Why a compiled modulated kernel cannot take the call, or None. halves: it also reads and writes HALVES."""
    takes = _WITH_HALVES if halves else _FLOAT32
    for name, tensor in call.tensors().items():
        allowed = _FLOAT32 if name in ("coord", "cell") else takes
        if tensor.dtype not in allowed:
            return f"{name} is {tensor.dtype}, the kernel takes {', '.join(map(str, allowed))}"
    if call.dtype not in takes and call.dtype != torch.uint8:
        return f"it stores {', '.join(map(str, (*takes, torch.uint8)))}, not {call.dtype}"
    if call.spec.out_dim != 3:
        return f"it writes 3 channels, not {call.spec.out_dim}"
    return None


def refuse_gradients(wanted):
    """Why no backward kernel of the modulated family makes the gradients named in `wanted`, or None."""
    foreign = [name for name in wanted if name not in DIFFERENTIATED]
    return f"it makes no gradient of {' and '.join(foreign)}" if foreign else None


def before_epilogue(
    call,
    grad,  # like the call's output
    run,
):
    """The gradient with respect to the values before the call's epilogue. run(call) renders them where they matter."""
    if call.epilogue == "none":
        return grad
    value = run(call._replace(dtype=torch.float32))  # strictly inside [0, 1]: a value on the edge counts as clamped
    return torch.where((value > 0) & (value < 1), 0.5 * grad, 0)


def modulated_arguments(
    call,
    out,  # call.output_shape()
):
    """(arguments, tensors to keep alive) of the compiled `modulated_mlp`."""
    fields, weights, spec = call.fields, call.weights.contiguous(), call.spec
    strides = fields.stride()
    if strides[3] != 1:
        fields = fields.contiguous()
        strides = fields.stride()
    batch, h, w, _ = fields.shape
    skip, coord, cell = call.skip, call.coord, call.cell
    to = out.stride()
    if coord is None:
        y0, x0, lr_h, lr_w = call.lr
        to = (to[0], to[1], to[2], to[3]) if call.layout == "nchw" else (to[0], to[3], to[1], to[2])
        extent = (*to, *call.size, *call.window)
        lr, rel_cell = (lr_h, lr_w, y0, x0), call.rel_cell
    else:
        coord, cell = coord.contiguous(), cell.contiguous()
        extent = (to[0], to[2], 0, to[1], 0, 0, 0, 0, 1, coord.shape[1])
        lr, rel_cell = (h, w, 0, 0), (0.0, 0.0)
    arguments = (
        fields.data_ptr(), (_ELEMENTS[fields.dtype], strides[0], strides[1], strides[2], batch, h, w, *lr),
        0 if skip is None else skip.data_ptr(),
        _NO_SKIP if skip is None else (_ELEMENTS[skip.dtype], *skip.stride()),
        out.data_ptr(), (*extent, EPILOGUES.index(call.epilogue), _STORES[call.dtype]),
        0 if coord is None else coord.data_ptr(), 0 if cell is None else cell.data_ptr(),
        weights.data_ptr(),
        (_ELEMENTS[weights.dtype], HEADS.index(spec.head), spec.in_dim, spec.widths[0], len(spec.widths),
         spec.ensemble),
        rel_cell,
    )
    return arguments, (fields, weights, coord, cell)
