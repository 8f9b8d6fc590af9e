"""The modulated family on every backend that can run: numbers, stores, and the same bits however it is cut."""

import random

import pytest
import torch
from every_backend import limits, over_all, over_compiled, poisoned, running
from lmf_kernels.families import MODULATED_MLP
from lmf_kernels.ops import RenderSpec, modulated_mlp
from networks import PAPERS, SMALL, VARIED
from random_renders import Render, assert_same, assert_windows_are_equal, difference, draw, of_width


@over_all
@pytest.mark.parametrize("draw_number", range(12))
def test_grid_is_the_float64_reference(backend, draw_number, seed):
    call = draw(seed, points=False, **limits(backend, VARIED))
    with running(backend) as name, poisoned():
        got = call.run(name)
    assert difference(got, call.run("reference", torch.float64)) < 1e-5, call


@over_all
@pytest.mark.parametrize("draw_number", range(6))
def test_points_are_the_float64_reference(backend, draw_number, seed):
    call = draw(seed, points=True, **limits(backend, VARIED))
    with running(backend) as name, poisoned():
        got = call.run(name)
    assert difference(got, call.run("reference", torch.float64)) < 1e-5, call


@over_all
@pytest.mark.parametrize("spec", PAPERS.values(), ids=PAPERS)
@pytest.mark.parametrize("scale", [1, 2, 3, 3.7, 4, 12, 30])
def test_papers_shapes_at_their_scales(backend, spec, scale, seed):
    call = draw(seed, points=False, spec=spec, lr_size=(4, 37), scales=(scale,), skip=True, **limits(backend))
    with running(backend) as name, poisoned():
        got = call.run(name)
    assert difference(got, call.run("reference", torch.float64)) < 1e-5, call


@over_compiled
@pytest.mark.parametrize("draw_number", range(4))
def test_finished_stores(backend, draw_number, seed):
    """[0, 1] floats and bytes, both layouts, are the plain values finished by torch, bit for bit."""
    call = draw(seed, points=False, **limits(backend, SMALL))
    with running(backend) as name, poisoned():
        plain, unit = call.run(name), call.run(name, epilogue="unit")
        byte = call.run(name, epilogue="unit", dtype=torch.uint8)
        assert torch.equal(call.run(name, layout="nhwc"), plain.permute(0, 2, 3, 1))
        assert torch.equal(call.run(name, epilogue="unit", dtype=torch.uint8, layout="nhwc"), byte.permute(0, 2, 3, 1))
    torch.testing.assert_close(unit, (plain * 0.5 + 0.5).clamp(0, 1), rtol=0, atol=1.2e-7)
    assert torch.equal(byte, (unit * 255).round().to(torch.uint8)), call


@over_compiled
@pytest.mark.parametrize("draw_number", range(4))
def test_same_bits_for_any_band_and_thread_count(backend, draw_number, seed):
    call = draw(seed, points=False, **limits(backend))
    choose = random.Random(seed)
    threads = torch.get_num_threads()
    with running(backend) as name, poisoned():
        try:
            torch.set_num_threads(1)
            whole = call.run(name)
            torch.set_num_threads(3)
            assert torch.equal(call.run(name), whole), "thread count changed the bits"
        finally:
            torch.set_num_threads(threads)
        assert_windows_are_equal(call, name, whole, choose, 5)


@over_all
def test_a_part_of_the_lr_map_serves_a_band(backend, seed):
    """Bands of a large picture need only the LR rows that they read."""
    call = draw(seed, points=False, lr_size=(20, 9), scales=(2.5,), skip=True, **limits(backend))
    height, width = call.size
    with running(backend) as name, poisoned():
        whole = call.run(name)
        for y0 in range(0, height, 7):
            rows = min(7, height - y0)
            first = max(0, int((y0 + 0.5) / 2.5 - 0.5))
            last = min(20, int((y0 + rows - 0.5) / 2.5 - 0.5) + 2)
            band = call._replace(fields=call.fields[:, first:last], skip=call.skip[:, :, first:last]).run(
                name, window=(y0, 0, rows, width), lr_size=(20, 9), lr_origin=(first, 0))
            assert_same(name, band, whole[:, :, y0:y0 + rows])


