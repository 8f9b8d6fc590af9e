"""The whole coverage of the modulated family on Triton's interpreter: the same test files, in a process of their own.

Triton reads TRITON_INTERPRET when a kernel's file is imported, so that one process does either.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip("triton")

HERE = pathlib.Path(__file__).parent


def passed(*names):
    """How many tests of the files passed; all must."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "LMF_TEST_BACKENDS": "triton", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--durations=5", "-p", "no:cacheprovider", *(HERE / n for n in names)],
        capture_output=True, text=True, env=environment, cwd=HERE.parent)
    assert done.returncode == 0 and "skipped" not in done.stdout, done.stdout + done.stderr
    return int(re.search(r"(\d+) passed", done.stdout).group(1))


def test_the_family_in_the_interpreter():
    assert passed("test_modulated_mlp.py", "child_triton.py") >= 80


@pytest.mark.slow
def test_half_precision_in_the_interpreter():
    assert passed("test_modulated_mlp_half.py") >= 100
