"""The same cases on every processor that a complete run of `pytest bench` was made on."""

import json
import pathlib

from bench.formats import number, percent, seconds, table

RESULTS = pathlib.Path(__file__).resolve().parent.parent / "results"


def processors(run):
    """LM-LIIF's render stage from the complete runs in bench/results, the newest first. run: unused, as every table."""
    rows = [_row(stored) for stored in sorted(_complete(), key=lambda stored: stored["finished"], reverse=True)]
    heads = ["processor", "run", "x12", "x4 per pixel, x12 = 1", "x2 per pixel", "of the FMA peak, AVX-512", "AVX2",
             "x published at x12", "x `torch.compile` of it", "whole picture, x published"]
    return table(heads, rows)


def _complete():
    """The records of the complete runs on a CPU."""
    found = (json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.glob("*.json"))
    return [stored for stored in found if stored.get("on", "cpu") == "cpu" and stored["complete"]]


def _row(stored):
    cases = {record["name"]: record for record in stored["cases"]}
    machine = stored["machine"]

    def of(scale, isa, fact):
        return cases.get(f"cpu/lmliif/{scale}/{isa}", {}).get(fact)

    def whole(way):
        return cases.get(f"pipeline/{way}", {}).get("seconds", {}).get("median")

    x12 = cases[f"cpu/lmliif/x12/{machine['isa']}"]
    gain = whole("published") / whole("lmf_kernels") if whole("published") and whole("lmf_kernels") else None
    commit = (stored["commit"] or {}).get("describe", "unknown")
    return [f"{machine['cpu']} (family {machine['cpu_family']}), {machine['threads']} threads",
            f"{stored['finished'][:10]}, {commit}", seconds(x12["seconds"]["median"]),
            *(number(of(scale, machine["isa"], "per_pixel_of_x12")) for scale in ("x4", "x2")),
            *(percent(of("x12", isa, "share_of_peak")) for isa in ("avx512", "avx2")),
            *(number(x12["times"].get(way)) for way in ("published", "compiled-published")), number(gain)]
