"""`auto` among GPU kernels: by what was measured, shown in words. Devices and kernels are faked: nothing asks a GPU."""

import json
import types
import warnings

import lmf_kernels as lmf
import pytest
import torch
from bench import evidence as bench_evidence
from lmf_kernels.backends import KernelBackend, RenderCall, dispatch, evidence
from lmf_kernels.cli import main
from lmf_kernels.families import MODULATED_MLP, RenderSpec
from lmf_kernels.selfcheck import verdicts
from lmf_kernels.selfcheck.verdicts import Item, Verdict
from selfcheck_setup import KEY, forget
from torch._subclasses.fake_tensor import FakeTensorMode

SPEC = RenderSpec("linear", 0, (16,) * 2)
RUN = {"started": "2030", "on": "gpu", "quick": False, "commit": {"describe": "abc", "dirty": False}}
CASE = {"kind": "render", "device": "Some GPU", "capability": [9, 0], "backend": "cuda", "family": "modulated_mlp",
        "model": "lmliif", "dtype": "float16", "cells": 57600, "pixels": 57600 * 144, "gpixel_per_s": 30.0,
        "numerics_passed": True}
ITEMS = [Item(name, evidence.RENDER, "modulated_mlp", "linear head", "float16") for name in ("cuda", "triton")]
SLOW_AT_X2 = [{**CASE, "pixels": 57600 * 4, "gpixel_per_s": 5.0},
              {**CASE, "pixels": 57600 * 4, "gpixel_per_s": 6.0, "backend": "triton"},
              {**CASE, "gpixel_per_s": 20.0, "backend": "triton"}]


def kernel(name, refuses=None, **also):
    """A backend that would run anything, or says why not."""
    module = types.SimpleNamespace(can_run=lambda call: refuses, run=None, **also)
    return KernelBackend(name, {"modulated_mlp": module}, lambda: (True, "faked"), needs_evidence=True)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """machine(cases, **backends): a GPU of capability 9.0, faked kernels, and these cases as all that was measured."""
    caches = (evidence.entries, evidence.capability, evidence._fitting, evidence._fastest)

    def build(cases, **backends):
        path = tmp_path / "measured.json"
        path.write_text(bench_evidence.as_json(bench_evidence.collect([{**RUN, "cases": cases}])))
        monkeypatch.setattr(evidence, "FILE", path)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
        monkeypatch.setattr(dispatch, "BACKENDS", {"cpu": dispatch.cpu.backend, **backends,
                                                   "reference": dispatch.reference.backend})
        monkeypatch.setattr(dispatch, "_warned", set())
        for cache in caches:
            cache.cache_clear()

    yield build
    for cache in caches:
        cache.cache_clear()


def gpu_call(scale, dtype=torch.float16, spec=SPEC):
    """A call whose tensors are on a CUDA device by name alone."""
    with FakeTensorMode():
        fields = torch.empty(1, 180, 320, MODULATED_MLP.field_channels(spec), dtype=dtype, device="cuda")
        weights = torch.empty(MODULATED_MLP.weight_count(spec), device="cuda")
    size = (180 * scale, 320 * scale)
    return RenderCall(MODULATED_MLP, spec, fields, weights, size=size, window=(0, 0, *size), lr=(0, 0, 180, 320))


def backward_of(call, wanted, name="auto"):
    return dispatch.select(call, name, wanted).backend.name


def chosen(call, name="auto"):
    return dispatch.choose(call, name).name


def test_nothing_measured_is_the_reference_with_one_warning(machine):
    machine([], cuda=kernel("cuda"), triton=kernel("triton"))
    with pytest.warns(UserWarning, match="slow PyTorch reference") as told:
        assert chosen(gpu_call(4)) == "reference"
    text = str(told[0].message)
    assert text.count("it has never run on a GPU") == 2 and 'backend="cuda"' in text and 'backend="triton"' in text
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert chosen(gpu_call(4)) == "reference"
    assert chosen(gpu_call(4), "triton") == "triton"


