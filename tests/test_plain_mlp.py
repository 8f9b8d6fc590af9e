"""The plain family on every backend that has it: numbers, half types, stores, and the same bits however it is cut."""

import random

import pytest
import torch
from every_backend import over_plain, over_plain_kernels, poisoned, running
from half_errors import DTYPES, check_error
from lmf_kernels.ops import RenderSpec
from random_renders import Render, assert_same, assert_windows_are_equal, difference, draw

FAMILY = {"family": "plain_mlp"}
PAPERS = {"liif": RenderSpec("linear", 0, (256,) * 4), "lte": RenderSpec("fourier", 256, (256,) * 3)}
OTHERS = {"linear alone": RenderSpec("linear", 0, ()), "linear, nearest cell": RenderSpec("linear", 0, (), False),
          "output alone": RenderSpec("fourier", 18, ()), "one layer": RenderSpec("linear", 0, (33,)),
          "narrow": RenderSpec("fourier", 2, (1, 1)), "uneven": RenderSpec("linear", 0, (40, 17, 100, 7), False),
          "wide": RenderSpec("fourier", 96, (600, 48))}
SMALL = RenderSpec("fourier", 30, (40, 17))


def compare(call, backend):
    with running(backend) as name, poisoned():
        got = call.run(name)
    assert difference(got, call.run("reference", torch.float64)) < 1e-5, call


@over_plain
@pytest.mark.parametrize("points", [False, True], ids=["grid", "points"])
@pytest.mark.parametrize("draw_number", range(10))
def test_random_networks_are_the_float64_reference(backend, points, draw_number, seed):
    compare(draw(seed, points=points, **FAMILY), backend)


@over_plain
@pytest.mark.parametrize("points", [False, True], ids=["grid", "points"])
@pytest.mark.parametrize("spec", OTHERS.values(), ids=OTHERS)
def test_unusual_networks_are_the_float64_reference(backend, points, spec, seed):
    compare(draw(seed, points=points, spec=spec, skip=True, **FAMILY), backend)


@over_plain
@pytest.mark.parametrize("spec", PAPERS.values(), ids=PAPERS)
@pytest.mark.parametrize("scale", [1, 2, 3, 3.7, 12])
def test_papers_networks_at_their_scales(backend, spec, scale, seed):
    compare(draw(seed, points=False, spec=spec, lr_size=(2, 11), scales=(scale,), skip=True, **FAMILY), backend)


def rounded(call, dtype):
    """The call with its tensors in a half type."""
    return call._replace(fields=call.fields.to(dtype), weights=call.weights.to(dtype),
                         skip=None if call.skip is None else call.skip.to(dtype))


@over_plain
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("points", [False, True], ids=["grid", "points"])
@pytest.mark.parametrize("spec", [*PAPERS.values(), OTHERS["uneven"], OTHERS["wide"], SMALL], ids=str)
def test_half_types_are_as_good_as_eager_torch(backend, dtype, points, spec, seed):
    call = rounded(draw(seed, points=points, spec=spec, lr_size=(5, 7), scales=(2, 3.7), **FAMILY), dtype)
    with running(backend) as name, poisoned():
        got = call.run(name)
    check_error(got, call.run("reference", torch.float64), call.run("reference"))


@over_plain_kernels
@pytest.mark.parametrize("dtype", [torch.float32, *DTYPES.values()], ids=str)
@pytest.mark.parametrize("draw_number", range(3))
def test_finished_stores(backend, dtype, draw_number, seed):
    """Every layout, epilogue and type of the output: the float32 values finished by torch, bit for bit."""
    call = rounded(draw(seed, points=False, **FAMILY), dtype)
    with running(backend) as name, poisoned():
        for epilogue in ("none", "unit"):
            plain = call.run(name, epilogue=epilogue)
            stored = {kind: plain.to(kind) for kind in (torch.float32, torch.float16, torch.bfloat16)}
            if epilogue == "unit":
                stored[torch.uint8] = (plain * 255).round().to(torch.uint8)
                torch.testing.assert_close(plain, (call.run(name) * 0.5 + 0.5).clamp(0, 1), rtol=0, atol=1.2e-7)
            for kind, expected in stored.items():
                for layout, order in (("nchw", (0, 1, 2, 3)), ("nhwc", (0, 2, 3, 1))):
                    got = call.run(name, epilogue=epilogue, dtype=kind, layout=layout)
                    assert torch.equal(got, expected.permute(order)), (call, epilogue, kind, layout)


