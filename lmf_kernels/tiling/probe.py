"""What the stages of a model need in memory, found by running them on a small picture."""

from typing import NamedTuple

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode

from ..backends import RenderCall, choose
from ..cmsr.render import BYTES_PER_PIXEL, pixels_at_once

_SIDE = 16  # of the small picture: a multiple of the attention windows in use


class StageBytes(NamedTuple):
    """Bytes that are alive at a stage's peak, counted from the tensors that its operators make.

    encoder: per LR pixel that the encoder sees, its input included.
    features: per LR pixel, the encoder's result.
    latent: per LR pixel that the latent stage sees, features and fields included.
    fields: per LR pixel, the latent stage's result.
    render: per output pixel of one render call, beyond fields and output: nothing in a fused kernel.
    at_once: not bytes, but the most output pixels whose bytes exist at a time; None: those of the whole call.
    latent_at_once: the same of the latent stage, in LR pixels.
    """

    encoder: float
    features: float
    latent: float
    fields: float
    render: float
    at_once: int | None = None
    latent_at_once: int | None = None


@torch.no_grad()
def stage_bytes(model, dtype=torch.float32, rendering=None):
    """Measure a model's StageBytes; dtype is that of the output. Takes about as long as a 16 x 16 picture.

    rendering: a cmsr.Rendering, which renders in pieces of its own, or None.

    Sizes grow with the number of pixels, so one picture gives the rate. It is made on the model's device.
    """
    like = next(model.parameters())
    size = (_SIDE, _SIDE)
    rel_cell = model.rel_cell_of(size, size)
    weights = model.render_weights()
    inp = like.new_zeros(1, 3, *size)
    with _LiveBytes() as encoder:
        features = model.encode(inp.clone())
    model.fields(features, rel_cell)  # packs the weights, which stay: they are not a picture's cost
    with _LiveBytes() as latent:
        fields = model.fields(features, rel_cell)
    call = RenderCall(model.family, model.render_spec, fields, weights, inp if model.has_skip else None, size=size,
                      window=(0, 0, *size), lr=(0, 0, *size), epilogue="unit", dtype=dtype)
    backend = choose(call, model.backend)
    with _LiveBytes() as render:  # the backend itself: through the operator its work could not be seen
        pixels = backend.run(call)
    counts = (encoder.peak, _nbytes(features), latent.peak + _nbytes(features), _nbytes(fields),
              max(0, render.peak - _nbytes(pixels)))
    found = StageBytes(*(count / _SIDE ** 2 for count in counts), backend.pixels_at_once(like.device),
                       model.latent_at_once)
    if rendering is None:
        return found
    return found._replace(render=found.render + BYTES_PER_PIXEL, at_once=pixels_at_once(like.device))


class _LiveBytes(TorchDispatchMode):
    """While it is on, follows every storage that operators make; `peak` is the most that was alive at once.

    What an operator takes and gives back within itself, such as a convolution's reordered copy, is not seen.
    """

    def __init__(self):
        super().__init__()
        self.peak = 0
        self._alive = {}  # address of the storage: (weak reference, bytes)

    def _dispatch(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        self._follow((args, tuple(kwargs.values())), given=True)
        result = func(*args, **kwargs)
        self._follow(result, given=False)
        self.peak = max(self.peak, sum(count for _, count in self._alive.values()))
        return result

    def _follow(self, value, given):
        """Note storages not seen before; one that a function is given was there already and costs nothing."""
        if isinstance(value, (tuple, list)):
            for item in value:
                self._follow(item, given)
        elif isinstance(value, torch.Tensor):
            self._alive = {key: kept for key, kept in self._alive.items() if not kept[0].expired()}
            storage = value.untyped_storage()
            reference = StorageWeakRef(storage)
            self._alive.setdefault(reference.cdata, (reference, 0 if given else storage.nbytes()))


# Set from outside: in the class statement, torch would wrap it and import its compiler for that, which takes a second.
_LiveBytes.__torch_dispatch__ = _LiveBytes._dispatch


def _nbytes(tensor):
    return tensor.numel() * tensor.element_size()
