"""What all tests share: fresh random numbers whose seed can be seen and repeated, and a part of the tests alone."""

import os
import pathlib
import random
import sys
import zlib

import interpreter
import pytest
import torch
from lmf_kernels.selfcheck import lookup
from optional_packages import skip_without_packages  # noqa: F401  (an autouse fixture)
from outcomes import pytest_collectreport, pytest_runtest_makereport  # noqa: F401  (pytest finds hooks by their names)
from selfcheck_setup import kernels, no_check  # noqa: F401  (and fixtures)

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))  # bench; last: lmf_kernels is the installed one
os.environ[lookup.SWITCH] = "0"  # no test starts a self-check by chance: those of it turn it on

if interpreter.INTERPRETING:
    interpreter.sum_in_order()
    interpreter.look_once()
    interpreter.derive_types_once()
    interpreter.leave_out_overflow_checks()
    interpreter.count_with_new_numpy()

LONGEST = ("test_triton_interpreted.py", "test_triton_compiled.py", "test_cuda_code.py")


@pytest.fixture
def seed(request):
    """A fresh seed, already given to torch, shown with a failing test. LMF_TEST_SEED=<it> repeats the run;
    LMF_TEST_SEEDS=<any text> gives every test of a run a seed of its own, which another run can have again."""
    value = int(os.environ.get("LMF_TEST_SEED") or fresh(os.environ.get("LMF_TEST_SEEDS"), request.node.name))
    print(f"repeat with LMF_TEST_SEED={value}")
    torch.manual_seed(value)
    return value


def fresh(text, test):
    """A seed from the system, or from a text and a test's name."""
    return zlib.crc32(f"{text} {test}".encode()) >> 1 if text else random.SystemRandom().randrange(2**31)


@pytest.hookimpl(trylast=True)  # after -m and -k have chosen
def pytest_collection_modifyitems(config, items):
    """The longest tests first, so that none is left alone at the end of `pytest -n`.

    LMF_TEST_PART=k/n: only every n-th test, from the k-th on. So n processes can share the tests without xdist."""
    items.sort(key=lambda item: item.path.name not in LONGEST)
    if part := os.environ.get("LMF_TEST_PART"):
        first, step = map(int, part.split("/"))
        chosen = items[first - 1::step]
        config.hook.pytest_deselected(items=list(set(items) - set(chosen)))
        items[:] = chosen