def test_the_fastest_at_the_nearest_size(machine):
    machine([CASE, *SLOW_AT_X2], cuda=kernel("cuda"), triton=kernel("triton"))
    assert [chosen(gpu_call(scale)) for scale in (1, 2, 4, 8, 12, 30)] == ["triton"] * 3 + ["cuda"] * 3
    machine([CASE, *SLOW_AT_X2], cuda=kernel("cuda", "it is too wide"), triton=kernel("triton"))
    assert chosen(gpu_call(12)) == "triton"


@pytest.mark.parametrize("change", [
    {"capability": [8, 0]}, {"dtype": "float32"}, {"model": "lmlte"}, {"numerics_passed": False}, {"kind": "peer"},
    {"backend": "reference"}], ids=lambda change: next(iter(change)))
def test_what_was_measured_elsewhere_does_not_count(machine, change):
    machine([{**CASE, **change}], cuda=kernel("cuda"))
    with pytest.warns(UserWarning, match="never run on a GPU|no measurement of modulated_mlp render, linear head"):
        assert chosen(gpu_call(12)) == "reference"


def test_a_cpu_tensor_never_meets_a_gpu_kernel(machine):
    machine([CASE], cuda=kernel("cuda"))
    cpu = gpu_call(1, torch.float64)._replace(fields=torch.zeros(1, 2, 2, 80, dtype=torch.float64))
    assert chosen(cpu) == "reference"


def test_explain_shows_what_was_measured(machine):
    machine([CASE, *SLOW_AT_X2], cuda=kernel("cuda"), triton=kernel("triton"))
    told = lmf.explanation.Explanation("modulated_mlp", **dispatch.explain(gpu_call(12)))
    assert told.runs == "cuda" and set(told.refusals) == {"cpu"} and not told.skipped
    assert len(told.evidence) == 4 and "30 Gpixel/s" in told.evidence[0] and "commit abc" in str(told)
    assert [row["measured"] for row in dispatch.describe()] == [None, 2, 2, None]
    machine([], cuda=kernel("cuda"))
    told = lmf.explanation.Explanation("modulated_mlp", **dispatch.explain(gpu_call(12)))
    assert told.runs == "reference" and "cuda is skipped: it has never run on a GPU" in str(told)


def with_backward(name, refuses=None):
    return kernel(name, can_differentiate=lambda call, wanted: refuses)


def test_gradients_have_evidence_of_their_own(machine):
    """A kernel may be the fastest forward and have no backward; then the fastest one that has is taken for that."""
    backward = {**CASE, "kind": "gradients", "backend": "triton"}
    call, leaves = gpu_call(4), ("fields", "weights")
    machine([CASE, backward], cuda=kernel("cuda"), triton=with_backward("triton"))
    assert chosen(call) == "cuda" and backward_of(call, leaves) == "triton"
    assert backward_of(call, leaves, "cuda") == "reference" and dispatch.explain(call)["gradients"] == "triton"
    machine([CASE, backward], cuda=kernel("cuda"), triton=with_backward("triton", "not these"))
    assert backward_of(call, leaves) == "reference"
    assert backward_of(call, leaves, "triton") == "reference"
    machine([CASE, {**CASE, "backend": "triton"}], cuda=kernel("cuda"), triton=with_backward("triton"))
    with pytest.warns(UserWarning, match="the backward pass of .* no measurement of modulated_mlp gradients, linear"):
        assert dispatch.choose_backward(call, leaves).name == "reference"
    assert backward_of(call, leaves, "triton") == "triton"


def test_gradients_slower_than_plain_torch_are_no_evidence():
    ours = {**CASE, "kind": "gradients", "backend": "triton"}
    for rate, count in ((29.0, 1), (31.0, 0)):
        plain = {**ours, "backend": "torch", "gpixel_per_s": rate}
        assert len(bench_evidence.collect([{**RUN, "cases": [ours, plain, {**plain, "model": "lmlte"}]}])) == count


