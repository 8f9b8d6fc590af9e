"""The calls of bench/device.sh: they fit their limits, and what each found adds up to one record."""

import copy
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import pytest
from bench.device import (
    calls, derived, identity, merging, part, pipeline, plan, render_stage, report, results_file, tools, train,
)
from bench.device.run_config import FLOATS, RunConfig

ROOT = pathlib.Path(__file__).resolve().parent.parent


class OnGpu(RunConfig):
    """A configuration as on a GPU where all kernels run; nothing asks it for a device."""

    kernels = [(backend, dtype) for backend in ("cuda", "triton") for dtype in FLOATS]


def entry(call, name="x", at="2030-01-01T00:00:00", begun=True, failed=None, missed=()):
    return {"call": call, "at": at, "begun": begun, "seconds": 1.0, "failed": failed,
            "failures": [failed] if failed else [], "warnings": [], "missed": list(missed)}


def record(call, parts=(), cases=(), facts=None, **changes):
    """A record of a call on day `call`."""
    day = f"2030-01-0{call}T00:00:0"
    return {"schema": results_file.SCHEMA, "on": "gpu", "started": day + "0", "finished": day + "9", "quick": False,
            "machine": {}, "versions": {"torch": "2"}, "commit": None, "sources": "s",
            "parts": {name: entry(call, at=day + "5") for name in parts},
            "facts": {"device": {"name": "G", "driver": "1"}, **(facts or {})}, "cases": list(cases), **changes}


def case(name, call, seconds=1.0, **more):
    return {"name": name, "kind": "call", "at": f"2030-01-0{call}T00:00:05", "call": call,
            "seconds": {"median": seconds}, **more}


def needed(call):
    return [one.name for one in plan.CALLS[call][1] if one.name != plan.TRAIN]


# ---- the plan

@pytest.mark.parametrize("call", plan.CALLS)
def test_a_call_stays_under_nine_minutes(call):
    assert plan.limits(call) <= plan.CALL == 540
    for one in plan.CALLS[call][1]:
        assert one.name == plan.TRAIN or 5 <= one.expected < one.limit, one.name
    build = re.search(r"^limit=(\d+)", (ROOT / "bench" / "device.sh").read_text(), re.MULTILINE)
    assert int(build[1]) == plan.BUILD > plan.BUILD_EXPECTED


def test_every_part_s_work_is_there():
    for one in plan.PARTS:
        assert callable(part._resolved(one.work)), one.name


def test_the_plan_counts_what_the_parts_measure(monkeypatch, tmp_path):
    measured = []
    monkeypatch.setattr(render_stage, "measured", lambda job, title, *more: measured.append(title))
    monkeypatch.setattr(pipeline, "at_size", lambda job, *more: measured.append(str(more)))
    for one in plan.PARTS:
        if one.cases:
            measured.clear()
            part._resolved(one.work)(part.Job(one.name, OnGpu(dry=False), tmp_path, 1000))
            assert len(set(measured)) == len(measured) == one.cases, one.name


def test_the_plan_is_printed_without_torch():
    code = "import sys; sys.modules['torch'] = None; sys.argv[1:] = ['--plan']; import runpy; " \
           "runpy.run_module('bench.device', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for one in plan.PARTS:
        if one.name != plan.TRAIN:
            assert re.search(rf"^  {one.name} +{one.expected} s +{one.limit} s", done.stdout, re.MULTILINE), one.name
    assert "call 3" in done.stdout and "  train " in done.stdout


def test_time_that_a_part_leaves_goes_to_the_next_but_no_part_s_limit_does():
    parts = [plan.Part(name, None, 100) for name in "abc"]
    assert calls._seconds(parts[0], parts[1:], 300) == 100
    assert calls._seconds(parts[0], parts[1:], 340) == 140
    assert calls._seconds(parts[0], parts[1:], 1000) == 200
    assert calls._seconds(parts[2], [], 60) == 60
    assert calls._seconds(plan.TRAINING, [], 60) == 60


def test_only_and_training():
    assert [one.name for one in plan.parts_of(1, only=["rates"])] == ["gpu-info", "rates"]
    assert [one.name for one in plan.parts_of(3, train=True)][-1] == plan.TRAIN
    assert plan.TRAIN not in [one.name for one in plan.parts_of(3)]
    assert {one.name for one in plan.parts_of(None)} == set(plan.NEEDED)


