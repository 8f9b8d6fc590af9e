"""Fixtures of the benchmarks, and the results file at the end of a run in which every number was right."""

from functools import partial

import pytest
import torch

from lmf_kernels import _cpu

from . import config
from .cpu import measure, results as cpu_results


@pytest.fixture(scope="session")
def results(request):
    """What the run has measured so far."""
    return request.config.stash[_RESULTS]


@pytest.fixture(autouse=True)
def inference():
    """As `lmf_kernels.upscale` runs: no gradients, the chosen number of threads."""
    torch.set_num_threads(config.THREADS)
    with torch.no_grad():
        yield


@pytest.fixture
def timed(benchmark, results):
    """`measure.timed` bound to this test."""
    return partial(measure.timed, benchmark, results)


@pytest.fixture
def use_isa(monkeypatch):
    """Choose the kernels' instruction set; None leaves the machine's best (or the LMF_CPU_ISA of the run)."""

    def choose(isa):
        if isa is not None:
            monkeypatch.setenv("LMF_CPU_ISA", isa)
        return _cpu.isa()

    return choose


FOLDER = config.FOLDER / "cpu"
_RESULTS = pytest.StashKey()
_DESELECTED = pytest.StashKey()


def pytest_configure(config):
    config.stash[_RESULTS] = cpu_results.Results()
    config.stash[_DESELECTED] = []
    config.option.benchmark_columns = ["min", "median", "iqr", "max", "rounds"]  # of the table on the screen


def pytest_deselected(items):
    for item in items:
        if item.path.parent == FOLDER:
            item.config.stash[_DESELECTED].append(item.nodeid)


def pytest_collection_finish(session):
    """A run is complete when it takes every file of bench/cpu, whole."""
    taken = {item.path.name for item in session.items if item.path.parent == FOLDER}
    there = {path.name for path in FOLDER.glob("bench_*.py")}
    session.config.stash[_RESULTS].complete = (
        taken == there and not session.config.stash[_DESELECTED]
        and not any("::" in argument for argument in session.config.args))


def pytest_terminal_summary(terminalreporter, exitstatus, config):
    found = config.stash[_RESULTS]
    if not found.cases and not found.facts:
        return
    terminalreporter.section("benchmark results")
    if exitstatus != 0 or config.getoption("benchmark_disable"):
        why = "the run failed" if exitstatus != 0 else "nothing was timed"
        terminalreporter.line(f"{why}: no results are written.", red=True)
        return
    found.finish(skipped=len(terminalreporter.stats.get("skipped", [])))
    path = cpu_results.write(found)
    for warning in found.warnings():
        terminalreporter.line(f"warning: {warning}", yellow=True)
    terminalreporter.line(f"written: {path}")
    terminalreporter.line(f"tables:  python -m bench.tables {path}")
