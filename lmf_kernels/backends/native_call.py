"""A render call as the plain numbers that the compiled modules take. The order is that of csrc/common/params.h."""

import torch

from .call import FINISHES
from ..spec import HEADS

_STORES = {torch.float32: 0, torch.uint8: 1, torch.float16: 2, torch.bfloat16: 3}
_ELEMENTS = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}
HALVES = (torch.float16, torch.bfloat16)


def refuse_common(call, halves):
    """Why a compiled modulated kernel cannot take the call, or None. halves: it also reads and writes HALVES."""
    takes = (torch.float32, *HALVES) if halves else (torch.float32,)
    for name, tensor in call.tensors().items():
        allowed = (torch.float32,) if name in ("coord", "cell") else takes
        if tensor.dtype not in allowed:
            return f"{name} is {tensor.dtype}, the kernel takes {', '.join(map(str, allowed))}"
    stores = (*takes, torch.uint8)
    if call.dtype not in stores:
        return f"it stores {', '.join(map(str, stores))}, not {call.dtype}"
    if call.spec.out_dim != 3:
        return f"it writes 3 channels, not {call.spec.out_dim}"
    return None


def modulated_arguments(
    call,
    out,  # call.output_shape()
):
    """(arguments, tensors to keep alive) of the compiled `modulated_mlp`."""
    fields = call.fields if call.fields.stride(3) == 1 else call.fields.contiguous()
    weights = call.weights.contiguous()
    batch, h, w, _ = fields.shape
    skip = call.skip
    if call.on_grid:
        coord = cell = None
        y, x, rows, cols = call.window
        b, c, dy, dx = (0, 1, 2, 3) if call.layout == "nchw" else (0, 3, 1, 2)
        strides = out.stride()
        out_info = (strides[b], strides[c], strides[dy], strides[dx], *call.size, y, x, rows, cols)
        lr = (call.lr[2], call.lr[3], call.lr[0], call.lr[1])
    else:
        coord, cell = call.coord.contiguous(), call.cell.contiguous()
        q = coord.shape[1]
        out_info = (out.stride(0), out.stride(2), 0, out.stride(1), 0, 0, 0, 0, 1, q)
        lr = (h, w, 0, 0)
    spec = call.spec
    arguments = (
        fields.data_ptr(), (_ELEMENTS[fields.dtype], *fields.stride()[:3], batch, h, w, *lr),
        0 if skip is None else skip.data_ptr(),
        (0, 0, 0, 0, 0) if skip is None else (_ELEMENTS[skip.dtype], *skip.stride()),
        out.data_ptr(), (*out_info, FINISHES.index(call.finish), _STORES[call.dtype]),
        0 if coord is None else coord.data_ptr(), 0 if cell is None else cell.data_ptr(),
        weights.data_ptr(),
        (_ELEMENTS[weights.dtype], HEADS.index(spec.head), spec.in_dim, spec.widths[0], len(spec.widths),
         spec.ensemble),
        call.rel_cell if call.on_grid else (0.0, 0.0),
    )
    return arguments, (fields, weights, coord, cell)
