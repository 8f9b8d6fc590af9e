"""The coarse-to-fine family's CPU kernel, once per instruction set: numbers, half types, windows, threads, memory."""

import golden_cases
import numpy as np
import pytest
import random_slices
import torch
from every_backend import CHOICES, poisoned, running
from half_errors import DTYPES, check_error

from lmf_kernels import load_model, ops
from lmf_kernels.families import C2FSpec

over_isas = pytest.mark.parametrize("backend", [choice for choice in CHOICES if choice.startswith("cpu")])
KINDS = pytest.mark.parametrize("kind", random_slices.KINDS, ids=random_slices.IDS)
PAPERS = {"diif": C2FSpec("linear", 0, (256, 256), (256, 256)),
          "dlte": C2FSpec("fourier", 256, (256, 256), (256, 256), limit_cell=False)}


def render(spec, tensors, lr, size, backend, **options):
    fields, weights, skip = tensors
    return ops.c2f_mlp(fields, weights, spec, size, lr_size=lr, skip=skip, backend=backend, **options)


def exact(spec, tensors, lr, size, **options):
    wide = [tensor.double() for tensor in tensors]
    return render(spec, wide, lr, size, "reference", dtype=torch.float64, **options)


def drawn_size(rng):
    """An LR picture, and an output of scales from 0.6 to 8, different per axis."""
    lr = tuple(int(n) for n in rng.integers(1, 9, 2) * rng.choice([1, 1, 4], 2))
    return lr, tuple(max(1, int(n * scale)) for n, scale in zip(lr, rng.uniform(0.6, 8, 2)))


@over_isas
@KINDS
@pytest.mark.parametrize("draw", range(4))
def test_random_networks_are_the_float64_reference(backend, kind, draw, seed):
    spec = random_slices.draw_spec(kind, seed)
    lr, size = drawn_size(np.random.default_rng(seed))
    tensors = random_slices.draw_tensors(spec, lr, batch=2, dtype=torch.float32, skip=True)
    with running(backend) as name, poisoned():
        got = render(spec, tensors, lr, size, name)
    expected = exact(spec, tensors, lr, size)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max(), (spec, lr, size)


@over_isas
@pytest.mark.parametrize("spec", PAPERS.values(), ids=PAPERS)
@pytest.mark.parametrize("scale", [1, 2, 3.7, 12])
def test_papers_networks_at_their_scales(backend, spec, scale, seed):
    lr = (2, 27)  # more cells than a task has
    size = tuple(int(n * scale) for n in lr)
    tensors = random_slices.draw_tensors(spec, lr, dtype=torch.float32, skip=True)
    with running(backend) as name, poisoned():
        got = render(spec, tensors, lr, size, name)
    expected = exact(spec, tensors, lr, size)
    assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@over_isas
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("spec", PAPERS.values(), ids=PAPERS)
def test_half_types_are_as_good_as_eager_torch(backend, dtype, spec, seed):
    lr, size = (3, 5), (11, 17)
    tensors = [tensor.to(dtype) for tensor in random_slices.draw_tensors(spec, lr, skip=True)]
    with running(backend) as name, poisoned():
        got = render(spec, tensors, lr, size, name)
    check_error(got, exact(spec, tensors, lr, size), render(spec, tensors, lr, size, "reference"))


@over_isas
@KINDS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_windows_and_threads_give_the_same_bits(backend, kind, dtype, seed):
    spec = random_slices.draw_spec(kind, seed)
    rng = np.random.default_rng(seed)
    lr, size = (5, 30), (17, 70)
    tensors = [tensor.to(dtype) for tensor in random_slices.draw_tensors(spec, lr, batch=2, skip=True)]
    with running(backend) as name, poisoned():
        whole = render(spec, tensors, lr, size, name)
        for _ in range(4):
            y0, x0 = (int(rng.integers(n)) for n in size)
            rows, cols = (int(rng.integers(1, n - start + 1)) for n, start in zip(size, (y0, x0)))
            part = render(spec, tensors, lr, size, name, window=(y0, x0, rows, cols))
            assert torch.equal(part, whole[:, :, y0:y0 + rows, x0:x0 + cols])
        threads = torch.get_num_threads()
        try:
            torch.set_num_threads(3)
            assert torch.equal(render(spec, tensors, lr, size, name), whole)
        finally:
            torch.set_num_threads(threads)
        turned = tensors[0].permute(3, 0, 1, 2).contiguous().permute(1, 2, 3, 0)  # channels strided
        assert torch.equal(render(spec, (turned, *tensors[1:]), lr, size, name), whole)


@over_isas
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.uint8], ids=str)
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_stores(backend, dtype, layout, seed):
    spec = random_slices.draw_spec(random_slices.KINDS[0], seed)
    tensors = random_slices.draw_tensors(spec, (3, 4), dtype=torch.float32)
    with running(backend) as name, poisoned():
        got = render(spec, tensors, (3, 4), (8, 21), name, dtype=dtype, layout=layout, epilogue="unit")
        plain = render(spec, tensors, (3, 4), (8, 21), name, epilogue="unit")
    expected = plain if layout == "nchw" else plain.permute(0, 2, 3, 1)
    assert torch.equal(got, ((expected * 255).round() if dtype == torch.uint8 else expected).to(dtype))


@over_isas
@pytest.mark.parametrize("model, name", golden_cases.ids(golden_cases.SLICED))
@torch.no_grad()
def test_golden_values(backend, model, name):
    case, loaded = golden_cases.case(model, name), load_model(golden_cases.path(model))
    with running(backend) as runs:
        loaded.backend = runs
        golden_cases.check(loaded.render_grid(case.image, case.size), case)


def test_what_it_refuses(seed):
    spec = random_slices.draw_spec(random_slices.KINDS[0], seed)
    fields, weights, _ = random_slices.draw_tensors(spec, (3, 4))
    with pytest.raises(RuntimeError, match="float64"):
        ops.c2f_mlp(fields, weights, spec, (6, 8), lr_size=(3, 4), backend="cpu")
