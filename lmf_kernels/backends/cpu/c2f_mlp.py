"""`csrc/cpu/c2f_mlp.cpp` behind the backend interface. A render allocates a packed copy of the weights besides its
result, and per thread the activations of 96 rows, a megabyte at 256 channels; also a copy of fields whose channels are
strided."""

from functools import partial

from . import native
from ..native_call import entries

run, prepare = entries(partial(native.renderer, "c2f_mlp"))


def can_run(call):
    """The reason why this kernel cannot take the call, or None."""
    if call.mask is not None:
        return "it renders all cells, not those of a mask"
    return native.can_run(call)
