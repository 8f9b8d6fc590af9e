"""Weights in the order of a kernel, packed once for as long as they stay as they are.

What is packed belongs to the memory of the weights and goes with it. It is packed anew after every in-place operation
on them, which torch counts; `lmf_kernels.models.pack_cache` has what it does not count. Tensors of inference mode have
no such counter and are packed at each call.

On a GPU, work is in order within a stream: each stream has packed weights of its own. A CUDA graph packs in each
replay, into memory of its own, and so follows changes of the weights; unless its owner has said that they do not change
and holds what was packed before the capture (`held_by`).
"""

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from weakref import WeakKeyDictionary

import torch

from ..tensor_state import state_of

MOST = 4  # kept of the same weights: of different streams, kernels and scales, those that were used last

_kept = WeakKeyDictionary()  # storage of weights: (version counter, {(state, name, stream): packed weights})
_lock = threading.RLock()  # the end of a storage may come inside of it
_holder = ContextVar("lmf_kernels_packed_weights", default=None)


def get(
    weights,  # (weight_count,)
    name,
    build,
):
    """The packed weights `name`: kept ones, or those that `build()` makes now on the current stream of their device.

    Args:
        name: hashable, different for all that the packed weights depend on besides the weights.
        build: callable without arguments; its value holds tensors, which nobody changes.
    """
    if weights.is_inference():
        return build()
    capturing, stream = _stream(weights.device)
    holder = _holder.get()
    if capturing and holder is None:
        return build()
    state = state_of(weights)
    key = state, name, stream
    with _lock:
        version, packs = _kept.get(weights.untyped_storage(), (None, None))
        found = packs.get(key) if version == state[1] else None
        if found is not None and len(packs) > 1:
            packs[key] = packs.pop(key)  # as the last one
    if capturing:
        if found is None:
            return build()
        holder.append(found)
    if found is None:
        with torch.inference_mode(False), torch.no_grad():
            found = build()
        _keep(weights, key, found)
    return found


@contextmanager
def held_by(
    owner,  # a list
):
    """A context in which captures of CUDA graphs read weights that were packed before, which are appended to `owner`.

    It must live as long as the graph, and the weights must not change: the graph would not notice.
    """
    token = _holder.set(owner)
    try:
        yield
    finally:
        _holder.reset(token)


def _keep(weights, key, packed):
    state = key[0]
    with _lock:
        storage = weights.untyped_storage()
        version, packs = _kept.get(storage, (None, None))
        if version != state[1]:
            packs = {}
            _kept[storage] = state[1], packs
        packs[key] = packed
        while len(packs) > MOST:
            del packs[next(iter(packs))]


def _stream(device):
    """(whether a graph is being captured, what names the current stream)."""
    if device.type != "cuda":
        return False, None
    return torch.cuda.is_current_stream_capturing(), torch.cuda.current_stream(device).cuda_stream
