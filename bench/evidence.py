"""Makes the table by which backend="auto" chooses among GPU kernels, from result files of runs on GPUs.

    python -m bench.evidence [FILE ...]            prints the entries of FILEs, or of bench/results
    python -m bench.evidence [FILE ...] --write    writes them into the package: lmf_kernels/backends/measured.json
    python -m bench.evidence [FILE ...] --check    exit status 1 where the package has any others

A file of a run on a GPU says "on": "gpu". Of its cases those count whose kind is "render" or "gradients", whose backend
is a GPU kernel, and whose numbers passed ("numerics_passed": true); they carry "device", "capability", "family",
"model", "dtype" (of the fields), "cells", "pixels" and "gpixel_per_s". Of one case in several files the latest counts.
Quick runs measure nothing and give nothing; nor do gradients slower than plain torch's ("backend": "torch") in the same
run.
"""

import argparse
import json
import pathlib
import sys

from lmf_kernels.backends import evidence
from lmf_kernels.backends.dispatch import BACKENDS
from lmf_kernels.files import atomic_write

MEASURED = [name for name, backend in BACKENDS.items() if backend.needs_evidence]
RESULTS = pathlib.Path(__file__).resolve().parent / "results"
VARIANTS = {"lmliif": "linear head", "lmlte": "fourier head", "lmciaosr": "linear head", "liif": "linear head",
            "lte": "fourier head", "diif": "linear head, linear slices", "dlte": "fourier head, linear slices"}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=pathlib.Path)
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--write", action="store_true")
    action.add_argument("--check", action="store_true")
    chosen = parser.parse_args(arguments)
    files = chosen.files or sorted(RESULTS.glob("*.json"))
    found = collect([json.loads(path.read_text(encoding="utf-8")) for path in files])
    if chosen.check:
        same = found == list(evidence.entries())
        print(f"{evidence.FILE.name} {'agrees with' if same else 'differs from'} {len(files)} files")
        return int(not same)
    for entry in found:
        print(entry)
    print(f"{len(found)} entries from {len(files)} files")
    if chosen.write:
        with atomic_write(evidence.FILE) as temporary:
            pathlib.Path(temporary).write_text(as_json(found), encoding="utf-8")
    return 0


def collect(runs):
    """The evidence.Entry of every case of the runs, each once, in a fixed order."""
    latest = {}
    for run in sorted(runs, key=lambda run: run["started"]):
        for entry in entries_of(run):
            latest[entry._replace(gpixel_per_s=None, commit=None)] = entry
    return sorted(latest.values())


def entries_of(run):
    """The entries of one results file; none of a run without a GPU."""
    if run.get("on") != "gpu" or run["quick"]:
        return
    commit = run["commit"] or {"describe": "unknown", "dirty": False}
    plain = {case["model"]: case["gpixel_per_s"] for case in run["cases"]
             if case["kind"] == evidence.GRADIENTS and case["backend"] == "torch"}
    for case in run["cases"]:
        if case["kind"] == evidence.GRADIENTS and case["gpixel_per_s"] < plain.get(case["model"], 0):
            continue
        if case["kind"] in evidence.TASKS and case["backend"] in MEASURED and case.get("numerics_passed") is True:
            yield evidence.Entry(
                case["device"], tuple(case["capability"]), case["backend"], case["kind"], case["family"],
                VARIANTS[case["model"]], case["dtype"], case["cells"], case["pixels"], round(case["gpixel_per_s"], 4),
                commit["describe"] + " with changes" * commit["dirty"])


def as_json(found):
    """The text of measured.json: an entry a line."""
    lines = ",\n".join(f"  {json.dumps(entry._asdict())}" for entry in found)
    return f'{{\n "schema": {evidence.SCHEMA},\n "entries": [{chr(10) + lines + chr(10) + " " if lines else ""}]\n}}\n'


if __name__ == "__main__":
    sys.exit(main())