@over_plain_kernels
@pytest.mark.parametrize("dtype", [torch.float32, *DTYPES.values()], ids=str)
@pytest.mark.parametrize("draw_number", range(3))
def test_same_bits_for_any_window_and_thread_count(backend, dtype, draw_number, seed):
    call = rounded(draw(seed, points=False, **FAMILY), dtype)
    threads = torch.get_num_threads()
    with running(backend) as name, poisoned():
        try:
            torch.set_num_threads(1)
            whole = call.run(name)
            torch.set_num_threads(3)
            assert torch.equal(call.run(name), whole), "thread count changed the bits"
        finally:
            torch.set_num_threads(threads)
        assert_windows_are_equal(call, name, whole, random.Random(seed), 5)


@over_plain
def test_a_part_of_the_lr_map_serves_a_window(backend, seed):
    call = draw(seed, points=False, lr_size=(9, 20), scales=(3,), skip=True, spec=SMALL, **FAMILY)
    with running(backend) as name, poisoned():
        window = call.run(name)[:, :, 12:18, 24:48]
        part = call._replace(fields=call.fields[:, 3:7, 7:17], skip=call.skip[:, :, 3:7, 7:17]).run(
            name, window=(12, 24, 6, 24), lr_size=(9, 20), lr_origin=(3, 7))
        assert_same(name, part, window)


@over_plain
def test_points_do_not_depend_on_their_neighbours(backend, seed):
    call = draw(seed, points=True, **FAMILY)
    with running(backend) as name, poisoned():
        whole = call.run(name)
        order = torch.randperm(call.coord.shape[1])
        assert_same(name, call._replace(coord=call.coord[:, order], cell=call.cell[:, order]).run(name),
                    whole[:, order])
        assert_same(name, call._replace(coord=call.coord[:, -1:], cell=call.cell[:, -1:]).run(name), whole[:, -1:])


@over_plain
def test_grid_and_points_agree(backend, seed):
    call = draw(seed, points=False, lr_size=(11, 6), scales=(1, 2.4, 5), spec=SMALL, **FAMILY)
    height, width = call.size
    y, x = ((2 * torch.arange(n) + 1) / n - 1 for n in call.size)
    coord = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).view(1, -1, 2).expand(len(call.fields), -1, -1)
    cell = torch.tensor([2 / height, 2 / width]).expand(coord.shape)
    with running(backend) as name, poisoned():
        grid = call.run(name, cell=(2 / height, 2 / width), layout="nhwc")
        points = call._replace(size=None, coord=coord, cell=cell).run(name).view_as(grid)
    assert (grid - points).abs().max() / grid.abs().max() < 2e-5, call


@over_plain
@pytest.mark.parametrize("points", [False, True], ids=["grid", "points"])
def test_inputs_need_not_be_contiguous(backend, points, seed):
    call = draw(seed, points=points, lr_size=(6, 8), skip=True, **FAMILY)
    strided = call._replace(
        fields=call.fields.permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1),
        weights=torch.stack([call.weights, call.weights], 1)[:, 0],
        skip=torch.cat([call.skip, call.skip], 3)[..., :8])
    if points:
        strided = strided._replace(coord=call.coord.transpose(0, 1).contiguous().transpose(0, 1),
                                   cell=call.cell.flip(2).contiguous().flip(2))
    wide = call._replace(fields=torch.cat([call.fields, call.fields], 2)[:, :, :8])  # dense over channels alone
    with running(backend) as name, poisoned():
        expected = call.run(name)
        assert_same(name, strided.run(name), expected)
        assert_same(name, wide.run(name), expected)


def products_keep_rows(dtype):
    """Whether torch's own products keep NaN in its row. In bfloat16 on AMX, with an odd number of inputs, they do not
    (torch 2.13)."""
    left = torch.ones(64, 17, dtype=dtype)
    left[10] = float("nan")
    return int((left @ torch.ones(17, 3, dtype=dtype)).isnan().any(1).sum()) == 1


