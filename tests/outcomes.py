"""Writes each test's outcome, backend and type of fields as a line of $LMF_TEST_OUTCOMES, where that names a file.

Child processes that run tests of their own write to the same file. coverage_table.py and bench/device read it.
"""

import json
import os

import pytest
import torch

WORDS = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16", "f16": "float16"}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if "LMF_TEST_OUTCOMES" not in os.environ:
        return
    if report.when == "call" or report.outcome == "skipped" or (report.when == "setup" and report.failed):
        write(item, report.outcome)


def pytest_collectreport(report):
    """A file that cannot be imported: none of its tests runs."""
    if report.failed and "LMF_TEST_OUTCOMES" in os.environ:
        append({"test": report.nodeid, "file": os.path.basename(report.nodeid), "outcome": "not collected",
                "backend": None, "dtype": None})


def write(item, outcome):
    given = item.callspec.params if hasattr(item, "callspec") else {}
    append({"test": item.nodeid, "file": item.path.name, "outcome": outcome, "backend": given.get("backend"),
            "dtype": dtype_of(given.values())})


def append(entry):
    """One line; several processes may write at once, and a line this short is written whole."""
    line = (json.dumps(entry) + "\n").encode()
    file = os.open(os.environ["LMF_TEST_OUTCOMES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(file, line)
    os.close(file)


def dtype_of(values):
    """The dtype among a test's parameters, by itself or by name; float32 where there is none."""
    for value in values:
        name = str(value).removeprefix("torch.") if isinstance(value, (str, torch.dtype)) else ""
        if WORDS.get(name, name) in ("float32", "float16", "bfloat16"):
            return WORDS.get(name, name)
    return "float32"