@over_all
def test_a_part_of_the_lr_map_serves_a_window(backend, seed):
    """The same of columns, and both at once."""
    call = draw(seed, points=False, lr_size=(9, 20), scales=(3,), skip=True, **limits(backend))
    with running(backend) as name, poisoned():
        window = call.run(name)[:, :, 12:18, 24:48]
        part = call._replace(fields=call.fields[:, 3:7, 7:17], skip=call.skip[:, :, 3:7, 7:17]).run(
            name, window=(12, 24, 6, 24), lr_size=(9, 20), lr_origin=(3, 7))
        assert_same(name, part, window)


@over_all
def test_points_of_a_wide_map_keep_their_place(backend, seed):
    """Only the coordinate's own rounding counts; u worked out in float32 would be off by up to 3e-5 of a half cell."""
    spec = of_width(RenderSpec("linear", 0, (1,), ensemble=False), limits(backend).get("width", 1))
    hidden = spec.widths[0]
    fields, rel, out = torch.zeros(1, 1, 512, 3 * hidden), torch.zeros(hidden, 2), torch.zeros(3, hidden)
    fields[..., hidden] = rel[0, 1] = out[0, 0] = 1  # relu(rel_x + 1): the pixel's place in its cell, from 0 to 2
    weights = MODULATED_MLP.pack_weights(spec, rel, None, [], (out, torch.zeros(3)))
    x = (torch.rand(4096, dtype=torch.float64) * 2 - 1).float()  # with all bits of a float32 in use
    coord = torch.stack([torch.zeros(4096), x], -1)[None]
    with running(backend) as name:
        got = Render(spec, fields, weights, None, coord=coord, cell=torch.full_like(coord, 1e-3)).run(name)
    u = ((x.double() + 1) * 512 - 1) / 2
    truth = 2 * (u - (u + 0.5).floor()) + 1
    assert (got[0, :, 0] - truth).abs().max() < 1e-6


@over_compiled
def test_points_do_not_depend_on_their_neighbours(backend, seed):
    call = draw(seed, points=True, **limits(backend))
    with running(backend) as name, poisoned():
        whole = call.run(name)
        order = torch.randperm(call.coord.shape[1])
        mixed = call._replace(coord=call.coord[:, order], cell=call.cell[:, order]).run(name)
        assert torch.equal(mixed, whole[:, order])
        single = call._replace(coord=call.coord[:, -1:], cell=call.cell[:, -1:]).run(name)
        assert torch.equal(single, whole[:, -1:])


@over_all
def test_grid_and_points_agree(backend, seed):
    call = draw(seed, points=False, lr_size=(11, 6), scales=(1, 2.4, 5), **limits(backend))
    height, width = call.size
    y = (2 * torch.arange(height) + 1) / height - 1
    x = (2 * torch.arange(width) + 1) / width - 1
    coord = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).view(1, -1, 2).expand(len(call.fields), -1, -1)
    cell = torch.tensor([2 / height, 2 / width]).expand(coord.shape)
    if not call.spec.ensemble:  # the nearest cell at an exact tie is a matter of rounding in points mode
        keep = [((2 * torch.arange(n) + 1) * n_in % (2 * n) != 0) for n, n_in in zip(call.size, (11, 6))]
        keep = keep[0][:, None] & keep[1]
    else:
        keep = torch.ones(height, width, dtype=torch.bool)
    with running(backend) as name, poisoned():
        grid = call.run(name, cell=(2 / height, 2 / width), layout="nhwc")
        points = call._replace(size=None, coord=coord, cell=cell).run(name).view_as(grid)
    scale = grid.abs().max()
    assert ((grid - points).abs() / scale)[:, keep].max() < 2e-5, call


@over_all
def test_inputs_need_not_be_contiguous(backend, seed):
    for points in (False, True):
        call = draw(seed, points=points, lr_size=(6, 8), skip=True, **limits(backend))
        strided = call._replace(
            fields=call.fields.permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1),
            weights=torch.stack([call.weights, call.weights], 1)[:, 0],
            skip=torch.cat([call.skip, call.skip], 3)[..., :call.skip.shape[3]])
        if points:
            strided = strided._replace(coord=call.coord.transpose(0, 1).contiguous().transpose(0, 1),
                                       cell=call.cell.flip(2).contiguous().flip(2)[:, :1].expand_as(call.cell))
            call = call._replace(cell=call.cell[:, :1].expand_as(call.cell).contiguous())
        with running(backend) as name, poisoned():
            assert_same(name, strided.run(name), call.run(name))
            # Rows of a wider map: strided over cells, dense over channels.
            wide = torch.cat([call.fields, call.fields], 2)[:, :, :call.fields.shape[2]]
            assert_same(name, call._replace(fields=wide).run(name), call.run(name))


