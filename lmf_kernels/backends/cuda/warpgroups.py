"""Whether kernels multiply by the instructions of a warpgroup, PTX's wgmma, which compute capability 9.0 has.

They read matrices through descriptors, which nothing but a GPU can try. So one tile is multiplied before the first use
on a GPU and compared with a plain product: by the self-check in its child process, and where that has not been made, in
this process. If the tile is wrong, the kernels by mma.sync take over, which every architecture has.
"""

import logging
import threading

import torch

from . import native
from ..evidence import SELF_TEST
from ..native_call import HALVES

ROWS, INPUTS, OUTPUTS = 64, 32, 256  # csrc/cuda/group_tile.h
PACKED_BYTES = 2 * INPUTS * OUTPUTS

logger = logging.getLogger("lmf_kernels")
_found = {}  # (index, dtype): why not, or None
_lock = threading.RLock()


def refusal(index, dtype):
    """Why kernels of a half type cannot run by wgmma on the GPU of this CUDA index, or None. Tries it if need be."""
    key = index, dtype
    if key in _found:
        return _found[key]
    if not native.module.has_warpgroups(index):
        _found[key] = "it needs compute capability 9.0 and code for sm_90a"
        return _found[key]
    with _lock:
        if key not in _found:
            known, why = _verdict(index, dtype)
            if not known and torch.cuda.is_current_stream_capturing():
                return "it has not been tried on this GPU before the capture of a CUDA graph"
            _found[key] = why if known else try_tile(index, dtype)
            if _found[key]:
                logger.warning("lmf_kernels: kernels of 256-wide layers run by mma.sync, not wgmma, on GPU %d: %s",
                               index, _found[key])
        return _found[key]


def _verdict(index, dtype):
    """(whether a self-check has tried the tile on such a GPU, what was wrong or None)."""
    from ...selfcheck import verdicts

    found = verdicts.store_of(torch.device("cuda", index)).known.get(item(dtype))
    return found is not None, None if found is None or found.good else found.sentence()


def item(dtype):
    """The self-check's Item about the tile."""
    from ...selfcheck.verdicts import Item

    return Item("cuda", SELF_TEST, "wgmma", "one tile", str(dtype).removeprefix("torch."))


def self_tests(device):
    """{Item: function that gives what is wrong, or None} on a device, for the self-check."""
    if native.module is None or device.type != "cuda" or not native.module.has_warpgroups(device.index or 0):
        return {}
    return {item(dtype): lambda dtype=dtype: try_tile(device.index or 0, dtype) for dtype in HALVES}


def try_tile(index, dtype):
    """What is wrong with a tile that the GPU of this CUDA index multiplies by wgmma, or None. Waits for it.

    Raises RuntimeError with CUDA's message if it cannot be launched or finished.
    """
    def multiply(*addresses):
        native.launch(lambda name, number, stream: native.module.group_tile(name, *addresses, number, stream),
                      torch.device("cuda", index), str(dtype).removeprefix("torch."))

    return compare(multiply, dtype, torch.device("cuda", index))


def compare(
    multiply,
    dtype,
    device,
):
    """What is wrong with a function's product of small whole numbers, which has no rounding, or None.

    multiply: called with the addresses of a (ROWS, INPUTS), b (INPUTS, OUTPUTS), PACKED_BYTES bytes of memory, and the
        product (ROWS, OUTPUTS).
    """
    generator = torch.Generator().manual_seed(9)
    a, b = (torch.randint(-8, 9, shape, generator=generator) for shape in ((ROWS, INPUTS), (INPUTS, OUTPUTS)))
    operands = [matrix.to(dtype).to(device) for matrix in (a, b)]
    packed = torch.empty(PACKED_BYTES, dtype=torch.uint8, device=device)
    product = torch.full((ROWS, OUTPUTS), float("nan"), device=device)
    multiply(*(tensor.data_ptr() for tensor in (*operands, packed, product)))
    wrong = product.cpu() != (a @ b).float()
    count = int(wrong.sum())
    if not count:
        return None
    row, column = wrong.nonzero()[0].tolist()
    return (f"{count} of {wrong.numel()} elements of a tile are wrong, the first in row {row}, column {column}: "
            f"{product[row, column].item():g} in place of {(a @ b)[row, column].item()}")
