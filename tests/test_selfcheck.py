"""`auto` decided by a self-check: stand-ins for GPU kernels on CPU tensors, judged in real child processes."""

import fcntl
import json
import os
import re
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from pathlib import Path

import lmf_kernels as lmf
import pytest
import selfcheck_standins as standins
import torch
from lmf_kernels.backends import RenderCall, choice, evidence
from lmf_kernels.ops import RenderSpec, modulated_mlp
from lmf_kernels.selfcheck import child, lookup, process, run, verdicts
from lmf_kernels.selfcheck.verdicts import Item, Verdict
from lmf_kernels.spec import field_channels, weight_count
from torch._subclasses.fake_tensor import FakeTensorMode

SPEC = RenderSpec("linear", 0, (16,) * 2)
LEAVES = ("fields", "weights")
KEY = {"gpu": "Some GPU", "capability": [9, 0], "driver": "1", "torch": "2", "triton": "3", "build": "4"}
CPU = torch.device("cpu")
TODAY = r"\(self-check of \d{4}-\d\d-\d\d\)"


def call_of(dtype=torch.float32):
    """A small call."""
    torch.manual_seed(0)
    fields = torch.randn(1, 3, 4, field_channels("modulated_mlp", SPEC), dtype=dtype)
    weights = torch.randn(weight_count("modulated_mlp", SPEC), dtype=dtype)
    return RenderCall("modulated_mlp", SPEC, fields, weights, size=(6, 8), window=(0, 0, 6, 8), lr=(0, 0, 3, 4))


def item(backend, task=evidence.RENDER, dtype="float32"):
    return Item(backend, task, "modulated_mlp", "linear", dtype)


def render(dtype=torch.float32):
    """Run the operator on `call_of`'s tensors; gives the pixels."""
    call = call_of(dtype)
    return modulated_mlp(call.fields, call.weights, call.spec, call.size)


def who_ran(kernels):
    """The names of the stand-ins that have run in this process."""
    return [name for name, kernel in kernels.items() if kernel.ran]


def told(name="auto"):
    """What `lmf.explain` says of a small call."""
    return lmf.explanation.Explanation("modulated_mlp", **choice.explain(call_of(), name))


def lines_of(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "lmf_kernels"]


def forget():
    """As in a new process: what is known is what the cache folder holds."""
    lookup._decisions.clear()
    verdicts.store_of.cache_clear()
    verdicts._store.cache_clear()


@contextmanager
def registering(patch, folder):
    """Yields register("fast", "abort"): from then on these stand-ins are the kernels that a self-check is about. The
    cache folder is empty."""
    patch.setenv(verdicts.CACHE, str(folder / "cache"))
    patch.setenv(child.HOOK, standins.__name__)
    patch.setenv("OMP_NUM_THREADS", "1")
    patch.setenv(run.LIMIT, "300")  # the machine may be busy
    patch.delenv(lookup.SWITCH)
    with ExitStack() as stack:
        def register(*names):
            patch.setenv(standins.NAMED, ",".join(names))
            return stack.enter_context(standins.registered(*names))

        forget()
        yield register
    forget()


@pytest.fixture
def kernels(monkeypatch, tmp_path):
    with registering(monkeypatch, tmp_path) as register:
        yield register


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """{name: Verdict} of one check of every stand-in."""
    names = [name for name in standins.BEHAVIOURS if name != "full"]
    with pytest.MonkeyPatch.context() as patch, registering(patch, tmp_path_factory.mktemp("judged")) as register:
        register(*names)
        outcome = run.check(verdicts.store_of(CPU), CPU, list(map(item, names)), (), 500, each=10)
    assert outcome.unresolved == {}
    return {verdict.item.backend: verdict for verdict in outcome.verdicts}


@pytest.fixture
def no_check(monkeypatch):
    """From here on a check is an error."""
    def start(*arguments, **options):
        raise AssertionError("a check was started")

    monkeypatch.setattr(run, "check", start)


def known(*found):
    """Put verdicts into the store, as a check that was made before."""
    store = verdicts.store_of(CPU)
    assert store.add([Verdict(which, good, "right" if good else "wrong numbers", "2030-05-01 13:45", times or {})
                      for which, good, times in found]) is None
    return store


