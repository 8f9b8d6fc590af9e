"""The modulated family on half-precision inputs, on every backend that computes in them.

Truth is the float64 reference fed the already rounded inputs; the measure is the same maths in eager torch of the type.
"""

import random

import pytest
import torch
from every_backend import limits, over_halves, poisoned, running
from half_errors import DTYPES, check_error
from lmf_kernels.ops import RenderSpec
from networks import PAPERS, SMALL
from random_renders import SCALES, assert_windows_are_equal, draw

over_types = pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
over_papers = pytest.mark.parametrize("spec", PAPERS.values(), ids=PAPERS)
over_ensemble = pytest.mark.parametrize("ensemble", [True, False], ids=["ensemble", "nearest"])
FEW, MANY = (1, 2, 3.7, 12), sorted({*SCALES, 2.8, 2.9, 5.5, 8, 20.5})  # kernels by columns begin at x1


def rounded(call, dtype, skip=None, weights=None):
    """The call with its tensors in a half type; skip, weights: other types for these."""
    return call._replace(fields=call.fields.to(dtype), weights=call.weights.to(weights or dtype),
                         skip=None if call.skip is None else call.skip.to(skip or dtype))


def check(call, backend, **options):
    """Render and compare; gives the pixels."""
    with running(backend) as name, poisoned():
        got = call.run(name, **options)
    check_error(got, call.run("reference", torch.float64, **options), call.run("reference", **options))
    return got


@over_halves
@over_types
@over_papers
@over_ensemble
@pytest.mark.parametrize("scale", [scale if scale in FEW else pytest.param(scale, marks=pytest.mark.slow)
                                   for scale in MANY])
def test_grid_is_as_good_as_eager_torch(backend, dtype, spec, ensemble, scale, seed):
    call = draw(seed, points=False, spec=spec._replace(ensemble=ensemble), lr_size=(5, 11), scales=(scale,),
                **limits(backend))
    check(rounded(call, dtype), backend)


@over_halves
@over_types
@over_papers
@over_ensemble
def test_points_are_as_good_as_eager_torch(backend, dtype, spec, ensemble, seed):
    call = draw(seed, points=True, spec=spec._replace(ensemble=ensemble), lr_size=(6, 9), **limits(backend))
    coord = torch.rand(len(call.fields), 77, 2) * 2.2 - 1.1
    check(rounded(call._replace(coord=coord, cell=torch.rand_like(coord) * 0.1), dtype), backend)


@over_halves
@over_types
@pytest.mark.parametrize("depth", [1, 2, 32])
@pytest.mark.parametrize("head", ["linear", "fourier"])
def test_any_depth(backend, dtype, head, depth, seed):
    spec = RenderSpec(head, 0 if head == "linear" else 16, (16,) * depth)
    for scales in ((1.5,), (4,)):
        call = rounded(draw(seed, points=False, spec=spec, lr_size=(3, 5), scales=scales, **limits(backend)), dtype)
        small = call._replace(weights=call.weights * 0.7)  # deep ones must not overflow float16
        check(small, backend)


@over_halves
@over_types
@pytest.mark.parametrize("lr_size, size", [
    ((1, 1), (1, 1)), ((1, 1), (30, 30)), ((1, 33), (7, 33)), ((29, 1), (31, 1)), ((3, 5), (90, 5)), ((5, 3), (5, 91)),
    ((7, 6), (3, 4)), ((4, 4), (4, 63)), ((2, 7), (33, 22)), ((20, 20), (1, 1)),
])
def test_odd_sizes(backend, dtype, lr_size, size, seed):
    """Single rows and columns, another scale on each axis, smaller outputs than inputs."""
    for spec in PAPERS.values():
        call = draw(seed, points=False, spec=spec, lr_size=lr_size, scales=(1,), **limits(backend))
        call = rounded(call._replace(size=size), dtype)
        with running(backend) as name, poisoned():
            got = call.run(name)
        truth = call.run("reference", torch.float64)
        # Few pixels: eager's error over them is luck. Relative to the fields' size it has a bound all the same.
        bound = 2 * (call.run("reference").double() - truth).abs().max() + 8 * torch.finfo(dtype).eps
        assert got.shape == truth.shape and (got.double() - truth).abs().max() <= bound, call


