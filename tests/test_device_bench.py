"""bench/device.sh: its dry run measures everything on the CPU, and no part that fails takes the others with it."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from bench.device import calls, device_tests, part, plan, report, train
from bench.device.run_config import RunConfig

BENCH = pathlib.Path(__file__).resolve().parent.parent / "bench"
FILES = 6  # that a call may leave
ROW = {"name", "kind", "device", "capability", "backend", "family", "model", "dtype", "lr", "size", "scale", "cells",
       "pixels", "seconds", "gpixel_per_s", "commit", "numerics_passed", "share_of_matmul", "times", "sm_clock_mhz",
       "host_s", "covered", "part", "call", "at"}


def names(call):
    return [one.name for one in plan.CALLS[call][1] if one.name != plan.TRAIN]


@pytest.fixture
def job(tmp_path):
    return part.Job("trial", None, tmp_path, 30)


def dry_run(call, out, *options):
    """One call; (the results file, what it holds, the output)."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LMF_")}
    done = subprocess.run(["bash", str(BENCH / "device.sh"), "--python", sys.executable, "--dry-run", "--call",
                           str(call), "--out", str(out), *options], capture_output=True, text=True,
                          env={**environment, "OUT": ""})
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    (path,) = out.glob("*.json")
    assert len(list(out.iterdir())) <= FILES
    return path, json.loads(path.read_text()), done.stdout


def test_dry_run_of_the_three_calls(tmp_path):
    """As three machines would run them: each knows of the ones before by their results file alone."""
    first, stored, _ = dry_run(1, tmp_path / "1", "--previous")
    assert set(stored["parts"]) == {"build", *names(1)}
    assert set(stored["missing"]) == {*names(2), *names(3)} - {"gpu-info"}
    assert {case["kind"] for case in stored["cases"]} == {"render"}
    second, stored, _ = dry_run(2, tmp_path / "2", "--previous", str(first))
    assert set(stored["missing"]) == {*names(3)} - {"gpu-info", "train"} and stored["facts"]["tests/kernels"]["passed"]
    again = {case["name"]: case for case in stored["cases"]
             if case["kind"] == "render" and case["family"] == "modulated_mlp"}
    assert all(case["part"] == "peers" and len(case["earlier"]) == 1 for case in again.values())
    path, stored, printed = dry_run(3, tmp_path / "3", "--previous", str(second))
    assert stored["missing"] == [] and {part["call"] for part in stored["parts"].values()} == {1, 2, 3}
    merged = subprocess.run(["bash", str(BENCH / "device.sh"), "--python", sys.executable, "--merge", str(path),
                             str(first), str(second), "--out", str(tmp_path / "all")], capture_output=True, text=True)
    assert merged.returncode == 0, merged.stdout[-6000:] + merged.stderr
    assert json.loads((tmp_path / "all" / path.name).read_text()) == stored
    check_whole_dry_run(path, stored, printed)


def check_whole_dry_run(path, stored, printed):
    assert not stored["failures"] and stored["quick"] and not stored["complete"] and stored["on"] == "gpu"
    kinds = {case["kind"] for case in stored["cases"]}
    assert kinds == {"render", "peer", "pipeline", "call", "latency", "gradients", "step"}
    rows = [case for case in stored["cases"] if case["kind"] == "render" and case["family"] == "modulated_mlp"]
    assert {(row["backend"], row["model"], row["scale"]) for row in rows} == {
        ("cpu", model, scale) for model in ("lmliif", "lmlte") for scale in ("x2", "x3.3")}
    for row in rows:
        assert ROW <= set(row) and row["numerics_passed"] is True and row["times"]["published/float32"] > 0
        assert {"median", "iqr", "samples"} <= set(row["seconds"])
    dense = [case for case in stored["cases"] if case["kind"] == "render" and case["family"] != "modulated_mlp"]
    assert {(row["family"], row["model"]) for row in dense} == {
        ("c2f_mlp", "diif"), ("c2f_mlp", "dlte"), ("plain_mlp", "liif"), ("plain_mlp", "lte")}
    for row in dense:  # a dry run runs none of their tests
        assert ROW <= set(row) and row["numerics_passed"] is False and row["flop"] > 0
    peers = {(case["backend"], case["dtype"]) for case in stored["cases"] if case["kind"] == "peer"}
    assert {("published", "float32"), ("published", "bfloat16"), ("reference", "float32"), ("reference", "bfloat16"),
            ("compiled-published", "float32")} == peers
    assert any(set(case.get("stages", ())) == {"encoder", "latent", "render"} for case in stored["cases"])
    assert stored["facts"]["tests/others"]["passed"] and stored["facts"]["sanitizer"] == {"nothing": True}
    assert stored["facts"]["rates"]["copy_bytes_per_s"] > 0 and stored["facts"]["first_call"]["seconds"]
    assert "| LM-LIIF x2, 14x10 | cpu fp32 |" in printed and str(path) in printed
    shown = subprocess.run([sys.executable, "-m", "bench.tables", str(path)], cwd=BENCH.parent, capture_output=True,
                           text=True)
    assert shown.returncode == 0 and shown.stdout.strip() in printed