@over_plain
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("spec", [SMALL, OTHERS["linear alone"], OTHERS["output alone"]], ids=str)
def test_nan_and_infinity_stay_in_their_pixels(backend, dtype, spec):
    """Also where they stood in a buffer that other pixels use next."""
    call = rounded(draw(5, points=False, spec=spec, lr_size=(8, 8), scales=(4,), skip=False, **FAMILY), dtype)
    for value in (float("nan"), float("inf")):
        fields = call.fields.clone()
        fields[:, 3, 4] = value
        with running(backend) as name:
            if name == "reference" and not products_keep_rows(dtype):
                pytest.skip("torch's own products carry NaN into other rows on this processor; the reference uses them")
            clean, got = call.run(name), call._replace(fields=fields).run(name)
        touched = torch.zeros(32, 32, dtype=torch.bool)
        touched[10:18, 14:22] = True  # the pixels whose ensemble reads the cell
        assert not got[:, :, touched].isfinite().all(1).any()
        assert_same(name, got[:, :, ~touched], clean[:, :, ~touched])


@over_plain
def test_points_that_are_nowhere(backend):
    """A NaN coordinate gives NaN to its own point alone; a point far outside sees the border cell from far away."""
    call = draw(11, points=True, spec=RenderSpec("linear", 0, (40, 17)), lr_size=(3, 4), skip=True, **FAMILY)
    coord = torch.tensor([[0.1, 0.2], [float("nan"), 0.0], [1e10, -1e10], [0.3, -0.9]]).expand(len(call.fields), 4, 2)
    call = call._replace(coord=coord, cell=torch.full_like(coord, 0.1))
    with running(backend) as name:
        got = call.run(name)
    truth = call.run("reference", torch.float64)
    assert got[:, 1].isnan().all() and truth[:, 1].isnan().all()
    keep = [0, 2, 3]
    torch.testing.assert_close(got[:, keep].double(), truth[:, keep], rtol=1e-5, atol=1e-5)


@over_plain
@pytest.mark.parametrize("ensemble", [True, False])
def test_every_width_of_a_row(backend, ensemble):
    """Down to one pixel and up past the map's own width."""
    spec = RenderSpec("linear", 0, (7,), ensemble)
    call = draw(12, points=False, spec=spec, lr_size=(1, 50), scales=(1,), skip=True, **FAMILY)
    with running(backend) as name:
        for width in (*range(1, 40), 49, 50, 51, 97, 150):
            wide = call._replace(size=(1, width))
            torch.testing.assert_close(wide.run(name).double(), wide.run("reference", torch.float64),
                                       rtol=1e-4, atol=1e-5)


@over_plain
def test_empty_windows_and_batches(backend):
    call = draw(6, points=False, spec=SMALL, lr_size=(4, 4), scales=(2,), skip=False, **FAMILY)
    with running(backend) as name:
        assert call.run(name, window=(3, 0, 0, 8)).shape == (len(call.fields), 3, 0, 8)
        assert call._replace(fields=call.fields[:0]).run(name).shape == (0, 3, 8, 8)
        none = call.fields.new_zeros(len(call.fields), 0, 2)
        assert call._replace(size=None, coord=none, cell=none).run(name).shape == (len(call.fields), 0, 3)


@over_plain
def test_eight_bit_pictures(backend, seed):
    """No byte off by more than one, 99.9 % of them equal, on values that fill the range."""
    call = draw(seed, points=False, spec=PAPERS["lte"], lr_size=(9, 13), scales=(3.7,), skip=True, **FAMILY)
    with running(backend) as name, poisoned():
        got = call.run(name, epilogue="unit", dtype=torch.uint8)
    off = (got.double() - (call.run("reference", torch.float64, epilogue="unit") * 255).round()).abs()
    assert off.max() <= 1 and (off == 0).double().mean() >= 0.999


@over_plain
def test_points_of_a_wide_map_keep_their_place(backend):
    """Only the coordinate's own rounding counts; u computed in float32 would be off by up to 3e-5 of a half cell."""
    spec, fields = RenderSpec("linear", 0, (), False), torch.zeros(1, 1, 512, 3)
    weights = torch.zeros(12)
    weights[3] = 1  # the first channel is rel_x
    x = (torch.rand(4096, dtype=torch.float64) * 2 - 1).float()  # with all bits of a float32 in use
    coord = torch.stack([torch.zeros(4096), x], -1)[None]
    with running(backend) as name:
        got = Render(spec, fields, weights, None, coord=coord, cell=torch.full_like(coord, 1e-3), **FAMILY).run(name)
    u = ((x.double() + 1) * 512 - 1) / 2
    assert (got[0, :, 0] - 2 * (u - (u + 0.5).floor())).abs().max() < 1e-6