def test_of_one_case_the_latest_counts():
    runs = [{**RUN, "started": "2031", "cases": [{**CASE, "gpixel_per_s": 40.0}]}, {**RUN, "cases": [CASE]},
            {**RUN, "quick": True, "cases": [CASE]}, {**RUN, "on": "cpu", "cases": [CASE]}]
    (entry,) = bench_evidence.collect(runs)
    assert entry.gpixel_per_s == 40.0 and entry.commit == "abc"


def test_the_package_s_table_is_made_from_the_results(capsys):
    assert bench_evidence.main(["--check"]) == 0, "run python -m bench.evidence --write"
    assert json.loads(evidence.FILE.read_text())["schema"] == evidence.SCHEMA


@pytest.fixture
def some_gpu(machine, monkeypatch, tmp_path):
    """A GPU by name alone, with kernels that would run anything, of which nothing has been measured."""
    machine([], cuda=kernel("cuda"), triton=kernel("triton"))
    monkeypatch.setenv(verdicts.CACHE, str(tmp_path / "cache"))
    monkeypatch.setattr(verdicts, "key", lambda device: KEY)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    forget()
    yield verdicts.store_of(torch.device("cuda", 0))
    forget()


NEVER = "it has never run on a GPU, and its self-check is turned off (LMF_KERNELS_SELFCHECK=0)"


@pytest.mark.parametrize("found, says", [
    ([], f'cuda: {NEVER}; triton: {NEVER}), backend="cuda" runs it all the same, '
         'backend="triton" runs it all the same.'),
    (["did not finish within 60 s"], "cuda: did not finish within 60 s (self-check of 2030-05-01); "
                                     f'triton: {NEVER}), backend="triton" runs it all the same.'),
    (["wrong numbers, x12: the output has a largest error of 0.2, 1e-05 is allowed", "raised PermissionError: no"],
     "cuda: wrong numbers, x12: the output has a largest error of 0.2, 1e-05 is allowed (self-check of 2030-05-01); "
     "triton: raised PermissionError: no (self-check of 2030-05-01))."),
])
def test_the_warning_on_a_gpu_says_why(some_gpu, found, says):
    """Also which kernel may be tried by name: none that failed."""
    some_gpu.add([Verdict(which, False, what, "2030-05-01 13:45", {}) for which, what in zip(ITEMS, found)])
    with pytest.warns(UserWarning) as warned:
        assert chosen(gpu_call(4)) == "reference"
    (warning,) = warned
    assert str(warning.message) == (
        "modulated_mlp on a CUDA tensor runs on the slow PyTorch reference (cpu: tensors are on cuda:0, the kernel "
        f"runs on the CPU; {says}")


def test_a_verdict_about_a_gpu_serves_all_of_its_kind(some_gpu, recwarn):
    some_gpu.add([Verdict(ITEMS[1], True, "right", "2030-05-01 13:45", {"x4": [1, 9]})])
    assert verdicts.store_of(torch.device("cuda", 1)) is some_gpu
    assert chosen(gpu_call(4)) == chosen(gpu_call(12)) == "triton" and not recwarn.list


def test_info_shows_the_verdicts(some_gpu, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)  # of one kind
    line = "self-check on Some GPU, compute capability 9.0, driver 1, torch 2, Triton 3, build 4:"
    assert main(["info"]) == 0
    assert f"{line} none yet\n" in capsys.readouterr().out
    some_gpu.add([Verdict(ITEMS[0], True, "right", "2030-05-01 13:45", {})])
    assert main(["info"]) == 0
    assert capsys.readouterr().out.endswith(
        f"{line}\n  cuda, modulated_mlp render, linear head, float16: right (2030-05-01)\n")
