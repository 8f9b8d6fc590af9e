"""The fused backward of the modulated family on every backend that has one, against the float64 reference's gradients.

Pixels where a ReLU is near its kink get no gradient here (`away_from_kinks`), and all that is left must agree to
rounding.
"""

import itertools
import random

import pytest
import torch
from every_backend import CHOICES, COMPILED_PER_NETWORK, HALVES, ISAS, ON_GPU, limits, marked, placed, poisoned, running
from lmf_kernels import InputError
from lmf_kernels.backends import BACKENDS, RenderCall
from lmf_kernels.backends.reference import pieces
from lmf_kernels.backends.triton import modulated_backward
from lmf_kernels.families import MODULATED_MLP
from lmf_kernels.ops import RenderSpec
from networks import SMALL, VARIED
from random_networks import noting_kinks
from random_renders import draw

BOUND = 1e-5  # of the largest true gradient of the tensor
MAPS = ((5, 7), (1, 9), (12, 1), (9, 14))
SCALES = (1, 2, 3, 3.7, 4, 7.3, 0.5, 0.93)
PIXELS = {True: (4, 16), False: (2, 16)}  # per cell and tile, on a grid or not: what Triton is compiled for here

WITH_BACKWARD = [choice for choice in CHOICES if choice.startswith("cpu-") or choice == "triton"]
KERNELS = list(dict.fromkeys(choice.split("-")[0] for choice in WITH_BACKWARD))  # the CPU's instruction sets as one

over_backward = pytest.mark.parametrize("backend", marked(WITH_BACKWARD))
over_kernels = pytest.mark.parametrize("backend", marked(KERNELS))


@pytest.fixture(autouse=True)
def kernel_calls(monkeypatch):
    """What the backward kernels were asked for, call by call."""
    calls = []

    def watch(family, original):
        def gradients(call, grad, wanted):
            calls.append(tuple(wanted))
            return original(call, grad, wanted)

        monkeypatch.setattr(family, "gradients", gradients)

    for name in KERNELS:
        family = BACKENDS[name].kernels["modulated_mlp"]
        watch(family, family.gradients)
    return calls


def draw_small(seed, backend="cpu", **how):
    """A call whose gradients the backend's kernel makes."""
    family = BACKENDS[backend.split("-")[0]].kernels["modulated_mlp"]
    for number in itertools.count(seed):
        lr_size = random.Random(number).choice(MAPS)
        call = draw(number, **{"lr_size": lr_size, "scales": SCALES, **limits(backend, SMALL), **how})
        if (family.can_differentiate(call, ()) is None and is_compiled(call, backend)
                and away_from_kinks(call).any()):
            return call


def is_compiled(call, backend):
    """Whether the call takes one of the few kernels that are compiled for the tests, where each takes its time. One
    network is compiled for every number of readers."""
    if backend not in COMPILED_PER_NETWORK or call.spec == SMALL[0]:
        return True
    lr, size = (0, 0, *call.fields.shape[1:3]), call.size or (0, 0)
    render = RenderCall(MODULATED_MLP, call.spec, call.fields, call.weights, coord=call.coord, size=size, lr=lr)
    return modulated_backward.tile_plan(render).pixels in PIXELS[render.on_grid]


def away_from_kinks(call, **options):
    """Like the output, float64: 1 where no ReLU of the pixel is near its kink (nor its value near a clamp), else 0."""
    with pytest.MonkeyPatch.context() as patch, noting_kinks() as kinks, torch.no_grad():
        patch.setattr(pieces, "PIXELS_AT_ONCE", 1 << 30)
        values = call.run("reference", torch.float64, **{**options, "epilogue": "none"} if options else {})
    clear = kinks()[..., None]  # (B, rows, cols, 1) or (B, Q, 1)
    if call.coord is None and options.get("layout") != "nhwc":
        clear = clear.permute(0, 3, 1, 2)
    clear = clear.expand_as(values)
    if options.get("epilogue") == "unit":
        clear = clear & ((values.abs() - 1).abs() > 1e-4)
    return clear.double()


