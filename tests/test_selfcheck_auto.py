"""What `auto` makes of verdicts, and when it starts no check."""

import fcntl
from pathlib import Path

import lmf_kernels as lmf
import pytest
import torch
from lmf_kernels.backends import dispatch, evidence
from lmf_kernels.ops import modulated_mlp
from lmf_kernels.selfcheck import lookup, run, verdicts
from selfcheck_setup import CPU, KEY, SPEC, call_of, explained, forget, item, known, lines_of, render, who_ran
from torch._subclasses.fake_tensor import FakeTensorMode

LEAVES = ("fields", "weights")
BAD_TIMES = [
    ("while torch traces", [(torch.compiler, "is_compiling")]),
    ("inside a CUDA graph's capture", [(torch.cuda, "is_initialized"), (torch.cuda, "is_current_stream_capturing")]),
    ("in a forked process", [(torch.cuda, "_is_in_bad_fork")]),
]


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
        assert len(lookup.verdicts_on(call_of(), evidence.RENDER)) == count


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
    assert decision.backend == "fast" and set(decision.skipped) == {"slow", "wrong"} and not decision.pending
    assert decision.source == "self-check of 2030-05-01"
    assert lookup.decide(("slow", "wrong"), call_of(), evidence.RENDER).backend == "slow"


def test_turned_off(kernels, monkeypatch, no_check, caplog):
    """No check is started; verdicts that are there count."""
    monkeypatch.setenv(lookup.SWITCH, "0")
    backends = kernels("fast")
    render()
    assert who_ran(backends) == [] and not lines_of(caplog)
    assert "and its self-check is turned off (LMF_KERNELS_SELFCHECK=0)" in str(explained())
    known((item("fast"), True, None))
    render()
    assert who_ran(backends) == ["fast"]


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
        assert who_ran(backends) == ["slow"] and explained().source == "measured.json"
    for cache in caches:
        cache.cache_clear()


def test_gradients_have_verdicts_of_their_own(kernels):
    call = call_of()
    backends = kernels("slow", "fast")
    known((item("fast"), True, None), (item("slow"), True, None))
    values = modulated_mlp(call.fields.requires_grad_(), call.weights, SPEC, (6, 8))
    values.sum().backward()
    assert backends["fast"].differentiated == 1 and not backends["slow"].differentiated
    assert dispatch.select(call, wanted=LEAVES).backend.name == "fast"
    found = {verdict.item: verdict for verdict in lookup.verdicts_on(call, evidence.GRADIENTS)}
    assert found[item("fast", evidence.GRADIENTS)].good
    assert "no faster than plain PyTorch" in found[item("slow", evidence.GRADIENTS)].found


def test_another_process_that_checks_for_too_long(kernels, monkeypatch, no_check):
    kernels("fast")
    monkeypatch.setenv(run.LIMIT, "1")
    store = known()
    with open(store.path.with_suffix(".lock"), "a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        render()
    assert "another process has been checking it for more than 1 s" in str(explained())


@pytest.mark.parametrize("text", ["0", "-1", "soon", "1.5"])
def test_a_limit_that_is_none(kernels, text, monkeypatch):
    kernels("fast")
    monkeypatch.setenv(run.LIMIT, text)
    with pytest.raises(lmf.InputError, match=f"LMF_KERNELS_SELFCHECK_SECONDS='{text}': give a whole number of seconds"):
        render()