@over_halves
@over_types
@pytest.mark.parametrize("scale", [1.5, 4])
def test_every_store(backend, dtype, scale, seed):
    """Each type, finished or not, both layouts: the float32 values as torch finishes and rounds them, bit for bit."""
    call = draw(seed, points=False, spec=SMALL[0], lr_size=(4, 7), scales=(scale,), **limits(backend))
    call = rounded(call, dtype)
    with running(backend) as name, poisoned():
        for epilogue in ("none", "unit"):
            plain = call.run(name, epilogue=epilogue)
            stored = {kind: plain.to(kind) for kind in (torch.float32, torch.float16, torch.bfloat16)}
            if epilogue == "unit":
                stored[torch.uint8] = (plain * 255).round().to(torch.uint8)
                torch.testing.assert_close(plain, (call.run(name) * 0.5 + 0.5).clamp(0, 1), rtol=0, atol=1.2e-7)
            for kind, expected in stored.items():
                assert torch.equal(call.run(name, epilogue=epilogue, dtype=kind), expected)
                channels_last = call.run(name, epilogue=epilogue, dtype=kind, layout="nhwc")
                assert torch.equal(channels_last, expected.permute(0, 2, 3, 1))


@over_halves
@over_types
@over_ensemble
@pytest.mark.parametrize("scale", [1.3, 2.5, 3.4, 9])
def test_same_bits_for_any_window(backend, dtype, ensemble, scale, seed):
    choose = random.Random(seed)
    spec = choose.choice(list(PAPERS.values()))._replace(ensemble=ensemble)
    call = draw(seed, points=False, spec=spec, lr_size=(7, 6), scales=(scale,), **limits(backend))
    call = rounded(call, dtype)
    with running(backend) as name, poisoned():
        whole = call.run(name)
        assert_windows_are_equal(call, name, whole, choose, 4)


@over_halves
@over_types
@pytest.mark.parametrize("scale", [2, 3])
def test_a_part_of_the_lr_map_serves_a_window(backend, dtype, scale, seed):
    call = draw(seed, points=False, spec=PAPERS["lm-lte"], lr_size=(9, 20), scales=(scale,), skip=True,
                **limits(backend))
    call = rounded(call, dtype)
    with running(backend) as name, poisoned():
        window = (4 * scale, 8 * scale, 2 * scale, 8 * scale)
        whole = call.run(name)[:, :, window[0]:window[0] + window[2], window[1]:window[1] + window[3]]
        part = call._replace(fields=call.fields[:, 3:7, 7:17], skip=call.skip[:, :, 3:7, 7:17]).run(
            name, window=window, lr_size=(9, 20), lr_origin=(3, 7))
        assert torch.equal(part, whole)


@over_halves
@over_types
@pytest.mark.parametrize("scale", [0.9, 4, None], ids=["per-pixel", "columns", "points"])
def test_skip_and_weights_of_each_type(backend, dtype, scale, seed):
    """Each input is read in its own type: wider ones that hold the same values give the same bits."""
    spec = SMALL[1]._replace(ensemble=True)
    call = draw(seed, points=scale is None, spec=spec, lr_size=(5, 6), scales=(scale,), skip=True, **limits(backend))
    if scale is None:  # of a single point the error is a matter of luck
        coord = torch.rand(len(call.fields), 77, 2) * 2.2 - 1.1
        call = call._replace(coord=coord, cell=torch.rand_like(coord) * 0.1)
    for skip in (torch.float16, torch.bfloat16, torch.float32):
        mixed = rounded(call, dtype, skip=skip)
        got = check(mixed, backend)
        with running(backend) as name, poisoned():
            assert torch.equal(mixed._replace(skip=mixed.skip.float()).run(name), got)
    with running(backend) as name, poisoned():
        assert torch.equal(mixed._replace(weights=mixed.weights.float()).run(name), got)


