"""Tests on the device: the suite's `gpu` tests, and small renders under compute-sanitizer."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import settings

from .setting import FLOATS

TESTS = settings.ROOT / "tests"
NUMERICS = {  # what must pass before a kernel's time counts
    "render": ("test_modulated_mlp.py", "test_modulated_mlp_half.py", "test_modulated_mlp_gpu.py"),
    "gradients": ("test_modulated_backward.py", "test_modulated_backward_gpu.py"),
}
WORKERS = max(1, min(12, (os.cpu_count() or 1) - 2))  # of pytest-xdist, where it is: Triton compiles what a test draws
HERE = os.path.dirname(os.path.abspath(__file__))


def tests(job):
    """The `gpu` tests but for Triton's, which take longest: see `_tests`."""
    _tests(job, "others", "not triton")


def triton_tests(job):
    """The `gpu` tests of the Triton kernels."""
    if not job.setting.dry:
        _tests(job, "triton", "triton")


def _tests(job, group, expression):
    """facts["tests/GROUP"], and facts["numerics/GROUP"]: {task: {backend: {dtype: {"passed", "failed", "skipped"}}}}.
    """
    setting, found = job.setting, job.folder / f"outcomes-{group}.jsonl"
    arguments = ["-q", "--tb=short", "-p", "no:cacheprovider"]
    if setting.dry:
        arguments += [str(TESTS / NUMERICS["render"][0]), "-k", "eight_bit or wide_map"]
    else:
        arguments += [str(TESTS), "-m", "gpu and not slow", "-k", expression]
        if importlib.util.find_spec("xdist"):
            arguments += ["-n", str(WORKERS)]
    # From this folder: the repository root must not be on sys.path, or the source folder would be imported.
    status = run_within(job.left(), [sys.executable, "-m", "pytest", "-c", str(settings.ROOT / "pyproject.toml"),
                                     "--rootdir", str(settings.ROOT), *arguments], LMF_TEST_OUTCOMES=str(found))
    outcomes = [json.loads(line) for line in found.read_text(encoding="utf-8").splitlines()] if found.exists() else []
    counts = count(outcomes)
    failed = [outcome["test"] for outcome in outcomes if outcome["outcome"] == "failed"]
    job.fact(f"tests/{group}", {**counts, "failed_tests": failed, "stopped": status is None})
    job.fact(f"numerics/{group}", numerics(outcomes))
    if status != 0:
        job.fail(f"pytest {ended(status)}: {counts['failed']} failed, {failed[:3]}")
    elif not counts["passed"]:
        job.fail("no test ran")


def count(outcomes):
    return {word: sum(outcome["outcome"] == word for outcome in outcomes) for word in ("passed", "failed", "skipped")}


def numerics(outcomes):
    """Counts of the kernels' own tests by task, backend and type of fields; the CPU's instruction sets together."""
    found = {task: {} for task in NUMERICS}
    for outcome in outcomes:
        for task, files in NUMERICS.items():
            if outcome["file"] in files and outcome["backend"]:
                kinds = found[task].setdefault(outcome["backend"].split("-")[0], {})
                kinds.setdefault(outcome["dtype"], []).append(outcome)
    return {task: {backend: {dtype: count(each) for dtype, each in kinds.items()}
                   for backend, kinds in backends.items()} for task, backends in found.items()}


def sanitizer(job):
    """facts["sanitizer"]: {tool: clean} of small renders under compute-sanitizer, None where it is not installed."""
    setting = job.setting
    renders = [f"{backend}/{dtype}" for backend, dtype in setting.kernels] or ["reference"]
    command = [sys.executable, str(TESTS / "child_small_renders.py"), *renders]
    tool = shutil.which("compute-sanitizer")
    if setting.dry:
        watches = {"nothing": command}
    elif tool is None:
        job.warn("compute-sanitizer is not installed")
        watches = {}
    else:
        watches = {check: [tool, "--tool", check, "--error-exitcode", "9", "--print-limit", "20", *command]
                   for check in ("memcheck", "racecheck")}
    # Side by side, for most of the time goes into loading torch.
    with ThreadPoolExecutor() as pool:
        # Every allocation by itself, so that a step over its end is seen.
        statuses = pool.map(lambda run: run_within(job.left(), run, PYTORCH_NO_CUDA_MEMORY_CACHING="1"),
                            watches.values())
        found = dict(zip(watches, statuses))
    job.fact("sanitizer", {check: status == 0 for check, status in found.items()} or None)
    for check, status in found.items():
        if status != 0:
            job.fail(f"small renders watched by {check} {ended(status)} (9: the sanitizer found something)")


def run_within(seconds, command, **environment):
    """Run a command from this folder; its exit status, None where it had to be stopped."""
    try:
        return subprocess.run(command, cwd=HERE, env={**os.environ, **environment}, timeout=max(seconds, 1)).returncode
    except subprocess.TimeoutExpired:
        return None


def ended(status):
    """An exit status in words."""
    return "was stopped when its time was over" if status is None else f"ended with status {status}"


def passed(facts, backend, dtype, task="render"):
    """Whether the kernels' own tests of a task ran for a backend and type of fields, and none failed."""
    assert dtype in FLOATS
    group = "triton" if backend == "triton" else "others"
    counts = facts.get(f"numerics/{group}", {}).get(task, {}).get(backend, {}).get(dtype)
    whole = not facts.get(f"tests/{group}", {}).get("stopped", True)
    return whole and bool(counts) and counts["passed"] > 0 and counts["failed"] == 0
