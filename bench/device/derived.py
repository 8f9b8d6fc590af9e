"""What takes more than one entry of a record: shares of the ceilings, ratios to peers, verdicts, what is missing."""

from . import plan
from .run_config import FLOATS
from .device_tests import passed

PEERS = ("published", "compiled-published", "reference")
DRIFT = 0.1  # medians of one case that differ by more are worth a sentence


def finished(record):
    """The record with all of that filled in."""
    rates, facts, parts = record["facts"].get("rates", {}), record["facts"], record["parts"]
    device, commit = facts.get("device", {}), record["commit"] or {}
    peers = {_place(case, case["backend"], case["dtype"]): case["ns_per_pixel"]
             for case in record["cases"] if case["kind"] == "peer"}
    cases = []
    for case in record["cases"]:
        more = {"device": device.get("name"), "capability": device.get("capability"), "commit": commit.get("describe")}
        if case["kind"] == "gradients":
            more["numerics_passed"] = passed(facts, case["backend"], case["dtype"], "gradients")
        if case["kind"] in ("render", "peer"):
            more |= {
                "numerics_passed": passed(facts, case["backend"], case["dtype"],
                                          "render" if case["family"] == "modulated_mlp" else case["family"]),
                "share_of_matmul": _share(case["gflop_per_s"], rates.get("matmul_flop_per_s", {}), case["dtype"]),
                "share_of_mma_sync": _share(case["gflop_per_s"], rates.get("mma_sync_flop_per_s", {}), case["dtype"]),
                "share_of_copy": _share(case.get("gbyte_per_s"), rates, "copy_bytes_per_s"),
                "times": {f"{way}/{dtype}": peers[_place(case, way, dtype)] / case["ns_per_pixel"] for way in PEERS
                          for dtype in FLOATS if _place(case, way, dtype) in peers}}
        cases.append({**case, **more})
    missing, failed = missing_parts(parts), failures(parts)
    return {**record, "cases": cases, "failures": failed, "missing": missing,
            "complete": not (failed or missing or record["quick"]),
            "warnings": [text for part in parts.values() for text in part["warnings"]] + _remarks(record)}


def failures(parts):
    """A sentence for each failure of the parts."""
    return [f"{name}: {text}" for name, part in parts.items() for text in part["failures"]]


def missing_parts(parts):
    """The parts of the plan that did not run to their end, or lack cases."""
    return [name for name in plan.NEEDED
            if name not in parts or parts[name]["failed"] is not None or parts[name]["missed"]]


def _remarks(record):
    """What a reader of the numbers should know, in words."""
    found = []
    for name, part in record["parts"].items():
        if part["missed"]:
            found.append(f"{name}: no time for {len(part['missed'])} cases, {part['missed'][0]} the first of them")
    if record["quick"]:
        return [*found, "a dry run on the CPU: the sizes are tiny and the times mean nothing"]
    open_queue = [case["name"] for case in record["cases"] if not case.get("covered", True)]
    if open_queue:
        found.append(f"the GPU waited for the host in {len(open_queue)} cases, {open_queue[0]} the first of them: "
                     "their times contain launches")
    drifts = {case["name"]: abs(case["seconds"]["median"] / median - 1) for case in record["cases"]
              for _, median in case.get("earlier", ())}
    if drifts and max(drifts.values()) > DRIFT:
        name = max(drifts, key=drifts.get)
        found.append(f"{name}, measured more than once, differs by {drifts[name]:.0%}")
    return found


def _place(case, way, dtype):
    return way, case["model"], tuple(case["lr"]), case["scale"], dtype


def _share(giga, rates, name):
    rate = rates.get(name)
    return giga * 1e9 / rate if giga and rate else None
