"""The tests marked gpu, in groups, each a run of its own: an error in one file stops no other."""

import importlib.util
import json
import os
import sys

from bench import config

from .command import TESTS, ended, run_within

NUMERICS = {  # what must pass before a kernel's time counts: renders of the modulated family, gradients, other families
    "render": ("test_modulated_mlp.py", "test_modulated_mlp_half.py", "test_modulated_mlp_gpu.py"),
    "gradients": ("test_modulated_backward.py", "test_modulated_backward_gpu.py"),
    "plain_mlp": ("test_plain_tensor_cores.py",),
    "c2f_mlp": ("test_c2f_tensor_cores.py",),
}
WORKERS = max(1, min(12, (os.cpu_count() or 1) - 2))  # of pytest-xdist, where it is: Triton compiles what a test draws


def kernel_tests(job):
    """The numerics of the CUDA kernels."""
    _tests(job, "kernels", _files("render", "gradients"), "not triton", "test_modulated_mlp.py",
           "eight_bit or wide_map")


def other_tests(job):
    """All others but Triton's."""
    ignored = [f"--ignore={file}" for file in _files("render", "gradients")]
    _tests(job, "others", [str(TESTS), *ignored], "not triton", "test_graphed.py", "lmliif or copies")


def triton_tests(job):
    """Those of the Triton kernels, gradients left out."""
    if not job.run_config.dry:
        _tests(job, "triton", [str(TESTS), *(f"--ignore={file}" for file in _files("gradients"))], "triton")


def gradient_tests(job):
    """Those of the Triton kernels that make gradients, which take longest to compile."""
    if not job.run_config.dry:
        _tests(job, "triton-gradients", _files("gradients"), "triton")


def _files(*tasks):
    return [str(TESTS / file) for task in tasks for file in NUMERICS[task]]


def _tests(job, group, where, expression, dry_file=None, dry_expression=None):
    """facts["tests/GROUP"], and facts["numerics/GROUP"]: {task: {backend: {dtype: {"passed", "failed", "skipped"}}}}.
    """
    found = job.folder / f"outcomes-{group}.jsonl"
    arguments = ["-q", "--tb=short", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    if job.run_config.dry:
        arguments += [str(TESTS / dry_file), "-k", dry_expression]
    else:
        arguments += [*where, "-m", "gpu and not slow", "-k", expression]
        if importlib.util.find_spec("xdist"):
            arguments += ["-n", str(WORKERS)]
    status = run_within(job.left(), [sys.executable, "-m", "pytest", "-c", str(config.ROOT / "pyproject.toml"),
                                     "--rootdir", str(config.ROOT), *arguments], LMF_TEST_OUTCOMES=str(found))
    outcomes = [json.loads(line) for line in found.read_text(encoding="utf-8").splitlines()] if found.exists() else []
    counts = count(outcomes)
    failed = [outcome["test"] for outcome in outcomes if outcome["outcome"] == "failed"]
    lost = sorted({outcome["file"] for outcome in outcomes if outcome["outcome"] == "not collected"})
    job.fact(f"tests/{group}", {**counts, "failed_tests": failed, "not_collected": lost, "stopped": status is None})
    job.fact(f"numerics/{group}", numerics(outcomes))
    if status != 0:
        job.fail(f"pytest {ended(status)}: {counts['failed']} failed, {[*lost, *failed][:3]}")
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


def passed(facts, backend, dtype, task="render"):
    """Whether the kernels' own tests of a task ran for a backend and type of fields, to their end, and none failed."""
    ran = failed = 0
    for fact, tasks in facts.items():
        title, _, group = fact.partition("/")
        counts = tasks.get(task, {}).get(backend, {}).get(dtype) if title == "numerics" else None
        if counts is None or group.startswith("triton") != (backend == "triton"):
            continue
        tests = facts.get(f"tests/{group}", {})
        if tests.get("stopped", True) or set(NUMERICS[task]) & set(tests.get("not_collected", ())):
            return False
        ran, failed = ran + counts["passed"], failed + counts["failed"]
    return ran > 0 and failed == 0