@over_all
def test_nan_stays_in_its_pixels(backend):
    spec = PAPERS["lm-liif"]
    call = draw(5, points=False, spec=spec, lr_size=(8, 8), scales=(4,), skip=False, **limits(backend))
    fields = call.fields.clone()
    fields[:, 3, 4] = float("nan")
    with running(backend) as name:
        clean, got = call.run(name), call._replace(fields=fields).run(name)
    touched = got.isnan().any(1).any(0)
    assert touched[10:18, 14:22].all() and touched.sum() == 64  # the pixels whose ensemble reads the cell
    assert torch.equal(got[:, :, ~touched], clean[:, :, ~touched])


@over_all
def test_points_that_are_nowhere(backend):
    """A NaN coordinate gives NaN to its own point alone; a point far outside sees the border cell from far away."""
    call = draw(11, points=True, spec=PAPERS["lm-liif"], lr_size=(3, 4), skip=True, **limits(backend))
    coord = torch.tensor([[0.1, 0.2], [float("nan"), 0.0], [1e10, -1e10], [0.3, -0.9]]).expand(len(call.fields), 4, 2)
    call = call._replace(coord=coord, cell=torch.full_like(coord, 0.1))
    with running(backend) as name:
        got = call.run(name)
    truth = call.run("reference", torch.float64)
    assert got[:, 1].isnan().all() and truth[:, 1].isnan().all()
    keep = [0, 2, 3]
    torch.testing.assert_close(got[:, keep].double(), truth[:, keep], rtol=1e-5, atol=1e-5)


@over_all
@pytest.mark.parametrize("ensemble", [True, False])
def test_every_width_of_a_row(backend, ensemble):
    """Down to one pixel and up past the map's own width: lanes then reach over more cells than one vector tells."""
    spec = RenderSpec("linear", 0, (7,), ensemble)
    call = draw(12, points=False, spec=spec, lr_size=(1, 200), scales=(1,), skip=False, **limits(backend))
    with running(backend) as name:
        for width in range(1, 260, {"reference": 3, "emulator": 7, "triton": 7}.get(name, 1)):
            wide = call._replace(size=(1, width))
            torch.testing.assert_close(wide.run(name).double(), wide.run("reference", torch.float64),
                                       rtol=1e-4, atol=1e-5)


@over_all
def test_empty_windows_and_batches(backend):
    spec = PAPERS["lm-liif"]
    call = draw(6, points=False, spec=spec, lr_size=(4, 4), scales=(2,), skip=False, **limits(backend))
    with running(backend) as name:
        assert call.run(name, window=(3, 0, 0, 8)).shape == (len(call.fields), 3, 0, 8)
        assert call._replace(fields=call.fields[:0]).run(name).shape == (0, 3, 8, 8)
        none = call.fields.new_zeros(len(call.fields), 0, 2)
        assert call._replace(size=None, coord=none, cell=none).run(name).shape == (len(call.fields), 0, 3)


@over_compiled
def test_eight_bit_pictures(backend, seed):
    """DESIGN.md, section 9: no byte off by more than one, 99.9 % of them equal, on values that fill the range."""
    call = draw(seed, points=False, spec=PAPERS["lm-liif"], lr_size=(24, 31), scales=(3.7,), skip=True,
                **limits(backend))
    with running(backend) as name, poisoned():
        got = call.run(name, epilogue="unit", dtype=torch.uint8)
    truth = call.run("reference", torch.float64, epilogue="unit")
    off = (got.double() - (truth * 255).round()).abs()
    assert off.max() <= 1 and (off == 0).double().mean() >= 0.999


def test_the_upscale_rule_is_the_default_cell():
    call = draw(7, points=False, spec=PAPERS["lm-liif"], lr_size=(5, 6), scales=(6,), skip=False)
    ruled = modulated_mlp(call.fields, call.weights, call.spec, (30, 36))
    given = modulated_mlp(call.fields, call.weights, call.spec, (30, 36), cell=(2 / 30 * 1.5, 2 / 36 * 1.5))
    assert torch.equal(ruled, given)
    assert not torch.equal(ruled, modulated_mlp(call.fields, call.weights, call.spec, (30, 36), cell=(2 / 30, 2 / 36)))
