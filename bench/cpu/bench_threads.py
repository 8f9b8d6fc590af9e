"""All threads against one thread, on a machine that does nothing else and beside other work.

The other work is one endless loop per usable processor. Each time is that of a fresh process, because OpenMP settles
how threads wait when it is loaded. One thread and all threads take turns, and only their ratio is kept: others at work
on the machine slow down both.
"""

import contextlib
import os
import statistics
import subprocess
import sys

import pytest

from bench import config, results_file

ROUNDS, SECONDS, SIDE = (1, 0.05, 24) if config.QUICK else (5, 2.0, 112)
WAYS = {
    "command": {"OMP_WAIT_POLICY": "passive"},  # as `lmf-kernels` sets it
    "library": {},  # torch loaded first: lmf_kernels.threads.spin_briefly
    "libgomp's default": {"GOMP_SPINCOUNT": "300000"},  # its own number, which turns spin_briefly off
}


@contextlib.contextmanager
def other_work(loops):
    """Run that many endless loops in processes of their own."""
    running = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


@pytest.mark.parametrize("condition", ["idle", "busy"])
def test_threads(results, condition, monkeypatch):
    if config.THREADS < 2:
        pytest.skip("one thread has nothing to be compared with")
    ratios = {way: [] for way in WAYS}
    processors = len(os.sched_getaffinity(0))
    with other_work(processors if condition == "busy" else 0):
        for _ in range(ROUNDS):
            for way, setting in WAYS.items():
                for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
                    monkeypatch.delenv(name, raising=False)
                for name, value in setting.items():
                    monkeypatch.setenv(name, value)
                one, all_of_them = (results_file.run_child("threads.py", threads, SIDE, SECONDS)
                                    for threads in (1, config.THREADS))
                ratios[way].append(all_of_them / one)
    results.facts[f"threads/{condition}"] = {
        "threads": config.THREADS, "processors": processors, "lr": (SIDE, SIDE), "scale": 4,
        "time_over_one_thread": {way: {"median": statistics.median(found), "all": found}
                                 for way, found in ratios.items()}}
