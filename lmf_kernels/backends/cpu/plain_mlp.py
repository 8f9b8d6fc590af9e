"""`csrc/cpu/plain_mlp.cpp` behind the backend interface. A render allocates a packed copy of the weights besides its
result, and per thread the activations of 96 rows; also a copy of fields whose channels are strided."""

from functools import partial

from .native import can_run, renderer  # noqa: F401
from ..native_call import entries

run, prepare = entries(partial(renderer, "plain_mlp"))