def test_a_call_leaves_six_files_under_15_mb():
    """A training state of the full model in pieces, weights and log, beside the results file and the log."""
    import lmf_kernels
    from lmf_kernels.training import shipping_spec

    spec = copy.deepcopy(shipping_spec())
    spec["args"]["encoder_spec"]["args"]["n_resblocks"] = 16
    numbers = 4 * sum(p.numel() for p in lmf_kernels.build_model(spec).parameters())  # weights, average, two of Adam's
    assert -(-(4 * numbers + 100_000) // train.PIECE) <= 2 and train.PIECE < 15e6
    from bench.device.__main__ import LARGEST
    assert LARGEST < 15e6


# ---- merging

def test_complete_is_the_union_of_the_calls():
    records = [record(call, needed(call)) for call in plan.CALLS]
    whole = derived.finished(merging.merged(records))
    assert whole["complete"] and whole["missing"] == []
    assert whole["started"] == records[0]["started"] and whole["finished"] == records[2]["finished"]
    assert derived.finished(merging.merged(records[::-1])) == whole
    assert derived.finished(merging.merged([merging.merged(records[:2]), *records])) == whole
    two = derived.finished(merging.merged(records[:2]))
    assert not two["complete"] and two["missing"] == [name for name in needed(3) if name != "gpu-info"]
    assert not derived.finished(merging.merged([*records[:2], {**records[2], "quick": True}]))["complete"]


def test_a_part_that_failed_or_lacks_cases_is_mended_by_a_later_call():
    records = [record(call, needed(call)) for call in plan.CALLS]
    records[0]["parts"]["render"] = entry(1, missed=["a", "b"])
    records[0]["cases"] = [case("c", 1)]
    records[1]["parts"]["peers"] = entry(2, failed="it died of signal SIGSEGV")
    broken = derived.finished(merging.merged(records))
    assert broken["missing"] == ["render", "peers"] and broken["failures"] == ["peers: it died of signal SIGSEGV"]
    assert "render: no time for 2 cases, a the first of them" in broken["warnings"]
    mended = record(4, ["peers"], [case("a", 4), case("b", 4)])
    assert derived.finished(merging.merged([*records, mended]))["complete"]
    unbegun = record(5)
    unbegun["parts"]["render"] = entry(5, at="2030-01-05T00:00:05", begun=False, failed="no time was left to begin it")
    assert derived.finished(merging.merged([*records, mended, unbegun]))["complete"]
    killed = record(6)
    killed["parts"]["render"] = entry(6, at="2030-01-06T00:00:05", failed="it was still running when its time was over")
    assert derived.finished(merging.merged([*records, mended, killed]))["missing"] == ["render"]


def test_of_a_case_measured_twice_the_last_counts_and_knows_the_first():
    first, second = record(1, cases=[case("a", 1, 1.0)]), record(2, cases=[case("a", 2, 1.5)])
    for order in ([first, second], [second, first], [merging.merged([first, second]), first]):
        (found,) = merging.merged(order)["cases"]
        assert found["call"] == 2 and found["earlier"] == [("2030-01-01T00:00:05", 1.0)]
    assert "a, measured more than once, differs by 50%" in derived.finished(merging.merged([first, second]))["warnings"]


def test_records_that_differ_do_not_go_together(tmp_path):
    here = record(3)
    for what, change in (("sources", {"sources": "t"}), ("dry run", {"quick": True}), ("torch", {"versions": {}}),
                         ("GPU", {"facts": {"device": {"name": "H", "driver": "1"}}}),
                         ("driver", {"facts": {"device": {"name": "G", "driver": "2"}}})):
        assert identity.difference({**record(1), **change}, here).startswith(what)
    same = results_file.write(record(1), tmp_path / "same")
    other = results_file.write({**record(2), "sources": "t"}, tmp_path / "other")
    (tmp_path / "broken.json").write_text("{")
    found, sentences = merging.fitting([same, other, tmp_path / "broken.json", tmp_path / "none.json"], here)
    assert [one["started"] for one in found] == [record(1)["started"]]
    assert re.search("is left out: sources t and s", sentences[0]) and "is no results file" in sentences[1]
    assert len(sentences) == 3


def test_verdicts_count_for_later_calls_of_the_same_sources_alone(tmp_path):
    facts = {"tests/kernels": {"passed": 9, "failed": 0, "stopped": False, "not_collected": []},
             "numerics/kernels": {"render": {"cuda": {"float16": {"passed": 9, "failed": 0, "skipped": 0}}}}}
    row = {"kind": "render", "backend": "cuda", "dtype": "float16", "family": "modulated_mlp", "model": "lmliif",
           "lr": [2, 2], "scale": "x2", "gflop_per_s": 1.0, "ns_per_pixel": 1.0}
    tested, timed = record(1, ["tests"], facts=facts), record(2, ["render"], [case("a", 2, **row)])
    path = results_file.write(tested, tmp_path)

    def verdict(timed):
        (found,) = derived.finished(merging.merged([*merging.fitting([path], timed)[0], timed]))["cases"]
        return found["numerics_passed"]

    assert verdict(timed) is True
    assert verdict({**timed, "sources": "another commit's"}) is False
    for spoilt in ({"stopped": True}, {"not_collected": ["test_modulated_mlp_half.py"]}):
        results_file.write({**tested, "facts": {**facts, "device": tested["facts"]["device"],
                                                "tests/kernels": {**facts["tests/kernels"], **spoilt}}}, tmp_path)
        assert verdict(timed) is False


def test_the_sources_digest_knows_files_and_nothing_else(tmp_path):
    for name in ("a.py", "sub/b.py", "c.json"):
        (tmp_path / "lmf_kernels" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "lmf_kernels" / name).write_text(name)
    digest = identity.python_digest([tmp_path / "lmf_kernels"])
    (tmp_path / "lmf_kernels" / "c.json").write_text("other")
    assert identity.python_digest([tmp_path / "lmf_kernels"]) == digest
    (tmp_path / "lmf_kernels" / "sub" / "b.py").write_text("other")
    assert identity.python_digest([tmp_path / "lmf_kernels"]) != digest


def test_what_is_installed_here_is_these_sources():
    done = subprocess.run([sys.executable, "-m", "bench.device.installed"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + " Build and install again."


# ---- a call

@pytest.fixture
def keeper(tmp_path):
    from bench.device.__main__ import Keeper

    options = type("Options", (), {"out": str(tmp_path / "out"), "previous": [], "dry_run": True, "call": 1})
    return Keeper(options, report.Report(RunConfig(dry=True), part.now(), 1), tmp_path)


def test_a_killed_call_loses_the_running_part_alone(keeper, tmp_path):
    """The results file as it is while the second part runs, which is when the call would be killed."""
    def second(job):
        (path,) = (tmp_path / "out").glob("*.json")
        job.fact("seen", json.loads(path.read_text()))

    parts = [plan.Part("gpu-info", "gpu_info:gpu_info", 30), plan.Part("first", lambda job: job.case(case("a", 1)), 30),
             plan.Part("second", second, 30)]
    calls.run_all(parts, keeper.found.run_config, tmp_path, keeper.log, keeper.found, 90, ended=keeper.keep)
    seen = keeper.found.facts["seen"]
    assert [one["name"] for one in seen["cases"]] == ["a"] and list(seen["parts"]) == ["first", "gpu-info"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{keeper.path.stem}-log-1.txt", f"{keeper.path.stem}.json"]


def test_a_lost_context_costs_one_case(tmp_path):
    names = ["a", "b", "c", "d"]

    def work(job):
        for (name,) in job.todo([(name,) for name in names]):
            if name in ("b", "d"):
                render_stage.fail(job, name, RuntimeError("CUDA error: an illegal memory access was encountered"))
            job.case(case(name, 1))

    found = report.Report(RunConfig(dry=True), part.now())
    calls.run_all([plan.Part("render", work, 60)], found.run_config, tmp_path, tmp_path / "log", found, 60)
    assert [one["name"] for one in found.cases] == ["a", "c"]
    assert [text.split(":")[1] for text in found.failures] == [" b", " d"]


def test_what_the_record_has_comes_last_and_what_there_is_no_time_for_is_named(tmp_path):
    job = part.Job("render", None, tmp_path, 60, known={"a"})
    assert [name for (name,) in job.todo([("a",), ("b",), ("c",)])] == ["b", "c", "a"]
    job.until = time.monotonic()
    assert list(job.todo([("a",), ("b",)])) == [] and job.found() == [{"missed": "b"}, {"missed": "a"}]


def test_a_module_that_cannot_be_imported_fails_its_own_part(tmp_path):
    parts = [plan.Part("broken", "no_such_module:work", 30), plan.Part("gpu-info", "gpu_info:gpu_info", 30)]
    found = report.Report(RunConfig(dry=True), part.now())
    calls.run_all(parts, found.run_config, tmp_path, tmp_path / "log", found, 60)
    assert found.failures == ["broken: it raised; the log has the traceback"] and found.facts["device"]["name"] == "CPU"


# ---- the tools

def test_tools_are_found_in_their_usual_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "home"))
    for name in ("cuda-12.8/bin/nvcc", "cuda-13.0/bin/nvcc", "cuda-9.2/bin/nvcc", "compute/2025.3.1/ncu"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    usual = ("$CUDA_HOME/bin", f"{tmp_path}/cuda-*/bin", f"{tmp_path}/compute/*")
    assert tools.find("nvcc", usual) == str(tmp_path / "cuda-13.0/bin/nvcc")
    assert tools.find("compute-sanitizer", usual) is None
    assert tools.missing_folders(usual) == [str(tmp_path / "cuda-13.0/bin"), str(tmp_path / "compute/2025.3.1")]
    (tmp_path / "home/bin").mkdir(parents=True)
    os.link(tmp_path / "cuda-9.2/bin/nvcc", tmp_path / "home/bin/nvcc")
    assert tools.find("nvcc", usual) == str(tmp_path / "home/bin/nvcc")
    monkeypatch.setenv("PATH", str(tmp_path / "cuda-12.8/bin"))
    assert tools.find("nvcc", usual) == str(tmp_path / "cuda-12.8/bin/nvcc")
