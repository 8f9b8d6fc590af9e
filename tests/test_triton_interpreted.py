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
FILES = [HERE / name for name in ("test_modulated_mlp.py", "test_modulated_mlp_half.py", "test_modulated_backward.py",
                                      "child_triton.py")]


def test_every_test_of_the_family_passes_in_the_interpreter():
    environment = {**os.environ, "TRITON_INTERPRET": "1", "LMF_TEST_BACKENDS": "triton", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "--durations=5", "-p", "no:cacheprovider", *FILES],
                          capture_output=True, text=True, env=environment, cwd=HERE.parent)
    assert done.returncode == 0 and "skipped" not in done.stdout, done.stdout + done.stderr
    assert int(re.search(r"(\d+) passed", done.stdout).group(1)) >= 120, done.stdout
