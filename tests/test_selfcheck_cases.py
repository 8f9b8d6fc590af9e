"""What a self-check renders, and that every kernel there is passes it."""

import pytest
import torch
from every_backend import COMPILED, ON_GPU, marked, running
from lmf_kernels.backends import dispatch, evidence, validate
from lmf_kernels.selfcheck import cases, measure
from lmf_kernels.families.render_spec import HEADS

CPU = torch.device("cpu")
OURS = ("modulated_mlp", "plain_mlp")
KINDS = cases.kinds("modulated_mlp")
NEAR = 1e-6  # of a layer's largest argument: closer to 0 than this, float32 may see the other side

over_kinds = pytest.mark.parametrize("kind", KINDS, ids="-".join)


def takes(backend, kind):
    """Whether a backend has a kernel for a kind."""
    return backend not in ("cuda", "emulator") or kind.task == evidence.RENDER


@pytest.mark.parametrize("backend", marked(COMPILED))
@pytest.mark.parametrize("task", evidence.TASKS)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("dtype", cases.DTYPES)
def test_every_kernel_passes(backend, task, head, dtype):
    kind = cases.Kind(task, "modulated_mlp", f"{head} head", dtype)
    device = torch.device("cuda", 0) if backend in ON_GPU else CPU
    with running(backend) as name:
        if takes(backend, kind):
            assert measure.wrong_numbers(name, kind, device) is None
        else:
            with pytest.raises(measure.Refused, match="fields is torch|no backward kernel"):
                measure.wrong_numbers(name, kind, device)


def test_each_head_dtype_and_path():
    assert {(kind.family, kind.variant) for family in OURS for kind in cases.kinds(family)} == {
        (family, f"{head} head") for family in OURS for head in HEADS}
    assert {kind.dtype for kind in KINDS} == {"float32", "float16", "bfloat16"}
    for kind in KINDS:
        drawn = cases.numeric(kind, CPU)
        calls = [case.call for case in drawn]
        assert {call.on_grid for call in calls} == {call.spec.ensemble for call in calls} == {True, False}
        assert all(str(call.fields.dtype) == f"torch.{kind.dtype}" for call in calls)
        assert all((case.wanted is None) == (kind.task == evidence.RENDER) for case in drawn)
        scales = {call.size[0] / call.lr[2] for call in calls if call.on_grid}
        assert kind.task == evidence.GRADIENTS or min(scales) < 2 and max(scales) >= 12 and 25 / 7 in scales


@pytest.mark.parametrize("family", [*OURS, "c2f_mlp"])
def test_cases_are_calls_of_the_operators_and_the_same_every_time(family):
    for kind in cases.kinds(family):
        for draw in (cases.numeric, cases.timed):
            for case, again in zip(draw(kind, CPU), draw(kind, CPU), strict=True):
                validate(case.call)
                assert case.grad is None or case.grad.shape == case.call.output_shape()
                assert all(torch.equal(tensor, again.call.tensors()[name])
                           for name, tensor in case.call.tensors().items())


@pytest.mark.parametrize("family", OURS)
@pytest.mark.parametrize("head", HEADS)
def test_gradients_are_compared_away_from_kinks(family, head, monkeypatch):
    nearest, relu = [], torch.relu

    def noting(z):
        nearest.append((z.abs().min() / z.abs().max()).item())
        return relu(z)

    monkeypatch.setattr(torch, "relu", noting)
    for case in cases.numeric(cases.Kind(evidence.GRADIENTS, family, f"{head} head", "float32"), CPU):
        dispatch.BACKENDS["reference"].run(cases.precise(case).call)
    assert len(nearest) > 10 and min(nearest) > NEAR


@over_kinds
def test_small_errors_are_noticed(kind):
    """Whatever is compared: the reference's own results pass, and do not with an error that a bound must not allow."""
    reference = dispatch.BACKENDS["reference"]
    for case in cases.numeric(kind, CPU):
        true = measure._results(reference, cases.precise(case))
        eager = measure._results(reference, case)
        assert measure.compare(case, eager, true, lambda: eager) is None
        step = {"float32": 3e-5, "float16": 3e-2, "bfloat16": 0.3}[kind.dtype]
        for k, right in enumerate(eager):
            bytes_ = right.dtype == torch.uint8
            wrong = right + (3 if bytes_ else step * right.abs().max())
            complaint = measure.compare(case, [*eager[:k], wrong, *eager[k + 1:]], true, lambda: eager)
            assert "error of" in complaint and "is allowed" in complaint
            if not bytes_:
                torn = right.clone()
                torn.view(-1)[-1] = float("nan")
                assert "not finite" in measure.compare(case, [*eager[:k], torn, *eager[k + 1:]], true, lambda: eager)
            assert "has shape" in measure.compare(case, [*eager[:k], right[:0], *eager[k + 1:]], true, lambda: eager)


@pytest.mark.parametrize("kind", [kind for kind in cases.kinds("c2f_mlp") if kind.task == evidence.RENDER
                                  and kind.dtype != "float16"], ids="-".join)
def test_the_coarse_to_fine_family_is_judged(kind):
    """Every variant of DIIF, and DLTE: the CPU kernel passes."""
    assert measure.wrong_numbers("cpu", kind, CPU) is None
