"""Self-checks in real child processes, of stand-ins for GPU kernels on CPU tensors."""

import json
import os
import re
import subprocess
import sys
import threading

import pytest
import selfcheck_standins as standins
import torch
from every_backend import needs_gpu
from lmf_kernels.backends import dispatch, evidence
from lmf_kernels.ops import modulated_mlp
from lmf_kernels.selfcheck import child, lookup, process, run, verdicts
from lmf_kernels.selfcheck.verdicts import Item
from selfcheck_setup import (CPU, KEY, SPEC, TODAY, call_of, explained, forget, item, lines_of, registering, render,
                             who_ran)


def test_right_and_fast_is_used_from_then_on(kernels, caplog, monkeypatch):
    backends = kernels("fast")
    pixels = render()
    assert who_ran(backends) == ["fast"]
    torch.testing.assert_close(pixels, modulated_mlp(*call_of()[2:4], SPEC, (6, 8), backend="reference"))
    (line,) = lines_of(caplog)
    assert re.fullmatch(
        "lmf_kernels: checking kernels once on .*: fast, modulated_mlp render, linear head, float32; takes up to 300 "
        "s, LMF_KERNELS_SELFCHECK=0 turns it off", line)
    monkeypatch.setattr(run, "check", None)
    render()
    forget()  # the next process
    render()
    assert backends["fast"].ran == 3 and len(lines_of(caplog)) == 1
    assert re.search(r"right and [\d.]+ times as fast as plain PyTorch, x4 .* ms against .* ms, points .*",
                     str(explained()))


def test_the_verdicts_file(kernels, tmp_path):
    kernels("fast")
    render()
    (path,) = (tmp_path / "cache" / "selfcheck").glob("*.json")
    stored = json.loads(path.read_text())
    assert set(stored["key"]) == {"gpu", "capability", "driver", "torch", "triton", "build"}
    assert stored["key"]["torch"] == torch.__version__
    items = {Item(**verdict["item"]) for verdict in stored["verdicts"]}
    assert item("fast") in items, "what was asked for comes first; others as long as they take no time"
    assert {entry.name for entry in path.parent.iterdir()} == {path.name, path.with_suffix(".lock").name}


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """{name: Verdict} of one check of every stand-in."""
    names = [name for name in standins.BEHAVIOURS if name != "full"]
    with pytest.MonkeyPatch.context() as patch, registering(patch, tmp_path_factory.mktemp("judged")) as register:
        register(*names)
        outcome = run.check(verdicts.store_of(CPU), CPU, list(map(item, names)), (), 500, each=20)
    assert outcome.unresolved == {}
    return {verdict.item.backend: verdict for verdict in outcome.verdicts}


@pytest.mark.parametrize("behaviour, says", [
    ("slow", "right, but no faster than plain PyTorch, x4 .* ms against .* ms, points .* ms against .* ms"),
    ("wrong", "wrong numbers, x3.7: the output has a largest error of .*, .* is allowed"),
    ("turned", "wrong numbers, x3.7: the output has a largest error of .*, .* is allowed"),
    ("unwritten", "wrong numbers, x3.7: the output is not finite or left unwritten in places"),
    ("abort", r"ended the self-check's process with signal 6 \(Aborted\)"),
    ("segfault", r"ended the self-check's process with signal 11 \(Segmentation fault\)"),
    ("exit", "ended the self-check's process with status 7"),
    ("hang", "did not finish within 20 s"),
    ("raise", r"raised RuntimeError: Failed to find C compiler. Please specify via CC environment variable"),
])
def test_any_other_is_left_to_the_reference(kernels, judged, behaviour, says, no_check):
    """In whatever way a kernel fails, it does so in the child process, and those after it are judged all the same."""
    assert re.fullmatch(says, judged[behaviour].found) and not judged[behaviour].good
    backends = kernels(behaviour)
    verdicts.store_of(CPU).add([judged[behaviour]])
    render()
    assert who_ran(backends) == []
    found = explained()
    assert found.runs == "reference" and found.source == f"self-check of {judged[behaviour].date}"
    assert re.search(f"{behaviour} is skipped: {says} {TODAY}", str(found))
    backends = kernels(behaviour, "fast")
    verdicts.store_of(CPU).add([judged["fast"]])
    render()
    assert who_ran(backends) == ["fast"]


def test_the_right_and_fast_are_good(judged):
    good = {name for name, verdict in judged.items() if verdict.good}
    assert good == {"fast", "recursive"}  # the latter asked for backend="auto" in the child, which checks nothing there


@pytest.mark.parametrize("program, says", [
    ("import time; time.sleep(1000)", "time was up"),
    ("raise SystemExit('no such library')", "status 1: no such library"),
])
def test_a_child_that_comes_to_nothing(kernels, program, says, monkeypatch, caplog):
    """It ends with its time at the latest, and is not tried again in this process; the next one tries again."""
    monkeypatch.setattr(process, "START", program)
    monkeypatch.setenv(run.LIMIT, "2")
    backends = kernels("fast")
    render()
    render()
    assert who_ran(backends) == [] and len(lines_of(caplog)) == 1
    assert ("fast is skipped: it has never run on a GPU, and the self-check's process ended before it began "
            f"({says})") in str(explained())
    assert explained().source == "none yet"
    forget()
    render()
    assert len(lines_of(caplog)) == 2


def test_a_python_that_cannot_be_started(kernels, monkeypatch):
    backends = kernels("fast")
    monkeypatch.setattr(process, "get_executable", lambda: "/opt/studio/bin/studio")
    render()
    assert who_ran(backends) == []
    assert "no child process can be started (/opt/studio/bin/studio is no Python interpreter" in str(explained())


