"""The two kernels of each 256-wide family, by mma.sync and by wgmma, as backends of tests: "emulator" and
"emulator-wgmma" on any machine, "cuda" on a GPU, which takes the one for its compute capability."""

from contextlib import contextmanager

import emulator
import every_backend
import pytest
from every_backend import marked, needs_compiler
from half_errors import DTYPES

GROUP = pytest.param("emulator-wgmma", marks=needs_compiler)  # the kernel for compute capability 9.0
SLOW_GROUP = pytest.param("emulator-wgmma", marks=[needs_compiler, pytest.mark.slow])
over_backends = pytest.mark.parametrize("backend", [*marked(["emulator", "cuda"]), GROUP])
over_backends_group_slow = pytest.mark.parametrize("backend", [*marked(["emulator", "cuda"]), SLOW_GROUP])
over_halves = pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)


@contextmanager
def running(choice):
    """As every_backend.running, which knows one kernel of the emulator."""
    if choice == "emulator-wgmma":
        with emulator.registered(group=True):
            yield "emulator"
    else:
        with every_backend.running(choice) as name:
            yield name