def test_right_and_fast_is_used_from_then_on(kernels, caplog, monkeypatch):
    backends = kernels("fast")
    pixels = render()
    assert who_ran(backends) == ["fast"]
    torch.testing.assert_close(pixels, modulated_mlp(*call_of()[2:4], SPEC, (6, 8), backend="reference"))
    (line,) = lines_of(caplog)
    assert line.startswith("lmf_kernels: checking the fast kernel on ") and "LMF_KERNELS_SELFCHECK=0" in line
    monkeypatch.setattr(run, "check", None)
    render()
    forget()  # the next process
    render()
    assert backends["fast"].ran == 3 and len(lines_of(caplog)) == 1
    assert re.search(r"right and [\d.]+ times as fast as the reference, x4 .* ms against .* ms, points .*",
                     str(told()))


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


@pytest.mark.parametrize("behaviour, says", [
    ("slow", "right, but no faster than the reference, x4 .* ms against .* ms, points .* ms against .* ms"),
    ("wrong", "wrong numbers, x3.7: the output has a largest error of .*, .* is allowed"),
    ("turned", "wrong numbers, x3.7: the output has a largest error of .*, .* is allowed"),
    ("unwritten", "wrong numbers, x3.7: the output is not finite or left unwritten in places"),
    ("abort", r"ended the self-check's process with signal 6 \(Aborted\)"),
    ("segfault", r"ended the self-check's process with signal 11 \(Segmentation fault\)"),
    ("exit", "ended the self-check's process with status 7"),
    ("hang", "did not finish within 10 s"),
    ("raise", r"raised RuntimeError: Failed to find C compiler. Please specify via CC environment variable"),
])
def test_any_other_is_left_to_the_reference(kernels, judged, behaviour, says, no_check):
    """In whatever way a kernel fails, it does so in the child process, and those after it are judged all the same."""
    assert re.fullmatch(says, judged[behaviour].found) and not judged[behaviour].good
    backends = kernels(behaviour)
    verdicts.store_of(CPU).add([judged[behaviour]])
    render()
    assert who_ran(backends) == []
    explained = told()
    assert explained.runs == "reference" and explained.source == f"self-check of {judged[behaviour].date}"
    assert re.search(f"{behaviour} is passed over: {says} {TODAY}", str(explained))
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
    assert ("fast is passed over: it has never run on a GPU, and the self-check's process ended before it began "
            f"({says})") in str(told())
    assert told().source == "none yet"
    forget()
    render()
    assert len(lines_of(caplog)) == 2


def test_a_python_that_cannot_be_started(kernels, monkeypatch):
    backends = kernels("fast")
    monkeypatch.setattr(process, "get_executable", lambda: "/opt/studio/bin/studio")
    render()
    assert who_ran(backends) == []
    assert "no child process can be started (/opt/studio/bin/studio is no Python interpreter" in str(told())


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
    assert session.serve({"required": [at] if needed else [], "seconds": 300}, 300) is None
    assert [verdict.found for verdict in session.found.values()] == [says] * (needed or how != "time")


def test_another_gpu_in_the_child(kernels, monkeypatch):
    """The child's devices may be numbered otherwise; then nothing is judged."""
    backends = kernels("fast")
    monkeypatch.setattr(verdicts, "key", lambda device: {**KEY, "gpu": "Another GPU"})
    render()
    assert who_ran(backends) == [] and "cpu is another GPU or build in the child process" in str(told())


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


@pytest.mark.parametrize("text", ["not json", "[]", '{"schema": 0, "key": {}, "verdicts": []}', '{"schema": 1}'])
def test_a_damaged_file_counts_as_none(kernels, text, no_check):
    kernels("fast")
    store = known((item("fast"), True, None))
    store.path.write_text(text)
    forget()
    with pytest.raises(AssertionError, match="a check was started"):
        render()


@pytest.mark.parametrize("part", KEY)
def test_what_was_found_with_other_parts_does_not_count(kernels, part, monkeypatch):
    kernels("fast")
    monkeypatch.setattr(verdicts, "key", lambda device: KEY)
    known((item("fast"), True, None))
    for about, count in ((KEY, 1), ({**KEY, part: "another"}, 0)):
        forget()
        monkeypatch.setattr(verdicts, "key", lambda device: about)
        assert len(lookup.found(call_of(), evidence.RENDER)) == count


def test_the_build_is_the_kernels_sources(monkeypatch, tmp_path):
    before = verdicts.build()
    verdicts.build.cache_clear()
    assert verdicts.build() == before
    table = tmp_path / "table.json"
    for text in ("{}", "{ }"):
        table.write_text(text)
        monkeypatch.setenv("LMF_TRITON_CONFIGURATIONS", str(table))
        verdicts.build.cache_clear()
        assert verdicts.build() != before
        before = verdicts.build()
    monkeypatch.undo()
    verdicts.build.cache_clear()


