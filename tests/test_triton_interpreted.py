"""The Triton kernels in the interpreter: the test files that run on all backends, in processes of their own.

Triton reads TRITON_INTERPRET when a kernel's file is imported, so that one process does either.
"""

import os
import pathlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("triton")

HERE = pathlib.Path(__file__).parent
GROUPS = (  # of about the same length: each keeps a core busy for a minute or two
    ("test_modulated_mlp.py", "test_modulated_mlp_half.py", "test_selfcheck_cases.py"),
    ("test_modulated_backward.py", "test_golden_renders.py", "child_triton.py"),
)


def interpreted(names, *options):
    """(exit status, output) of pytest over the files, on the Triton backend alone."""
    environment = {**os.environ, "TRITON_INTERPRET": "1", "LMF_TEST_BACKENDS": "triton", "OMP_NUM_THREADS": "1"}
    # From this folder: in the root, Python would import the sources in place of the installed package.
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "--durations=5", "-p", "no:cacheprovider", "-k",
                           "not fragment and not plain_family", *options, *(HERE / name for name in names)],
                          capture_output=True, text=True, env=environment, cwd=HERE)
    return done.returncode, done.stdout + done.stderr


def test_every_test_of_the_family_passes_in_the_interpreter():
    with ThreadPoolExecutor(len(GROUPS)) as pool:
        ended = list(pool.map(interpreted, GROUPS))
    for status, output in ended:
        assert status == 0 and "skipped" not in output, output
    passed = sum(int(re.search(r"(\d+) passed", output).group(1)) for _, output in ended)
    assert passed >= 250, ended


def test_the_families_with_dense_layers_in_the_interpreter():
    status, output = interpreted(["test_triton_dense.py"])
    assert status == 0 and "skipped" not in output, output
    assert int(re.search(r"(\d+) passed", output).group(1)) >= 45, output


@pytest.mark.slow
def test_the_slow_tests_of_the_families_with_dense_layers_in_the_interpreter():
    status, output = interpreted(["test_triton_dense.py"], "-m", "slow")
    assert status == 0 and "skipped" not in output, output