def gradients(call, name, grad, precision=None, wanted=("fields", "weights", "skip"), **options):
    """Of `call.run`'s output, for those of the named tensors that the call has: on the CPU, contiguous."""
    wanted = [tensor for tensor in wanted if getattr(call, tensor) is not None]
    leaves = {tensor: placed(getattr(call, tensor).detach(), name).requires_grad_() for tensor in wanted}
    out = call._replace(**leaves).run(name, precision, **options)
    return [found.cpu() for found in torch.autograd.grad(out, list(leaves.values()), grad.to(out.dtype))]


def truth(call, seed, **options):
    """(gradient that arrives, float64 gradients)."""
    torch.manual_seed(seed + 1)
    clear = away_from_kinks(call, **options)
    grad = (torch.randn(clear.shape) * clear).float()
    assert grad.any() and (grad.count_nonzero() > 0.5 * grad.numel() or grad.numel() < 100)
    return grad, gradients(call, "reference", grad, torch.float64, **options)


def assert_close(found, expected, call, bound=BOUND):
    assert len(found) == len(expected)
    for got, true in zip(found, expected):
        assert got.shape == true.shape and got.dtype == torch.float32 and got.is_contiguous()
        assert not got.isnan().any(), f"{call}: a gradient was left unwritten"
        off = (got.double() - true).abs().max() / true.abs().max().clamp_min(1e-30)
        assert off < bound, f"{call}: {off:.1e} of the largest gradient off"


@over_kernels
@pytest.mark.parametrize("points", [False, True], ids=["grid", "points"])
@pytest.mark.parametrize("draw_number", range(12))
def test_gradients_are_the_float64_reference_s(backend, points, draw_number, seed, kernel_calls):
    call = draw_small(seed, backend, points=points, **limits(backend, VARIED))
    choices = [f"cpu-{isa}" for isa in ISAS] if backend == "cpu" else [backend]
    grad, expected = truth(call, seed)
    for choice in choices:
        with running(choice) as name, poisoned():
            assert_close(gradients(call, name, grad), expected, f"{choice}, {call}")
    assert len(kernel_calls) == len(choices), "the reference made gradients that the kernel should have"


@pytest.mark.parametrize("backend", marked([choice for choice in WITH_BACKWARD if choice in HALVES]))
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("points", [False, True], ids=["grid", "points"])
def test_half_tensors(backend, points, dtype, seed):
    """Gradients of half tensors are those of the numbers that they hold, rounded once."""
    names = ("fields", "weights", "skip")
    call = draw_small(seed, backend, points=points, skip=True)
    half = call._replace(**{name: getattr(call, name).to(dtype) for name in names})
    held = call._replace(**{name: getattr(half, name).double() for name in names})
    grad = (torch.randn(half.run("reference").shape) * away_from_kinks(held)).to(torch.float32 if points else dtype)
    expected = gradients(held, "reference", grad, torch.float64)
    with running(backend) as name, poisoned():
        found = gradients(half, name, grad, **({} if points else {"dtype": dtype}))
    for got, true in zip(found, expected, strict=True):
        assert got.dtype == dtype and not got.isnan().any()
        allowed = 0.501 * torch.finfo(dtype).eps * true.abs() + BOUND * true.abs().max()
        assert ((got.double() - true).abs() <= allowed).all(), call


@over_backward
def test_many_readers_of_a_cell_keep_their_digits(backend, seed, monkeypatch):
    """One cell under a hundred tiles and more: float32 sums taken one by one would lose several times as many digits.
    """
    spec, size = RenderSpec("linear", 0, (2,)), 300
    if backend == "triton":
        monkeypatch.setattr(modulated_backward, "tile_size", lambda spec: (16, 8))  # many small tiles
        size = 80
    call = draw(seed, points=False, spec=spec, lr_size=(1, 1), scales=(size,), skip=True)
    call = call._replace(fields=call.fields[:1].abs(), weights=call.weights.abs(), skip=call.skip[:1])
    grad = torch.ones(1, 3, size, size)
    with running(backend) as name:
        found = gradients(call, name, grad)
    expected = gradients(call, "reference", grad, torch.float64)
    assert_close(found, expected, call, bound=1e-6)


