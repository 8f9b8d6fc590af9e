"""What the tests of the self-check share: a small call, stand-ins as the kernels in question, an empty cache folder."""

from contextlib import ExitStack, contextmanager

import lmf_kernels as lmf
import pytest
import selfcheck_standins as standins
import torch
from lmf_kernels.backends import RenderCall, dispatch, evidence
from lmf_kernels.families import MODULATED_MLP, RenderSpec
from lmf_kernels.ops import modulated_mlp
from lmf_kernels.selfcheck import child, lookup, run, verdicts
from lmf_kernels.selfcheck.verdicts import Item, Verdict

SPEC = RenderSpec("linear", 0, (16,) * 2)
KEY = {"gpu": "Some GPU", "capability": [9, 0], "driver": "1", "torch": "2", "triton": "3", "build": "4"}
CPU = torch.device("cpu")
TODAY = r"\(self-check of \d{4}-\d\d-\d\d\)"


def call_of(dtype=torch.float32):
    """A small call."""
    torch.manual_seed(0)
    fields = torch.randn(1, 3, 4, MODULATED_MLP.field_channels(SPEC), dtype=dtype)
    weights = torch.randn(MODULATED_MLP.weight_count(SPEC), dtype=dtype)
    return RenderCall(MODULATED_MLP, SPEC, fields, weights, size=(6, 8), window=(0, 0, 6, 8), lr=(0, 0, 3, 4))


def item(backend, task=evidence.RENDER, dtype="float32"):
    return Item(backend, task, "modulated_mlp", "linear head", dtype)


def render(dtype=torch.float32):
    """Run the operator on `call_of`'s tensors; gives the pixels."""
    call = call_of(dtype)
    return modulated_mlp(call.fields, call.weights, call.spec, call.size)


def who_ran(kernels):
    """The names of the stand-ins that have run in this process."""
    return [name for name, kernel in kernels.items() if kernel.ran]


def explained(name="auto"):
    """What `lmf.explain` says of a small call."""
    return lmf.explanation.Explanation("modulated_mlp", **dispatch.explain(call_of(), name))


def lines_of(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "lmf_kernels"]


def forget():
    """As in a new process: what is known is what the cache folder holds."""
    lookup._decisions.clear()
    verdicts.store_of.cache_clear()
    verdicts._store.cache_clear()


@contextmanager
def registering(patch, folder):
    """Yields register("fast", "abort"): from then on these stand-ins are the kernels that a self-check is about. The
    cache folder is empty."""
    patch.setenv(verdicts.CACHE, str(folder / "cache"))
    patch.setenv(child.HOOK, standins.__name__)
    patch.setenv("OMP_NUM_THREADS", "1")
    patch.setenv(run.LIMIT, "300")  # the machine may be busy
    patch.delenv(lookup.SWITCH)
    with ExitStack() as stack:
        def register(*names):
            patch.setenv(standins.NAMED, ",".join(names))
            return stack.enter_context(standins.registered(*names))

        forget()
        yield register
    forget()


@pytest.fixture
def kernels(monkeypatch, tmp_path):
    with registering(monkeypatch, tmp_path) as register:
        yield register


@pytest.fixture
def no_check(monkeypatch):
    """From here on a check is an error."""
    def start(*arguments, **options):
        raise AssertionError("a check was started")

    monkeypatch.setattr(run, "check", start)


def known(*found):
    """Put verdicts into the store, as a check that was made before."""
    store = verdicts.store_of(CPU)
    assert store.add([Verdict(which, good, "right" if good else "wrong numbers", "2030-05-01 13:45", times or {})
                      for which, good, times in found]) is None
    return store
