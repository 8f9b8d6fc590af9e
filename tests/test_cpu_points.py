"""Query points on the CPU kernel: networks with sixteen channels are evaluated with lanes of channels, others with
lanes of points, and both give the bits of the grid."""

import pytest
import torch
from every_backend import ISAS, poisoned, running
from lmf_kernels.families import RenderSpec
from networks import PAPERS
from random_renders import draw

SPECS = {
    **PAPERS,
    "lm-liif nearest": PAPERS["lm-liif"]._replace(ensemble=False),
    "one layer": RenderSpec("fourier", 16, (16,)),
    "wider": RenderSpec("linear", 0, (24,) * 2),
    "wider product": RenderSpec("fourier", 30, (16,) * 2),
}
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_points_have_the_bits_of_the_grid(spec, dtype, isa, seed):
    """Where coordinates are exact in float32: sides and scales that are powers of two. In any order."""
    call = draw(seed, points=False, spec=spec, lr_size=(4, 8), scales=(4,), skip=True)
    call = call._replace(**{name: getattr(call, name).to(dtype) for name in ("fields", "weights", "skip")})
    height, width = call.size
    y, x = ((2 * torch.arange(n) + 1) / n - 1 for n in call.size)
    order = torch.randperm(height * width)[:203]  # the last group of sixteen is not full
    coord = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).view(-1, 2)[order].expand(len(call.fields), -1, -1)
    cell = torch.tensor([2 / height, 2 / width])
    with running(f"cpu-{isa}") as name, poisoned():
        grid = call.run(name, cell=tuple(cell.tolist()), layout="nhwc").flatten(1, 2)[:, order]
        points = call._replace(size=None, coord=coord, cell=cell.expand(coord.shape)).run(name)
    assert torch.equal(points, grid)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("spec", PAPERS.values(), ids=PAPERS)
def test_points_do_not_depend_on_threads(spec, isa, seed):
    call = draw(seed, points=True, spec=spec, lr_size=(20, 33), skip=True)
    coord = torch.rand(len(call.fields), 1000, 2) * 2.2 - 1.1
    call = call._replace(coord=coord, cell=torch.rand(coord.shape) * 0.1)
    threads, found = torch.get_num_threads(), []
    with running(f"cpu-{isa}") as name, poisoned():
        try:
            for count in (1, 2, 3):
                torch.set_num_threads(count)
                found.append(call.run(name))
        finally:
            torch.set_num_threads(threads)
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
