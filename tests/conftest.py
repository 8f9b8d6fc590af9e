"""What all tests share: fresh random numbers whose seed can be seen and repeated."""

import os
import random

import interpreter
import pytest
import torch
from optional_packages import skip_without_packages  # noqa: F401  (an autouse fixture)
from outcomes import pytest_runtest_makereport  # noqa: F401  (pytest finds the hook by its name)

if interpreter.INTERPRETING:
    interpreter.sum_in_order()
    interpreter.look_once()


@pytest.fixture
def seed():
    """A fresh seed, already given to torch, shown with a failing test. LMF_TEST_SEED=<it> repeats the run."""
    value = int(os.environ.get("LMF_TEST_SEED") or random.SystemRandom().randrange(2**31))
    print(f"repeat with LMF_TEST_SEED={value}")
    torch.manual_seed(value)
    return value