@over_backward
def test_points_that_crowd_and_points_outside(backend, seed):
    """Many points in one cell (more than a tile takes), none in most, and some beyond the border of the map."""
    call = draw_small(seed, backend, points=True, lr_size=(9, 14), skip=True)
    crowd = call.coord[:, :1] + 1e-3 * torch.randn(len(call.fields), 70, 2)
    outside = torch.tensor([[-1.5, 0.0], [3.0, 3.0], [0.2, 1.01], [-1.0, 1.0]]).expand(len(call.fields), 4, 2)
    coord = torch.cat([crowd, outside, crowd[:, :3]], 1)
    call = call._replace(coord=coord, cell=torch.rand_like(coord) * 0.1)
    grad, expected = truth(call, seed)
    with running(backend) as name, poisoned():
        assert_close(gradients(call, name, grad), expected, call)


@over_backward
def test_windows_of_the_picture_and_of_the_map(backend, seed):
    """A window's gradient goes to the cells that it reads; all others, here also rows above and below, get zeros."""
    call = draw(seed, points=False, lr_size=(9, 20), scales=(3,), skip=True, **limits(backend, SMALL))
    part = call._replace(fields=call.fields[:, 2:8, 5:18], skip=call.skip[:, :, 2:8, 5:18])
    options = {"window": (12, 24, 5, 24), "lr_size": (9, 20), "lr_origin": (2, 5), "layout": "nhwc"}
    grad, expected = truth(part, seed, **options)
    with running(backend) as name, poisoned():
        found = gradients(part, name, grad, **options)
    assert_close(found, expected, call)
    assert not found[0][:, 4:].any() and found[0][:, 3].any()


@over_backward
def test_through_the_finish(backend, seed):
    """[0, 1] output passes no gradient where it is clamped."""
    call = draw_small(seed, backend, points=False, spec=SMALL[0], lr_size=(9, 14))
    drawn = call
    for factor in (2, 1, 0.5, 0.25):  # the first that clamps some of the values, and not all
        call = drawn._replace(weights=drawn.weights * factor)
        values = call.run("reference", epilogue="unit")
        if 0 < ((values == 0) | (values == 1)).double().mean() < 1:
            break
    for layout in ("nchw", "nhwc"):
        options = {"epilogue": "unit", "layout": layout}
        grad, expected = truth(call, seed, **options)
        values = call.run("reference", **options)
        assert ((values == 0) | (values == 1)).any() and ((values > 0) & (values < 1)).any()
        with running(backend) as name, poisoned():
            assert_close(gradients(call, name, grad, **options), expected, call)


@over_backward
@pytest.mark.parametrize("points", [False, True], ids=["grid", "points"])
def test_same_bits_for_any_number_of_threads(backend, points, seed):
    call = draw_small(seed, backend, points=points, lr_size=(9, 14), skip=True)
    grad = torch.randn(call.run("reference").shape)
    threads = torch.get_num_threads()
    with running(backend) as name, poisoned():
        try:
            found = []
            for count in (1, 3, 2, 1):
                torch.set_num_threads(count)
                found.append(gradients(call, name, grad))
        finally:
            torch.set_num_threads(threads)
    for others in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(others, found[0])), call


@over_backward
@pytest.mark.parametrize("points", [False, True], ids=["grid", "points"])
def test_tensors_need_not_be_contiguous(backend, points, seed):
    call = draw_small(seed, backend, points=points, lr_size=(6, 8), skip=True)
    grad = torch.randn(call.run("reference").shape)
    strided = call._replace(
        fields=call.fields.permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1),
        weights=torch.stack([call.weights, call.weights], 1)[:, 0],
        skip=torch.cat([call.skip, call.skip], 3)[..., :8])
    with running(backend) as name, poisoned():
        expected = gradients(call, name, grad)
        found = gradients(strided, name, torch.stack([grad, grad], -1)[..., 0])
        assert all(torch.equal(a, b) for a, b in zip(found, expected))
        of_ones = gradients(strided, name, torch.ones(()).expand(grad.shape))  # one number expanded over the output
        assert all(torch.equal(a, b) for a, b in zip(of_ones, gradients(call, name, torch.ones_like(grad))))


@over_backward
def test_nan_stays_in_its_cell(backend):
    call = draw(5, points=False, spec=SMALL[0], lr_size=(8, 8), scales=(4,), skip=False)
    grad = torch.randn(call.run("reference").shape)
    spoiled = call._replace(fields=call.fields.clone())
    spoiled.fields[:, 3, 4] = float("nan")
    with running(backend) as name:
        clean, got = (gradients(c, name, grad)[0] for c in (call, spoiled))
    assert got[:, 3, 4].isnan().any()
    clean[:, 3, 4] = got[:, 3, 4] = 0
    assert torch.equal(got, clean)