@pytest.mark.parametrize("how, says", [
    ("time", "did not finish within 300 s"), ("status 7", "ended the self-check's process with status 7")])
@pytest.mark.parametrize("needed", [True, False])
def test_a_child_that_ends_inside_a_kernel(monkeypatch, how, says, needed):
    """One that nobody waits for gets less time, and no verdict for using it up."""
    at = item("fast")

    def converse(module, request, seconds, environment, hear):
        assert environment == {lookup.SWITCH: "0"}
        hear({"begin": list(at)})
        return process.Ended(how, "")

    monkeypatch.setattr(process, "converse", converse)
    session = run._Session(lambda verdict: None)
    assert session.serve({"required": [at] if needed else [], "seconds": {at.task: 300}}, 300) is None
    assert [verdict.found for verdict in session.found.values()] == [says] * (needed or how != "time")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a device that cannot be used")
def test_a_gpu_that_a_second_process_cannot_use(kernels):
    """As one in exclusive mode."""
    kernels("fast")
    outcome = run.check(verdicts.store_of(CPU), torch.device("cuda", 0), [item("fast")], ("fast",), 300)
    (why,) = outcome.unresolved.values()
    assert not outcome.verdicts and re.match(r"a second process cannot use cuda:0 \(\w+: ", why)


def test_another_gpu_in_the_child(kernels, monkeypatch):
    """The child's devices may be numbered otherwise; then nothing is judged."""
    backends = kernels("fast")
    monkeypatch.setattr(verdicts, "key", lambda device: {**KEY, "gpu": "Another GPU"})
    render()
    assert who_ran(backends) == [] and "cpu is another GPU or build in the child process" in str(explained())


def test_a_full_gpu_is_no_fault_of_the_kernel(kernels, tmp_path):
    backends = kernels("full", "fast")
    render()
    assert who_ran(backends) == []
    decision = lookup.decide(("full", "fast"), call_of(), evidence.RENDER)
    assert set(decision.pending.values()) == {"there is too little free memory on the GPU"}
    assert not list(tmp_path.rglob("*.json"))


def test_a_folder_that_cannot_be_written(kernels, tmp_path, monkeypatch, caplog):
    """The verdict lasts as long as the process."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(verdicts.CACHE, str(tmp_path / "file" / "cache"))
    backends = kernels("fast")
    render()
    monkeypatch.setattr(run, "check", None)
    render()
    assert backends["fast"].ran == 2
    _, line = lines_of(caplog)
    assert "cannot be kept" in line and "Not a directory" in line and "LMF_KERNELS_CACHE" in line


def test_wrong_gradients_are_noticed(kernels):
    kernels("turned")
    outcome = run.check(verdicts.store_of(CPU), CPU, [item("turned", evidence.GRADIENTS)],
                        (), 300)
    (verdict,) = outcome.verdicts
    assert re.match("wrong numbers, x3.7: the gradient of skip has a largest error of", verdict.found)


def test_precompiled_kernels_are_judged_in_one_go(kernels, monkeypatch):
    """Other kinds are judged too while that takes no time; what nobody waits for leaves no verdict where it is slow."""
    kernels("fast")
    monkeypatch.setattr(child, "SPARE_SECONDS", 1000)
    monkeypatch.setattr(child, "SPARE_LIMIT", 1000)
    store = verdicts.store_of(CPU)
    messages = []
    request = {"key": store.about, "device": "cpu", "required": [item("fast")], "backends": ["fast"],
               "known": [item("fast", dtype="float16")], "tested": [],
               "seconds": dict.fromkeys(evidence.TASKS, 300)}
    child._serve(request, lambda **message: messages.append(message))
    begun = [Item(*message["begin"]) for message in messages if "begin" in message]
    assert begun[0] == item("fast") and len(begun) == len(set(begun)) == 11
    assert sum("verdict" in message for message in messages) == 11


def test_one_check_where_several_processes_start_at_once(kernels, tmp_path):
    """Ranks, or workers: one checks, the others wait and use what it found."""
    kernels("fast")
    script = (
        "import selfcheck_standins as standins, selfcheck_setup as setup\n"
        "with standins.registered('fast') as kernels:\n"
        "    setup.render()\n"
        "print(setup.who_ran(kernels))\n")
    here = os.path.dirname(os.path.abspath(__file__))  # in the root Python would import the uncompiled sources
    environment = {**os.environ, lookup.SWITCH: "1", "PYTHONPATH": here}
    started = [subprocess.Popen([sys.executable, "-c", script], text=True, env=environment, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, cwd=here) for _ in range(3)]
    ended = [process.communicate() for process in started]
    assert [out.strip() for out, _ in ended] == ["['fast']"] * 3, ended
    (line,) = "".join(errors for _, errors in ended).splitlines()  # on stderr, of all three
    assert line.startswith("lmf_kernels: checking kernels once on "), ended


def test_threads_of_a_process_make_one_check(kernels, caplog):
    backends = kernels("fast")
    threads = [threading.Thread(target=render) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert backends["fast"].ran == 4 and len(lines_of(caplog)) == 1


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs_gpu) for name in ("cuda", "triton")])
def test_kernels_on_this_gpu(name, monkeypatch, tmp_path):
    """The real thing, in a child process: right; how fast is not a matter of right and wrong."""
    monkeypatch.setenv(verdicts.CACHE, str(tmp_path))
    forget()
    available, detail = dispatch.BACKENDS[name].availability()
    if not available:
        pytest.skip(detail)
    device = torch.device("cuda", 0)
    outcome = run.check(verdicts.store_of(device), device, [item(name, dtype="float16")], (), 300)
    forget()
    (verdict,) = outcome.verdicts
    assert verdict.found.startswith("right"), verdict
