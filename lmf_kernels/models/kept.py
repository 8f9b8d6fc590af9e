"""The last value computed from some tensors, kept while these stay as they are."""

import torch

from ..tensor_state import state_of
from .pack_cache import autocast_is_on


class Kept:
    """Keeps one value, such as an image's fields, for the next call with the same tensors.

    Tensors are the same if address, layout, dtype and version counter are; tensors of inference mode have no version
    counter, and writing into one in place is not noticed. Nothing is kept while gradients are recorded or torch traces.
    A copy or a pickle of an owner starts empty.
    """

    def __init__(self):
        self.clear()

    def clear(self):
        """Forget the value and let go of its memory."""
        self._state = self._sources = self._value = None

    def get(self, sources, build):
        """The kept value if it was computed from `sources`, a tuple of tensors, else that of `build()`."""
        if torch.compiler.is_compiling() or (torch.is_grad_enabled() and any(t.requires_grad for t in sources)):
            return build()
        state = (*map(state_of, sources), autocast_is_on(sources[0].device.type))
        if state != self._state:
            self.clear()  # before the new value is made, so that both never take memory at once
            value = build()
            # Holding the sources keeps their addresses from being given to other tensors.
            self._state, self._sources, self._value = state, sources, value
            return value
        return self._value

    def __deepcopy__(self, memo):
        return Kept()

    def __reduce__(self):
        return Kept, ()
