"""Where queries fall: exact at every size, the same through windows, and consistent between grids and points."""

import random
from fractions import Fraction
from math import floor

import pytest
import torch
from python_ref import geometry, heads, modulated_mlp, plain_mlp, skip


def clamp(index, count):
    return min(max(index, 0), count - 1)


@pytest.mark.parametrize("ensemble", [True, False])
def test_grid_axes_are_exact_at_huge_sizes(ensemble, seed):
    """Cells, rel and weights against fractions, at sizes where float32 cannot even count the pixels."""
    draw = random.Random(seed)
    pairs = [(8192, 2**15), (65535, 1_000_003), (2**27 - 1, 2**29 + 1), (2**29, 2**29), (100_003, 99_991)]
    for n_in, n_out in pairs + [(draw.randrange(1, 2**26), draw.randrange(1, 2**29)) for _ in range(20)]:
        count = min(n_out, 40)
        for start in {0, n_out - count, draw.randrange(n_out - count + 1)}:
            queries = geometry.grid_queries((n_in, 3), (n_out, 5), ensemble=ensemble, window=(start, 0, count, 5),
                                            dtype=torch.float64)
            for i in range(count):
                u = (start + i + Fraction(1, 2)) * n_in / n_out - Fraction(1, 2)
                low = floor(u)
                chosen = (low, low + 1) if ensemble else (floor(u + Fraction(1, 2)),)
                weights = (1 - (u - low), u - low)
                note = f"seed {seed}: {n_in} -> {n_out}, row {start + i}"
                assert [c[i].item() for c in queries.y.cells] == [clamp(k, n_in) for k in chosen], note
                assert [r[i].item() for r in queries.y.rels] == [float(2 * (u - clamp(k, n_in))) for k in chosen], note
                assert [c[i].item() for c in queries.y.skip_cells] == [clamp(low, n_in), clamp(low + 1, n_in)], note
                assert [w[i].item() for w in queries.y.skip_weights] == [float(w) for w in weights], note
                expected = [float(w) for w in weights] if ensemble else [1.0]
                assert [w[i].item() for w in queries.y.weights] == expected, note


def test_upscale_cell():
    assert geometry.upscale_cell(100, 200) == 2 / 200
    assert geometry.upscale_cell(100, 400) * 100 == 0.5
    assert geometry.upscale_cell(100, 1200) * 100 == pytest.approx(0.5), "rel_cell stops falling above x4"
    queries = geometry.grid_queries((10, 20), (25, 240))
    assert queries.y.rel_cell.item() == pytest.approx(0.8) and queries.x.rel_cell.item() == pytest.approx(0.5)
    queries = geometry.grid_queries((10, 20), (25, 240), rel_cell=(0.1, 0.7))
    assert queries.y.rel_cell.item() == pytest.approx(0.1) and queries.x.rel_cell.item() == pytest.approx(0.7)


@pytest.mark.parametrize("ensemble", [True, False])
def test_points_fall_where_the_grid_does(ensemble, seed):
    lr_size, size = (7, 11), (26, 37)
    grid = geometry.grid_queries(lr_size, size, ensemble=ensemble, dtype=torch.float64)
    points = geometry.point_queries(geometry.grid_coord(size, dtype=torch.float64),
                                    geometry.grid_cell(lr_size, size, dtype=torch.float64), lr_size, ensemble=ensemble)
    for axis in ("y", "x"):
        on_grid, free = getattr(grid, axis), getattr(points, axis)
        for name in ("cells", "rels", "weights", "skip_cells", "skip_weights"):
            for a, b in zip(getattr(on_grid, name), getattr(free, name), strict=True):
                torch.testing.assert_close(a.expand(size).flatten(), b[0], rtol=0, atol=1e-12)
        torch.testing.assert_close(free.rel_cell[0], on_grid.rel_cell.expand(size[0] * size[1]))


def lr_part(queries, lr_size):
    """(y0, y1, x0, x1): the LR cells that the queries touch."""
    found = []
    for axis in (queries.y, queries.x):
        cells = torch.cat([c.flatten() for c in (*axis.cells, *axis.skip_cells)])
        found += [cells.min().item(), cells.max().item() + 1]
    return found


@pytest.mark.parametrize("lr_size, size",
                         [((9, 7), (31, 20)), ((6, 8), (6, 8)), ((8, 9), (5, 40)), ((4, 5), (120, 11))])
