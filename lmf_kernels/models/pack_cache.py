"""Packed weights, computed once and kept while the parameters they came from stay as they are."""

from contextlib import nullcontext

import torch

from ..tensor_state import state_of

# Asked once: torch.compile of torch 2.11 cannot trace the question.
_WITH_AUTOCAST = tuple(kind for kind in ("cpu", "cuda", "mps", "xpu", "hpu", "mtia")
                       if torch.amp.is_autocast_available(kind))


class PackCache:
    """Keeps one packed value per name, valid for one state of the parameters it was computed from.

    A state is identified by each parameter's address, dtype, device, shape and version counter: optimizer steps,
    `load_state_dict`, `.to()` and every in-place operation of torch change it. A write through `parameter.data` is the
    one edit that torch does not count; call `clear()` after one. Nothing is kept while gradients to a parameter are
    being recorded or while torch is tracing: the packing is then part of the graph.
    """

    def __init__(self):
        self._kept = {}

    def clear(self):
        """Forget everything: the next call packs anew."""
        self._kept.clear()

    def get(self, name, parameters, build):
        """The packed value `name`, from the cache where `parameters` have not changed since, else from `build()`.

        Args:
            name: hashable, one per kind of packed value.
            parameters: the tensors that `build` reads.
            build: callable without arguments; its value holds tensors and is never changed by its users.
        """
        if torch.compiler.is_compiling() or (torch.is_grad_enabled() and any(p.requires_grad for p in parameters)):
            with _full_precision(parameters[0].device.type):
                return build()
        state = _state(parameters)
        kept = self._kept.get(name)
        if kept is not None and kept[0] == state:
            return kept[2]
        # Kept values must be ordinary tensors: made in inference mode they could not be saved for a later backward.
        with torch.inference_mode(False), torch.no_grad(), _full_precision(parameters[0].device.type):
            value = build()
            # Holding the parameters' memory keeps its addresses from being given to other tensors.
            held = [p.detach() for p in parameters]
        if state is not None and _is_plain(value):
            self._kept[name] = (state, held, value)
        return value


def parameters_of(*modules):
    """The modules' parameters; in DataParallel's replicas too, from which torch's own `parameters()` hides them."""
    for module in modules:
        for part in module.modules():
            own = part._parameters or getattr(part, "_former_parameters", {})
            yield from (parameter for parameter in own.values() if parameter is not None)


def autocast_is_on(device):
    """Whether autocast is on for a device type; some, such as "meta", have none, and torch raises when asked."""
    return device in _WITH_AUTOCAST and torch.is_autocast_enabled(device)


def _full_precision(device):
    """Packing is small and done once: autocast must not round it."""
    return torch.autocast(device, enabled=False) if autocast_is_on(device) else nullcontext()


def _is_plain(value):
    """False where a tracer or a fake mode has put its own tensors into the packed value: those must not stay."""
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return value is None or type(value) in (torch.Tensor, torch.nn.Parameter)


def _state(parameters):
    """What identifies the parameters' present values, or None where torch cannot tell."""
    if any(p.is_inference() for p in parameters):
        return None
    try:
        return tuple(map(state_of, parameters))
    except RuntimeError:  # traced tensors have no address
        return None
