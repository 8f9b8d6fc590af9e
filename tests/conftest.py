"""What all tests share: fresh random numbers whose seed can be seen and repeated."""

import os
import random

import interpreter
import pytest
import recorded_launches
import torch
from lmf_kernels.selfcheck import lookup
from optional_packages import skip_without_packages  # noqa: F401  (an autouse fixture)
from outcomes import pytest_collectreport, pytest_runtest_makereport  # noqa: F401  (pytest finds hooks by their names)
from selfcheck_setup import kernels, no_check  # noqa: F401  (and fixtures)

os.environ[lookup.SWITCH] = "0"  # no test starts a self-check by chance: those of it turn it on

if interpreter.INTERPRETING:
    interpreter.sum_in_order()
    interpreter.look_once()
if recorded_launches.FILE:
    recorded_launches.record()


@pytest.fixture
def seed():
    """A fresh seed, already given to torch, shown with a failing test. LMF_TEST_SEED=<it> repeats the run."""
    value = int(os.environ.get("LMF_TEST_SEED") or random.SystemRandom().randrange(2**31))
    print(f"repeat with LMF_TEST_SEED={value}")
    torch.manual_seed(value)
    return value
