"""Prints how many parametrised cases of each test every backend passed, from a file that outcomes.py wrote.

    python tests/coverage_table.py FILE

A dash: the backend is not among the test's cases, or all of them were skipped. The exit status is 1 where one failed.
"""

import json
import sys
from collections import Counter

LAST = ("reference", "emulator", "cuda", "triton")  # after the CPU's instruction sets


def main(path):
    with open(path, encoding="utf-8") as file:
        outcomes = [outcome for outcome in map(json.loads, file) if outcome["backend"]]
    rows = table(outcomes)
    widths = [max(map(len, column)) for column in zip(*rows)]
    for name, *cells in rows:
        print("  ".join([name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:]))]))
    print("\nemulator: the CUDA kernels lane by lane; triton: in Triton's interpreter, and on a GPU where there is one")
    return int(any(outcome["outcome"] == "failed" for outcome in outcomes))


def table(outcomes):
    """Rows of words, the heads first and the sums last: a test, then what each backend passed."""
    backends = sorted({o["backend"] for o in outcomes}, key=lambda name: (name in LAST and 1 + LAST.index(name), name))
    counts = Counter((test_of(o), o["backend"], o["outcome"]) for o in outcomes)
    tests = dict.fromkeys(map(test_of, outcomes))
    rows = [["test", *backends]]
    rows += [[test, *(cell(counts, test, backend) for backend in backends)] for test in tests]
    passed = Counter(o["backend"] for o in outcomes if o["outcome"] == "passed")
    return [*rows, ["all", *(str(passed[backend]) for backend in backends)]]


def test_of(outcome):
    """File and function, without parameters."""
    name = outcome["test"].split("[")[0].split("::")[-1].removeprefix("test_").replace("_", " ")
    return f"{outcome['file'].removeprefix('test_').removesuffix('.py')}: {name}"


def cell(counts, test, backend):
    failed, passed = (counts[test, backend, word] for word in ("failed", "passed"))
    return f"{failed} FAILED" if failed else str(passed or "-")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
