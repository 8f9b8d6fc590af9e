"""`patch` and `unpatch`.

A patched object gets a class of its own, derived from its authors' class, in which some methods are replaced. So hooks,
copies, replicas and `isinstance` work as before, and unpatching gives the class back.
"""

import warnings
from functools import cache

from torch import nn

from ..backends.dispatch import check_name
from ..errors import InputError
from ..explanation import explain
from ..models import Decoder
from . import check
from .recognise import is_decoder, kind_of
from .report import PatchedModule, PatchReport
from .twin import Twin

_STATE = "_lmf_twin"


def patch(model: nn.Module, backend: str = "auto", strict: bool = False) -> PatchReport:
    """Make an object of the authors' LIIF, LTE, LMLIIF, LMLTE or LMCiaoSR class run on the kernels, in place.

    In evaluation mode `forward`, `query_rgb`, `query_rgb_fast` and `batched_query_rgb` keep their signatures and their
    results, but for rounding. In training mode, with `inp_coord` and with CMSR the authors' own forward runs. Their
    calls of `.cuda()` follow the model's device. No weight changes, and `state_dict()` keeps its keys. Each decoder is
    compared with its original on a small input first, and left alone if the results differ.

    Args:
        model: an object of one of these classes, or a module that contains some, such as DataParallel.
        backend: "auto" or a name that `lmf_kernels.backends()` lists.
        strict: raise if any decoder found has to be left as it is, or none is found; then nothing is patched.

    Returns:
        PatchReport: per decoder, what runs now, or why it was left. Print it.

    Raises:
        InputError: model is not a module, is one of `lmf_kernels`, or, if strict, something was left.
    """
    check_name(backend)
    if not isinstance(model, nn.Module) or isinstance(model, Decoder):
        kind = "a model of lmf_kernels, which runs on the kernels already" if isinstance(model, Decoder) else (
            f"a {type(model).__name__}")
        raise InputError(f"patch takes a model of the authors' LIIF, LTE or LMF code, got {kind}.")
    found = [(name, module) for name, module in model.named_modules() if is_decoder(module)]
    before = [(module, _state_of(module)) for _, module in found]
    report = PatchReport(tuple(_patch_one(name, module, backend) for name, module in found))
    if report.left or not report.modules:
        said = f"patch has left something as it is: {report}"
        if strict:
            for module, state in before:
                _restore(module, state)
            raise InputError(said)
        if not report.patched:
            warnings.warn(said, stacklevel=2)
    return report


def unpatch(model: nn.Module) -> None:
    """Undo `patch`: every patched object in model has its authors' class, and their results bit for bit, again."""
    if not isinstance(model, nn.Module):
        raise InputError(f"unpatch takes a model that was patched, got a {type(model).__name__}.")
    for module in model.modules():
        _restore(module, None)


def _patch_one(name, module, backend):
    """Patch one decoder or leave it: PatchedModule."""
    state = _state_of(module)
    _restore(module, None)
    original, kind, reason, runs = type(module), None, None, None
    try:
        if isinstance(module, Decoder):
            raise InputError("it is a model of lmf_kernels, which runs on the kernels already.")
        kind = kind_of(module)
        own = [method for method in kind.methods if method in vars(module)]
        if own:
            raise InputError(f"the object itself has been given another {own[0]}.")
        module.__dict__[_STATE] = twin = Twin(kind, backend)
        explained = explain(twin.of(module), points=True)
        if explained.runs is None:
            raise InputError(f"the backend {backend} cannot run it: {explained.refusals.get(backend, 'no reason')}.")
        runs = f"{explained.runs} ({explained.family})"
        module.__class__ = _class_of(original, kind.name)
        check.compare(original, module)
    except InputError as error:
        _restore(module, None)
        if state is not None:
            _restore(module, state)
        reason = str(error)
    return PatchedModule(name, original.__name__, kind and kind.name, None if reason else runs, reason)


def _state_of(module):
    """(class, Twin) of a patched object, else None."""
    twin = module.__dict__.get(_STATE)
    return None if twin is None else (type(module), twin)


def _restore(module, state):
    """Bring an object back to what `_state_of` gave; None: to its authors' class."""
    original = getattr(type(module), "_lmf_original", None)
    if state is not None:
        module.__class__, module.__dict__[_STATE] = state
    elif _STATE in module.__dict__:
        del module.__dict__[_STATE]
        if original is not None:
            module.__class__ = original


@cache
def _class_of(original, name):
    """The class of patched objects of the class `original`."""
    from .recognise import KINDS

    kind = next(kind for kind in KINDS if kind.name == name)
    replaced = {name: make(getattr(original, name)) for name, make in kind.methods.items() if hasattr(original, name)}
    return type(original.__name__, (original,), {
        "__module__": original.__module__, "__doc__": original.__doc__, "_lmf_original": original, **replaced,
        "__reduce_ex__": _reduce, "__deepcopy__": _deepcopy, "_replicate_for_data_parallel": _replicate})


def _reduce(self, protocol):
    """A pickle holds the unpatched object: whoever reads it needs the authors' code and not ours."""
    cls, original = type(self), type(self)._lmf_original
    make, args, state, *rest = original.__reduce_ex__(self, 1)  # later protocols insist on the object's present class
    state = {key: value for key, value in state.items() if key != _STATE}
    return make, tuple(original if arg is cls else arg for arg in args), state, *rest


def _deepcopy(self, memo):
    """A copy is patched as well."""
    from copy import deepcopy

    memo[id(self)] = copied = type(self).__new__(type(self))
    copied.__dict__.update(deepcopy(self.__dict__, memo))
    return copied


def _replicate(self):
    """DataParallel's replicas run in threads of their own."""
    replica = type(self)._lmf_original._replicate_for_data_parallel(self)
    replica.__dict__[_STATE] = self.__dict__[_STATE].fresh()
    return replica