@over_halves
@over_types
@pytest.mark.parametrize("points", [False, True], ids=["grid", "points"])
def test_float32_fields_with_half_weights_and_skip(backend, dtype, points, seed):
    """The fields decide how a kernel computes: here in float32."""
    call = draw(seed, points=points, lr_size=(5, 6), scales=(1.5, 4), skip=True, **limits(backend, SMALL))
    call = call._replace(weights=call.weights.to(dtype), skip=call.skip.to(dtype))
    with running(backend) as name, poisoned():
        got = call.run(name)
    truth = call.run("reference", torch.float64)
    assert (got.double() - truth).abs().max() <= 1e-5 * truth.abs().max(), call


@over_halves
@over_types
def test_points_do_not_depend_on_their_neighbours(backend, dtype, seed):
    call = rounded(draw(seed, points=True, spec=PAPERS["lm-lte"], **limits(backend)), dtype)
    with running(backend) as name, poisoned():
        whole = call.run(name)
        order = torch.randperm(call.coord.shape[1])
        assert torch.equal(call._replace(coord=call.coord[:, order], cell=call.cell[:, order]).run(name),
                           whole[:, order])


@over_halves
@over_types
def test_inputs_need_not_be_contiguous(backend, dtype, seed):
    for scale in (2, 4):
        call = rounded(draw(seed, points=False, spec=PAPERS["lm-liif"], lr_size=(6, 8), scales=(scale,), skip=True,
                            **limits(backend)), dtype)
        with running(backend) as name, poisoned():
            expected = call.run(name)
            wide = torch.cat([call.fields, call.fields], 2)[:, :, :8]
            deep = torch.cat([call.fields[..., :1], call.fields], 3)[..., 1:]  # records begin at odd addresses
            turned = call.fields.permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1)
            for fields in (wide, deep, turned):
                assert torch.equal(call._replace(fields=fields).run(name), expected)
            skip = call.skip.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
            assert torch.equal(call._replace(skip=skip).run(name), expected)


@over_halves
@over_types
@pytest.mark.parametrize("scale", [2, 4])
def test_nan_stays_in_its_pixels(backend, dtype, scale):
    call = draw(5, points=False, spec=PAPERS["lm-liif"], lr_size=(8, 8), scales=(scale,), skip=False,
                **limits(backend))
    call = rounded(call, dtype)
    fields = call.fields.clone()
    fields[:, 3, 4] = float("nan")
    with running(backend) as name:
        clean, got = call.run(name), call._replace(fields=fields).run(name)
    touched = got.isnan().any(1).any(0)
    first = (2 * 3 + 1) * scale // 2 - scale, (2 * 4 + 1) * scale // 2 - scale
    inside = touched[first[0]:first[0] + 2 * scale, first[1]:first[1] + 2 * scale]
    assert inside.all() and touched.sum() == inside.numel()  # the pixels whose ensemble reads the cell
    assert torch.equal(got[:, :, ~touched], clean[:, :, ~touched])


@over_halves
@over_types
def test_points_that_are_nowhere(backend, dtype):
    call = rounded(draw(11, points=True, spec=PAPERS["lm-liif"], lr_size=(3, 4), skip=True, **limits(backend)), dtype)
    coord = torch.tensor([[0.1, 0.2], [float("nan"), 0.0], [0.3, -0.9], [1e10, -1e10]]).expand(len(call.fields), 4, 2)
    call = call._replace(coord=coord, cell=torch.full_like(coord, 0.1))
    with running(backend) as name:
        got = call.run(name)
        near = call._replace(coord=coord[:, [0, 2]], cell=call.cell[:, :2]).run(name)
    assert got[:, 1].isnan().all()
    assert torch.equal(got[:, [0, 2]], near) and near.isfinite().all()