def test_windows_of_the_output_and_of_the_map(lr_size, size, seed):
    """A window of the output, rendered from just the LR cells that it touches, equals that part of the whole."""
    draw = random.Random(seed)
    rows, cols = draw.randint(1, size[0]), draw.randint(1, size[1])
    y0, x0 = draw.randint(0, size[0] - rows), draw.randint(0, size[1] - cols)
    note = f"seed {seed}: window {(y0, x0, rows, cols)} of {size} from {lr_size}"
    hidden, depth = 5, 2
    fields = torch.randn(2, *lr_size, (2 * depth + 1) * hidden, dtype=torch.float64)
    image = torch.randn(2, 3, *lr_size, dtype=torch.float64)
    head = heads.LinearHead(*torch.randn(2, hidden, 2, dtype=torch.float64))
    layer, out = torch.randn(hidden, hidden, dtype=torch.float64), torch.randn(3, hidden, dtype=torch.float64)
    bias = torch.randn(3, dtype=torch.float64)
    for ensemble in (True, False):
        kind = {"ensemble": ensemble, "dtype": torch.float64}
        whole = modulated_mlp.render(fields, head, [layer], (out, bias), geometry.grid_queries(lr_size, size, **kind),
                                     skip=image)[:, y0:y0 + rows, x0:x0 + cols]
        part = geometry.grid_queries(lr_size, size, window=(y0, x0, rows, cols), **kind)
        top, bottom, left, right = lr_part(part, lr_size)
        moved = geometry.grid_queries(lr_size, size, window=(y0, x0, rows, cols), lr_origin=(top, left), **kind)
        got = modulated_mlp.render(fields[:, top:bottom, left:right], head, [layer], (out, bias), moved,
                                   skip=image[:, :, top:bottom, left:right])
        torch.testing.assert_close(got, whole, rtol=0, atol=1e-12, msg=note)


def test_points_on_a_part_of_the_map(seed):
    coord, cell = torch.rand(2, 50, 2, dtype=torch.float64) - 0.5, torch.full((2, 50, 2), 0.1, dtype=torch.float64)
    fields, image = torch.randn(2, 9, 8, 6, dtype=torch.float64), torch.randn(2, 3, 9, 8, dtype=torch.float64)
    head, out = heads.LinearHead(*torch.randn(2, 6, 2, dtype=torch.float64)), torch.randn(3, 6, dtype=torch.float64)
    whole = geometry.point_queries(coord, cell, (9, 8))
    top, bottom, left, right = lr_part(whole, (9, 8))
    moved = geometry.point_queries(coord, cell, (9, 8), lr_origin=(top, left))
    bias = torch.zeros(3, dtype=torch.float64)
    got = plain_mlp.render(fields[:, top:bottom, left:right], head, [], (out, bias), moved,
                           skip=image[:, :, top:bottom, left:right])
    assert torch.equal(got, plain_mlp.render(fields, head, [], (out, bias), whole, skip=image)), f"seed {seed}"


@pytest.mark.parametrize("lr_size, size", [((5, 4), (13, 29)), ((1, 6), (7, 6)), ((8, 8), (3, 5))])
def test_skip_is_the_bilinear_resize(lr_size, size, seed):
    image = torch.randn(2, 3, *lr_size, dtype=torch.float64)
    got = skip.bilinear(image, geometry.grid_queries(lr_size, size, dtype=torch.float64, ensemble=False))
    expected = torch.nn.functional.interpolate(image, size=size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(got.permute(0, 3, 1, 2), expected, rtol=0, atol=1e-12)
    points = skip.published(image, geometry.grid_coord(size, dtype=torch.float64).expand(2, -1, 2))
    torch.testing.assert_close(points, got.flatten(1, 2), rtol=0, atol=1e-12)


def test_nothing_to_render(seed):
    """No rows, no points: empty results of the right shape."""
    fields, head = torch.randn(2, 3, 4, 6), heads.LinearHead(*torch.randn(2, 6, 2))
    out = (torch.randn(3, 6), torch.randn(3))
    queries = geometry.grid_queries((3, 4), (6, 8), window=(2, 1, 0, 5))
    assert plain_mlp.render(fields, head, [], out, queries).shape == (2, 0, 5, 3)
    queries = geometry.point_queries(torch.zeros(2, 0, 2), torch.zeros(2, 0, 2), (3, 4))
    assert plain_mlp.render(fields, head, [], out, queries).shape == (2, 0, 3)


def test_bad_requests_are_told():
    with pytest.raises(ValueError, match="every side must be 1 or more"):
        geometry.grid_queries((3, 0), (6, 6))
    with pytest.raises(ValueError, match="inside the output"):
        geometry.grid_queries((3, 4), (6, 8), window=(2, 0, 5, 8))
