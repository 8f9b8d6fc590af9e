"""Small renders under compute-sanitizer: no access out of bounds, no race."""

import sys
from concurrent.futures import ThreadPoolExecutor

from . import tools
from .command import TESTS, ended, run_within

FOUND = 9  # the exit status that compute-sanitizer is asked for


def memcheck(job):
    """The CUDA kernels under memcheck."""
    _watched(job, {"memcheck": ("memcheck", job.run_config.cuda)})


def racecheck(job):
    """The CUDA kernels under racecheck, and Triton's under memcheck."""
    _watched(job, {"racecheck": ("racecheck", job.run_config.cuda),
                   "memcheck, Triton": ("memcheck", job.run_config.triton)})


def _watched(job, watches):
    """facts["sanitizer"]: {title: clean}. watches: title -> (the sanitizer's tool, kernels).

    Each kernel in a process of its own and all side by side, for most of the time goes into loading torch.
    """
    tool = tools.find("compute-sanitizer")
    if job.run_config.dry:
        renders = [f"{backend}/{dtype}" for backend, dtype in job.run_config.kernels] or ["reference"]
        runs = [("nothing", _command(renders))]
    elif tool is None:
        job.warn("compute-sanitizer was not found")
        return
    else:
        runs = [(title, [tool, "--tool", check, "--error-exitcode", str(FOUND), "--print-limit", "20",
                         *_command([f"{backend}/{dtype}"])])
                for title, (check, kernels) in watches.items() for backend, dtype in kernels]
    with ThreadPoolExecutor(len(runs) or 1) as pool:
        # Every allocation by itself, so that a step over its end is seen.
        statuses = list(pool.map(lambda run: run_within(job.left(), run[1], PYTORCH_NO_CUDA_MEMORY_CACHING="1"), runs))
    clean = {}
    for (title, command), status in zip(runs, statuses):
        clean[title] = clean.get(title, True) and status == 0
        if status != 0:
            job.fail(f"{title} of {command[-1]} {ended(status)} ({FOUND}: the sanitizer found something)")
    if clean:
        job.fact("sanitizer", clean)


def _command(renders):
    return [sys.executable, str(TESTS / "child_small_renders.py"), *renders]