def test_a_part_s_findings_outlive_it(job, tmp_path):
    def work(job):
        print("to the log")
        job.case({"name": "a"})
        job.warn("warm")
        os.kill(os.getpid(), signal.SIGKILL)

    assert part.run(work, job, tmp_path / "log") == "it died of signal SIGKILL"
    case, warning = job.found()
    assert case.pop("at") and case == {"case": {"name": "a"}} and warning == {"warning": "warm"}
    assert (tmp_path / "log").exists()


def test_a_part_that_raises(job, tmp_path):
    def work(job):
        raise ValueError("no such thing")

    assert part.run(work, job, tmp_path / "log") == "it raised; the log has the traceback"
    assert "ValueError: no such thing" in (tmp_path / "log").read_text()


def test_a_part_that_hangs_is_ended_with_what_it_started(tmp_path):
    def work(job):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        job.fact("child", child.pid)
        time.sleep(60)

    job = part.Job("trial", None, tmp_path, 1)
    started = time.monotonic()
    assert part.run(work, job, tmp_path / "log") == "it was still running when its time was over"
    assert time.monotonic() - started < 30
    (found,) = job.found()
    for _ in range(50):
        state = pathlib.Path(f"/proc/{found['value']}/stat")
        if not state.exists() or state.read_text().split(")")[1].split()[0] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("the child runs on")


def test_failures_are_told_and_stop_nothing(tmp_path):
    def broken(job):
        raise RuntimeError("broken")

    def wrong(job):
        job.fail("a wrong number")
        job.fact("here", 1)

    found = report.Report(RunConfig(dry=True), report.now())
    everything = (plan.Part("broken", broken, 30), plan.Part("wrong", wrong, 30),
                  plan.Part("last", lambda job: job.fact("last", 2), 30))
    calls.run_all(everything, found.run_config, tmp_path, tmp_path / "log", found, 60)
    assert found.facts == {"here": 1, "last": 2}
    assert found.failures == ["broken: it raised; the log has the traceback", "wrong: a wrong number"]
    calls.run_all(everything[2:], found.run_config, tmp_path, tmp_path / "log", found, 0)
    assert found.failures[-1] == "last: no time was left to begin it"
    assert not found.finish()["complete"]


def test_numerics_count_only_when_the_tests_ran_to_their_end():
    outcomes = [{"file": "test_modulated_mlp.py", "backend": backend, "dtype": dtype, "outcome": outcome, "test": "t"}
                for backend, dtype, outcome in (("cuda", "float32", "passed"), ("cuda", "float16", "failed"),
                                                ("cuda", "float16", "passed"), ("cuda", "bfloat16", "skipped"),
                                                ("triton", "float32", "passed"), ("triton", "bfloat16", "skipped"))]
    facts = {f"numerics/{group}": device_tests.numerics(outcomes) for group in ("others", "triton")}
    facts |= {"tests/others": {"stopped": False}, "tests/triton": {"stopped": True}}
    assert device_tests.passed(facts, "cuda", "float32")
    assert not device_tests.passed(facts, "cuda", "float16") and not device_tests.passed(facts, "cuda", "bfloat16")
    assert not device_tests.passed(facts, "triton", "float32")
    assert device_tests.passed({**facts, "tests/triton": {"stopped": False}}, "triton", "float32")
    assert not device_tests.passed({**facts, "tests/triton": {"stopped": False}}, "triton", "bfloat16")
    assert not device_tests.passed({}, "cuda", "float32")
    assert not device_tests.passed(facts, "cuda", "float32", "gradients")
    backward = [{**outcomes[0], "file": "test_modulated_backward.py"}]
    facts["numerics/others"] = device_tests.numerics(backward)
    assert device_tests.passed(facts, "cuda", "float32", "gradients")


def test_training_s_state_travels_in_pieces(tmp_path):
    from lmf_kernels.training.run_folder import STATE, WEIGHTS

    work, pieces, again = (tmp_path / name for name in ("work", "pieces", "again"))
    for folder in (work, pieces, again):
        folder.mkdir()
    state = os.urandom(train.PIECE + 1000)
    (work / STATE).write_bytes(state)
    (work / WEIGHTS).write_bytes(b"weights")
    assert train.split(work, pieces) == [WEIGHTS, f"{STATE}.00", f"{STATE}.01"]
    train.join(pieces, again)
    assert (again / STATE).read_bytes() == state and (again / WEIGHTS).read_bytes() == b"weights"
    (work / STATE).write_bytes(b"small")
    assert train.split(work, pieces) == [WEIGHTS, f"{STATE}.00"]
    assert sorted(path.name for path in pieces.iterdir()) == [f"{STATE}.00", WEIGHTS]
