"""Half types on the CPU kernels: every number is converted exactly, and models of these types run on them."""

import golden_cases
import pytest
import torch
from every_backend import ISAS, running

import lmf_kernels as lmf
from lmf_kernels.backends.call import RenderCall
from lmf_kernels.backends.cpu import modulated_mlp as kernel
from lmf_kernels.families import MODULATED_MLP
from lmf_kernels.images import read_image
from lmf_kernels.ops import RenderSpec, modulated_mlp

SPEC = RenderSpec("linear", 0, (4,))
HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}
PICTURE = golden_cases.FOLDER.parent / "data" / "flowers.png"

over_isas = pytest.mark.parametrize("isa", ISAS)
over_halves = pytest.mark.parametrize("dtype", HALVES.values(), ids=HALVES)


def call_with(skip, dtype=torch.float32):
    """A network that gives zeros, so that at x1 each pixel is the skip's."""
    rows, cols = skip.shape[2:]
    fields = torch.zeros(1, rows, cols, MODULATED_MLP.field_channels(SPEC))
    weights = torch.zeros(MODULATED_MLP.weight_count(SPEC))
    return RenderCall(MODULATED_MLP, SPEC, fields, weights, skip=skip, size=(rows, cols), window=(0, 0, rows, cols),
                      lr=(0, 0, rows, cols), dtype=dtype)


def every_number(dtype):
    """All finite numbers of a half type, as an LR image."""
    numbers = torch.arange(1 << 16).to(torch.int32).to(torch.int16).view(dtype)
    return torch.where(numbers.isfinite(), numbers, 0).view(1, 1, 256, 256).expand(1, 3, 256, 256)


@over_isas
@over_halves
def test_every_half_is_read_exactly(isa, dtype):
    numbers = every_number(dtype)
    with running(f"cpu-{isa}"):
        assert torch.equal(kernel.run(call_with(numbers)), numbers.float())


@over_isas
@over_halves
def test_every_value_is_rounded_as_torch_rounds_it(isa, dtype, seed):
    """All halves, the numbers just beside the middle between two of them, overflow, and any others."""
    torch.manual_seed(seed)
    halves = every_number(dtype)[0, 0].float().view(torch.int32)
    step = 1 << (13 if dtype == torch.float16 else 16)
    beside = [halves + step // 2 + off for off in (-1, 0, 1)]
    random = torch.randint(-2 ** 31, 2 ** 31, (256, 256)).to(torch.int32)
    values = torch.stack([halves, *beside, random, -random, halves]).view(torch.float32)
    values = torch.where(values.isfinite(), values, 0).view(1, 7, 256, 256)
    for three in (values[:, :3], values[:, 3:6], values[:, 4:7]):
        with running(f"cpu-{isa}"):
            got = kernel.run(call_with(three, dtype))
        assert got.dtype == dtype and torch.equal(got, (three + 0.0).to(dtype))


@over_isas
@over_halves
def test_nan_stays_nan(isa, dtype):
    skip = torch.full((1, 3, 2, 2), torch.nan)
    with running(f"cpu-{isa}"):
        assert kernel.run(call_with(skip.to(dtype), dtype)).isnan().all()


@over_halves
@pytest.mark.parametrize("name", ["lmliif", "lmlte"])
def test_a_model_of_a_half_type_renders_in_the_kernel(name, dtype):
    """From the fields that its encoder and latent stage give, as exactly as the kernel is for float32 fields."""
    model = lmf.load_model(golden_cases.path(name), dtype=dtype)
    assert lmf.explain(model).runs == "cpu"
    image = read_image(PICTURE)[:, :, 40:51, 50:63].to(dtype)
    inp = image * 2 - 1
    with torch.no_grad():
        fields, weights = model.fields(model.encode(inp), model.rel_cell_of((11, 13), (33, 39))), model.render_weights()
    skip = inp if name == "lmlte" else None
    truth = modulated_mlp(fields.float(), weights.float(), model.render_spec, (33, 39), epilogue="unit",
                          skip=None if skip is None else skip.float(), backend="reference")
    got = lmf.upscale(model, image, size=(33, 39))
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, truth, rtol=0, atol=1e-5)