def test_where_verdicts_are_kept(monkeypatch):
    monkeypatch.setenv("HOME", "/home/her")
    for variable in (verdicts.CACHE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    assert verdicts.folder() == Path("/home/her/.cache/lmf_kernels/selfcheck")
    monkeypatch.setenv("XDG_CACHE_HOME", "/scratch")
    assert verdicts.folder() == Path("/scratch/lmf_kernels/selfcheck")
    monkeypatch.setenv(verdicts.CACHE, "/opt/verdicts")
    assert verdicts.folder() == Path("/opt/verdicts/selfcheck")


def test_the_fastest_good_one_is_taken(kernels, no_check):
    kernels("slow", "fast", "wrong")
    known((item("slow"), True, {"x4": [3, 9], "points": [1, 9]}),
          (item("fast"), True, {"x4": [1, 9], "points": [2, 9]}),
          (item("wrong"), False, {"x4": [1, 9], "points": [1, 9]}))
    decision = lookup.decide(("slow", "fast", "wrong"), call_of(), evidence.RENDER)
    assert decision.backend == "fast" and set(decision.passed_over) == {"slow", "wrong"} and not decision.pending
    assert decision.source == "self-check of 2030-05-01"
    assert lookup.decide(("slow", "wrong"), call_of(), evidence.RENDER).backend == "slow"


def test_turned_off(kernels, monkeypatch, no_check, caplog):
    """No check is started; verdicts that are there count."""
    monkeypatch.setenv(lookup.SWITCH, "0")
    backends = kernels("fast")
    render()
    assert who_ran(backends) == [] and not lines_of(caplog)
    assert "and its self-check is turned off (LMF_KERNELS_SELFCHECK=0)" in str(told())
    known((item("fast"), True, None))
    render()
    assert who_ran(backends) == ["fast"]


BAD_TIMES = [
    ("while torch traces", [(torch.compiler, "is_compiling")]),
    ("inside a CUDA graph's capture", [(torch.cuda, "is_initialized"), (torch.cuda, "is_current_stream_capturing")]),
    ("in a forked process", [(torch.cuda, "_is_in_bad_fork")]),
]


@pytest.mark.parametrize("when, predicates", BAD_TIMES, ids=[when for when, _ in BAD_TIMES])
def test_never_at_a_bad_time(kernels, when, predicates, monkeypatch):
    """Then a verdict that is there counts, else the reference runs; afterwards the check is made."""
    kernels("fast")
    started = []
    monkeypatch.setattr(run, "fill", lambda store, device, required, backends: started.append(required) or {})

    def decide():
        return lookup.decide(("fast",), call_of(), evidence.RENDER)

    with monkeypatch.context() as patch:
        for module, name in predicates:
            patch.setattr(module, name, lambda: True)
        for _ in range(2):
            decision = decide()
            assert decision.backend is None and f"a self-check cannot be made {when}" in decision.pending["fast"]
        assert not started
        known((item("fast"), True, None))
        assert decide().backend == "fast"
    forget()
    verdicts.store_of(CPU).path.unlink()
    forget()
    decide()
    assert started == [[item("fast")]]


def test_fake_tensors_start_nothing(kernels, no_check):
    kernels("fast")
    with FakeTensorMode() as mode:
        call = call_of()
        call = call._replace(fields=mode.from_tensor(call.fields), weights=mode.from_tensor(call.weights))
    assert "while torch traces" in lookup.decide(("fast",), call, evidence.RENDER).pending["fast"]


def test_explain_starts_nothing(kernels, no_check):
    kernels("fast")
    explained = told()
    assert explained.runs == "reference" and explained.source == "none yet" and explained.selfcheck == []
    assert "it has never run on a GPU, and the first call that needs it makes its self-check" in str(explained)
    assert told("fast").source is None, "who names a backend asks for no evidence"


def test_explain_with_a_verdict(kernels, no_check):
    kernels("fast", "wrong")
    known((item("fast"), True, None), (item("fast", evidence.GRADIENTS), True, None),
          (item("wrong"), False, None), (item("wrong", evidence.GRADIENTS), False, None),
          (item("fast", dtype="float16"), True, None))
    assert str(told()).splitlines() == [
        "modulated_mlp: runs on fast (asked for: auto; evidence: self-check of 2030-05-01)",
        "  gradients: made by fast",
        "  self-check: fast, modulated_mlp gradients, linear head, float32: right (2030-05-01)",
        "  self-check: wrong, modulated_mlp gradients, linear head, float32: wrong numbers (2030-05-01)",
        "  self-check: fast, modulated_mlp render, linear head, float32: right (2030-05-01)",
        "  self-check: wrong, modulated_mlp render, linear head, float32: wrong numbers (2030-05-01)"]


def test_what_is_decided_costs_a_dictionary_hit(kernels, monkeypatch):
    backends = kernels("fast")
    known((item("fast"), True, None))
    render()
    with monkeypatch.context() as patch:
        patch.setattr(lookup, "_settle", None)
        render()
    assert backends["fast"].ran == 2


def test_measurements_go_first(kernels, monkeypatch, no_check):
    """What is measured on this kind of GPU decides, also against a verdict."""
    backends = kernels("fast", "slow")
    known((item("fast"), True, None), (item("slow"), False, None))
    entry = evidence.Entry("Some GPU", (9, 0), *item("slow"), 12, 48, 1.0, "abc")
    caches = (evidence._fitting, evidence._fastest)
    with monkeypatch.context() as patch:
        patch.setattr(evidence, "entries", lambda: (entry,))
        patch.setattr(evidence, "capability", lambda device: (9, 0))
        for cache in caches:
            cache.cache_clear()
        render()
        assert who_ran(backends) == ["slow"] and told().source == "measured.json"
    for cache in caches:
        cache.cache_clear()


def test_gradients_have_verdicts_of_their_own(kernels):
    call = call_of()
    backends = kernels("slow", "fast")
    known((item("fast"), True, None), (item("slow"), True, None))
    values = modulated_mlp(call.fields.requires_grad_(), call.weights, SPEC, (6, 8))
    values.sum().backward()
    assert backends["fast"].differentiated == 1 and not backends["slow"].differentiated
    assert choice.backward_of(call, LEAVES) == "fast"
    found = {verdict.item: verdict for verdict in lookup.found(call, evidence.GRADIENTS)}
    assert found[item("fast", evidence.GRADIENTS)].good
    assert "no faster than the reference" in found[item("slow", evidence.GRADIENTS)].found


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
    store = verdicts.store_of(CPU)
    messages = []
    request = {"key": store.about, "device": "cpu", "required": [item("fast")], "backends": ["fast"],
               "known": [item("fast", dtype="float16")], "seconds": 300}
    child._serve(request, lambda **message: messages.append(message))
    begun = [Item(*message["begin"]) for message in messages if "begin" in message]
    assert begun[0] == item("fast") and len(begun) == len(set(begun)) == 11
    assert sum("verdict" in message for message in messages) == 11


def test_one_check_where_several_processes_start_at_once(kernels, tmp_path):
    """Ranks, or workers: one checks, the others wait and use what it found."""
    kernels("fast")
    script = (
        "import selfcheck_standins as standins, test_selfcheck as tests\n"
        "with standins.registered('fast') as kernels:\n"
        "    tests.render()\n"
        "print(tests.who_ran(kernels))\n")
    environment = {**os.environ, lookup.SWITCH: "1", "PYTHONPATH": os.path.dirname(__file__)}
    started = [subprocess.Popen([sys.executable, "-c", script], text=True, env=environment, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE) for _ in range(3)]
    ended = [process.communicate() for process in started]
    assert [out.strip() for out, _ in ended] == ["['fast']"] * 3, ended
    (line,) = "".join(errors for _, errors in ended).splitlines()  # on stderr, of all three
    assert line.startswith("lmf_kernels: checking the fast kernel on "), ended


def test_threads_of_a_process_make_one_check(kernels, caplog):
    backends = kernels("fast")
    threads = [threading.Thread(target=render) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert backends["fast"].ran == 4 and len(lines_of(caplog)) == 1


def test_another_process_that_checks_for_too_long(kernels, monkeypatch, no_check):
    kernels("fast")
    monkeypatch.setenv(run.LIMIT, "1")
    store = known()
    with open(store.path.with_suffix(".lock"), "a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        render()
    assert "another process has been checking it for more than 1 s" in str(told())


@pytest.mark.parametrize("text", ["0", "-1", "soon", "1.5"])
def test_a_limit_that_is_none(kernels, text, monkeypatch):
    kernels("fast")
    monkeypatch.setenv(run.LIMIT, text)
    with pytest.raises(lmf.InputError, match=f"LMF_KERNELS_SELFCHECK_SECONDS='{text}': give a whole number of seconds"):
        render()
