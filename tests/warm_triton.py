"""Compiles the kernels of the Triton tests before the tests run, side by side, into the cache where they will be found.

    python tests/warm_triton.py --seeds TEXT [--architecture sm_90] [--jobs N] [--renders] [-k EXPRESSION]
    LMF_TEST_SEEDS=TEXT pytest tests -m gpu -k triton

First the tests run on the CPU in N processes and record what they launch (recorded_launches.py); then N processes
compile each kernel once. With the same TEXT, tests draw the same calls. No GPU is needed: --architecture names one, by
default the first that torch sees. --renders: also what child_small_renders.py launches. The exit status is 1 if a
kernel does not compile.
"""

import argparse
import multiprocessing
import os
import pathlib
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import recorded_launches
import torch
from lmf_kernels.backends.triton import availability

HERE = pathlib.Path(__file__).resolve().parent
RENDERS = [f"triton/{dtype}" for dtype in ("float32", "float16", "bfloat16")]


def main():
    chosen = arguments()
    with tempfile.TemporaryDirectory() as folder:
        record(folder, chosen)
        found, tests = recorded_launches.recorded(folder)
    found.sort(key=lambda entry: ("backward" in entry["kernel"], entry["depth"]), reverse=True)  # what takes longest
    context = multiprocessing.get_context("fork")
    with context.Pool(chosen.jobs, prepare, (chosen.architecture,)) as pool:
        complaints = [complaint for complaint in pool.imap_unordered(compile_one, found) if complaint]
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    print(f"{len(found)} kernels of {len(tests)} tests, {len(complaints)} of which do not compile for "
          f"{chosen.architecture}")
    return 1 if complaints or not found else 0


def record(folder, chosen):
    """Let the tests write what they launch into the folder. Raises SystemExit where pytest itself fails."""
    commands = [[sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", "-m", "gpu and not slow",
                 "-k", f"triton and not test_compiled and ({chosen.k})"]] * chosen.jobs
    parts = [f"{number + 1}/{chosen.jobs}" for number in range(chosen.jobs)]
    if chosen.renders:
        commands, parts = [*commands, [sys.executable, "child_small_renders.py", *RENDERS]], [*parts, ""]

    def run(command, part):
        environment = {**os.environ, "LMF_TEST_TRITON_RECORD": folder, "LMF_TEST_SEEDS": chosen.seeds,
                       "LMF_TEST_TRITON_ARCHITECTURE": chosen.architecture, "LMF_TEST_BACKENDS": "triton",
                       "LMF_TEST_PART": part, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        for variable in ("TRITON_INTERPRET", "LMF_TEST_SEED", "LMF_TEST_OUTCOMES"):
            environment.pop(variable, None)
        return subprocess.run(command, cwd=HERE, env=environment, capture_output=True, text=True)

    with ThreadPoolExecutor(len(commands)) as pool:
        ended = list(pool.map(run, commands, parts))
    for done in ended:
        if done.returncode not in (0, 1, 5):  # 1: tests of CUDA itself fail on a CPU; 5: no test in this part
            raise SystemExit(f"recording failed:\n{done.stdout}{done.stderr}")


def prepare(architecture):
    """In a process that compiles: a driver for the GPU that need not be here."""
    from offline_triton import Offline, target_of
    from triton.runtime import driver

    torch.set_num_threads(1)
    driver.set_active(Offline(target_of(architecture)))


def compile_one(entry):
    """Compile an entry of `recorded_launches`, or find it in the cache; why it cannot be, or None."""
    from lmf_kernels.backends.triton import (c2f_kernel, contributing_pixels, modulated_backward_kernel,
                                             modulated_columns_kernel, modulated_kernel, plain_kernel)

    name = entry["kernel"]
    modules = (c2f_kernel, contributing_pixels, modulated_backward_kernel, modulated_columns_kernel, modulated_kernel,
               plain_kernel)
    kernel = next(vars(module)[name] for module in modules if name in vars(module))
    try:
        kernel.preload(entry["compile"])
    except Exception as error:  # of Triton's compiler, ptxas, ...: the others go on
        return f"{name} does not compile: {error}\n  {entry['compile']}"
    return None


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", required=True, metavar="TEXT", help="LMF_TEST_SEEDS of the tests that will run")
    parser.add_argument("--architecture", metavar="sm_XY", help="default: that of the GPU here")
    parser.add_argument("--jobs", type=int, metavar="N", default=os.cpu_count(), help="processes; default: all cores")
    parser.add_argument("--renders", action="store_true", help="also what child_small_renders.py launches")
    parser.add_argument("-k", metavar="EXPRESSION", default="test", help="only these tests, as pytest has it")
    chosen = parser.parse_args()
    if chosen.architecture is None:
        if not torch.cuda.is_available():
            parser.error("torch sees no GPU here: name an --architecture, such as sm_90")
        chosen.architecture = availability.architecture(torch.device("cuda", torch.cuda.current_device()))
    return chosen


if __name__ == "__main__":
    sys.exit(main())
