"""The operator of the coarse-to-fine family: windows, stores, the training form, errors."""

import numpy as np
import pytest
import torch

import lmf_kernels as lmf
import random_slices
from lmf_kernels import ops
from lmf_kernels.families import C2F_MLP
from python_ref import c2f_mlp, slices

KINDS = pytest.mark.parametrize("kind", random_slices.KINDS, ids=random_slices.IDS)


def reference(spec, fields, weights, skip, lr, size, cell=None):
    """(B, 3, H, W) in float64 by python_ref."""
    queries = slices.grid_slices(lr, size, slicing=spec.slicing, ensemble=spec.slice_ensemble, cell=cell,
                                 limit_cell=spec.limit_cell, dtype=torch.float64)
    fields, weights = fields.double(), weights.double()
    skip = None if skip is None else skip.double()
    return c2f_mlp.render(fields, *C2F_MLP.matrices(spec, weights), queries, skip=skip).permute(0, 3, 1, 2)


@KINDS
@pytest.mark.parametrize("lr, size", [((4, 5), (13, 19)), ((3, 4), (36, 12)), ((5, 1), (7, 9))])
def test_windows_of_parts_of_the_map(kind, lr, size, seed):
    """A window rendered from just the part of the map that it reads, skip included."""
    spec = random_slices.draw_spec(kind, seed)
    fields, weights, skip = random_slices.draw_tensors(spec, lr, batch=2, skip=True)
    whole = ops.c2f_mlp(fields, weights, spec, size, lr_size=lr, skip=skip, dtype=torch.float64)
    assert (whole - reference(spec, fields, weights, skip, lr, size)).abs().max() < 1e-12
    on = C2F_MLP.map_of(spec)
    rng = np.random.default_rng(seed)
    for _ in range(4):
        window, parts, pixels = [], [], []
        for n_in, n_out in zip(lr, size):
            start = int(rng.integers(n_out))
            count = int(rng.integers(1, n_out - start + 1))
            first, stop = on.read(start, start + count, n_in, n_out)
            low, high = on.cells(first, stop)
            window.append((start, count))
            parts.append(slice(first, stop))
            pixels.append(slice(max(low, 0), min(high, n_in)))
        (y0, rows), (x0, cols) = window
        got = ops.c2f_mlp(fields[:, parts[0], parts[1]], weights, spec, size, lr_size=lr,
                          lr_origin=(parts[0].start, parts[1].start), skip=skip[:, :, pixels[0], pixels[1]],
                          window=(y0, x0, rows, cols), dtype=torch.float64)
        assert (got - whole[:, :, y0:y0 + rows, x0:x0 + cols]).abs().max() < 1e-12


@KINDS
def test_the_training_form_is_the_operator(kind, seed):
    """Values and gradients in float64, for the pixels that training draws, two images with grids of their own."""
    spec, side = random_slices.draw_spec(kind, seed), 6
    fields, weights, skip = random_slices.draw_tensors(spec, (side, side), batch=2, skip=kind[0] == "dlte")
    leaves = [fields.requires_grad_(), weights.requires_grad_()]
    rng = np.random.default_rng(seed)
    sizes, chosen = rng.integers(4, 25, size=2).tolist(), []
    coords, picked = [], []
    for image, n_out in enumerate(sizes):
        pixels = torch.from_numpy(C2F_MLP.training_pixels(spec, rng, side, n_out, 50))
        place = torch.stack((pixels // n_out, pixels % n_out), dim=-1)
        coords.append((2 * place.double() + 1 - n_out) / n_out)
        cell = None if spec.limit_cell else (2 / n_out,) * 2
        cell = (max(2 / n_out, 0.5 / side),) * 2 if cell is None else cell
        one = skip[image:image + 1] if skip is not None else None
        picture = ops.c2f_mlp(fields[image:image + 1], weights, spec, (n_out, n_out), lr_size=(side, side), skip=one,
                              cell=cell, dtype=torch.float64)
        picked.append(picture.flatten(2)[0][:, pixels].T)
        chosen.append(pixels)
    coord, expected = torch.stack(coords), torch.stack(picked)
    cell = torch.tensor([2 / n for n in sizes], dtype=torch.float64)[:, None, None].expand(coord.shape)
    got = C2F_MLP.dense(spec, fields, weights, coord, cell, skip)
    assert (got - expected).abs().max() < 1e-11 * expected.abs().max()
    probe = torch.randn_like(got)
    for a, b in zip(*(torch.autograd.grad(value, leaves, probe) for value in (got, expected))):
        assert (a - b).abs().max() < 1e-9 * max(1, b.abs().max())


@pytest.mark.parametrize("slicing", ["linear", "constant"])
@pytest.mark.parametrize("n_out", [3, 6, 17, 24])
def test_training_draws_whole_slices(slicing, n_out, seed):
    """All pixels of a slice or none, but for the one that the count cuts."""
    spec = random_slices.draw_spec(("diif", slicing, True), seed)
    for count in (1, 30, 3 * n_out * n_out):
        pixels = C2F_MLP.training_pixels(spec, np.random.default_rng(seed), 6, n_out, count)
        assert pixels.shape == (count,) and (np.diff(pixels) >= 0).all()
        assert 0 <= pixels.min() <= pixels.max() < n_out ** 2
        owner = slices.owner(np.arange(n_out), 6, n_out)
        y, x = np.divmod(np.arange(n_out ** 2), n_out)
        key = (y if slicing == "linear" else owner[y]) * 6 + owner[x]
        drawn = np.bincount(pixels, minlength=n_out ** 2)
        uneven = [k for k in np.unique(key) if len(set(drawn[key == k])) > 1]
        assert len(uneven) <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.uint8])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_stores(dtype, layout, seed):
    spec = random_slices.draw_spec(random_slices.KINDS[0], seed)
    fields, weights, _ = random_slices.draw_tensors(spec, (3, 4), dtype=torch.float32)
    given = {"lr_size": (3, 4), "epilogue": "unit"}
    got = ops.c2f_mlp(fields, weights, spec, (8, 11), dtype=dtype, layout=layout, **given)
    exact = ops.c2f_mlp(fields, weights, spec, (8, 11), **given)
    exact = exact if layout == "nchw" else exact.permute(0, 2, 3, 1)
    expected = (exact * 255).round() if dtype == torch.uint8 else exact
    assert got.dtype == dtype and got.shape == exact.shape
    assert torch.equal(got, expected.to(dtype))


def test_bad_requests_are_told(seed):
    spec = random_slices.draw_spec(random_slices.KINDS[0], seed)
    fields, weights, _ = random_slices.draw_tensors(spec, (3, 4))
    with pytest.raises(lmf.InputError, match="pass lr_size"):
        ops.c2f_mlp(fields, weights, spec, (6, 8))
    with pytest.raises(lmf.InputError, match="of a map with 4"):
        ops.c2f_mlp(fields, weights, spec, (6, 8), lr_size=(3, 3))
    with pytest.raises(lmf.InputError, match=r"pass \(1, 3, 3, 4\), the normalised LR image"):
        ops.c2f_mlp(fields, weights, spec, (6, 8), lr_size=(3, 4), skip=torch.zeros(1, 3, 4, 5, dtype=torch.float64))
    with pytest.raises(lmf.InputError, match="coarse widths"):
        ops.c2f_mlp(fields, weights, spec._replace(coarse=()), (6, 8), lr_size=(3, 4))
    with pytest.raises(lmf.InputError, match="renders no free query points: a slice"):
        ops.render_points(C2F_MLP, fields, weights, spec, torch.zeros(1, 2, 2), torch.zeros(1, 2, 2))