@over_backward
def test_empty_calls(backend):
    call = draw(6, points=False, spec=SMALL[0], lr_size=(4, 4), scales=(2,), skip=True)
    none = call.fields.new_zeros(len(call.fields), 0, 2)
    with running(backend) as name, poisoned():
        for empty in (call._replace(size=None, coord=none, cell=none),
                      call._replace(fields=call.fields[:0], skip=call.skip[:0])):
            found = gradients(empty, name, torch.zeros(empty.run(name).shape))
            assert [g.shape for g in found] == [empty.fields.shape, empty.weights.shape, empty.skip.shape]
            assert not any(g.any() for g in found)


@over_kernels
@pytest.mark.parametrize("points", [False, True], ids=["grid", "points"])
def test_only_what_is_asked_for_is_made(backend, points, kernel_calls, seed):
    call = draw_small(seed, backend, points=points, skip=True, spec=SMALL[0], scales=(2,))
    grad = torch.randn(call.run("reference").shape)
    whole = dict(zip(("fields", "weights", "skip"), gradients(call, backend, grad)))
    for wanted in (("skip",), ("weights",), ("fields", "skip")):
        found = gradients(call, backend, grad, wanted=wanted)
        assert kernel_calls[-1] == wanted
        if backend in ON_GPU:  # another compilation, which may sum rows in another order
            assert_close(found, [whole[name].double() for name in wanted], call, bound=1e-6)
        else:
            assert all(torch.equal(whole[name], g) for name, g in zip(wanted, found))


REFUSED = {  # specs beyond what a backward kernel takes
    "cpu": {"wide": RenderSpec("linear", 0, (65,)), "wide Fourier head": RenderSpec("fourier", 130, (4,)),
            "deep": RenderSpec("linear", 0, (4,) * 17)},
    "triton": {"wide": RenderSpec("linear", 0, (33,)), "wide Fourier head": RenderSpec("fourier", 34, (4,)),
               "deep": RenderSpec("linear", 0, (4,) * 13)},
}


@over_kernels
@pytest.mark.parametrize("what", ["coordinates", "cells", *REFUSED["cpu"]])
def test_what_the_kernel_does_not_do_falls_to_the_reference(backend, what, seed, kernel_calls):
    spec = REFUSED[backend].get(what, RenderSpec("linear", 0, (16,) * 2))
    wanted = {"coordinates": ("fields", "coord"), "cells": ("cell",)}.get(what, ("fields",))
    for number in itertools.count(seed):
        call = draw(number, points=True, spec=spec, lr_size=(3, 4))
        grad = torch.randn(call.run("reference").shape) * away_from_kinks(call)
        expected = gradients(call, "reference", grad, torch.float64, wanted=wanted)
        if all(true.any() for true in expected):  # seldom a narrow network is dead, or its one point near a kink
            break
    found = gradients(call, backend, grad, wanted=wanted)
    assert not kernel_calls and BACKENDS[backend].kernels["modulated_mlp"].can_differentiate(call, wanted)
    assert_close(found, expected, call)


def test_torch_s_default_dtype_changes_nothing(seed):
    call = draw_small(seed, points=True)
    grad = torch.randn(call.run("reference").shape)
    expected = gradients(call, "cpu", grad)
    torch.set_default_dtype(torch.float64)
    try:
        found = gradients(call, "cpu", grad)
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def test_float64_is_the_reference_s(seed, kernel_calls):
    call = draw_small(seed, points=True)
    gradients(call, "auto", torch.randn(call.run("reference").shape), torch.float64)
    assert not kernel_calls


def test_a_gradient_that_does_not_fit_is_refused():
    call = draw(3, points=True, spec=RenderSpec("linear", 0, (4,)), lr_size=(3, 4), skip=False)
    out = call.run("cpu")

    def backward(grad):
        return torch.ops.lmf_kernels.modulated_mlp_points_backward(
            grad, [True, True, False, False, False], call.fields, call.weights, None, call.coord, call.cell,
            *call.spec, "auto")

    assert [found.shape for found in backward(out)] == [call.fields.shape, call.weights.shape]
    for wrong in (out[:, 1:], out.double(), torch.cat([out, out], 1)):
        with pytest.raises(InputError, match="does not fit the output: pass"):
            backward(wrong)
