"""Models of half types on the reference backend: every stage, sane pictures, weights folded before they are rounded."""

import golden_cases
import pytest
import torch

from lmf_kernels import load_model, upscale, upscale_rows
from lmf_kernels.images import read_image

PICTURE = golden_cases.FOLDER.parent / "data" / "flowers.png"
HALVES = [torch.float16, torch.bfloat16]
LEVELS = {torch.float16: (0.1, 1), torch.bfloat16: (0.8, 4)}  # of 255: root mean square, largest

pytestmark = [pytest.mark.parametrize("dtype", HALVES, ids=["fp16", "bf16"]),
              pytest.mark.parametrize("name", golden_cases.MODELS)]


@pytest.fixture(scope="module")
def picture():
    return read_image(PICTURE)[:, :, 40:51, 50:63]  # small: half types are slow on a CPU


def pair(name, dtype):
    """The half model and the float32 model of the same, rounded weights."""
    half = load_model(golden_cases.path(name), dtype=dtype, backend="reference")
    full = load_model(golden_cases.path(name), backend="reference")
    full.load_state_dict(half.state_dict())
    return half, full


def assert_near(got, truth, dtype):
    """Both in [0, 1]."""
    off = 255 * (got.float() - truth.float()).abs()
    mean, largest = LEVELS[dtype]
    assert off.square().mean().sqrt() < mean and off.max() < largest


@pytest.mark.parametrize("scale", [2, 3.3])
def test_pictures_are_those_of_float32(name, dtype, scale, picture):
    half, full = pair(name, dtype)
    image = picture.to(dtype)
    got, truth = upscale(half, image, scale), upscale(full, image.float(), scale)
    assert got.dtype == torch.float32
    assert_near(got, truth, dtype)
    assert torch.equal(upscale(half, image, scale, dtype=torch.uint8), (got * 255).round().to(torch.uint8))


def test_the_stages_keep_their_type_and_layout(name, dtype, picture):
    half, _ = pair(name, dtype)
    inp = picture.to(dtype) * 2 - 1
    with torch.no_grad():
        features = half.encode(inp)
        fields = half.fields(features, (0.5, 0.5))
    assert features.dtype == fields.dtype == half.render_weights().dtype == dtype
    assert features.is_contiguous(memory_format=torch.channels_last) and fields.is_contiguous()


def test_points_have_float32_coordinates(name, dtype, picture):
    if name in golden_cases.SLICED:
        pytest.skip("renders grids only")
    half, full = pair(name, dtype)
    inp = picture.to(dtype) * 2 - 1
    coord = torch.rand(1, 50, 2) * 1.8 - 0.9
    cell = torch.full_like(coord, 0.02)
    with torch.no_grad():
        got, truth = half(inp, coord, cell), full(inp.float(), coord, cell)
    assert got.dtype == torch.float32
    assert_near(got / 2, truth / 2, dtype)


def test_rows_of_bytes(name, dtype, picture):
    half, full = pair(name, dtype)
    pixels = (picture * 255).round().to(torch.uint8)
    truth = upscale(full, pixels / 255, 2)
    rows = upscale_rows(half, pixels[0].permute(1, 2, 0).numpy(), 2, dtype=torch.float32, layout="nchw")
    assert_near(torch.cat([part for _, part in rows], 2), truth, dtype)


def test_folded_in_float32_and_rounded_once(name, dtype):
    half, full = pair(name, dtype)

    def flat(value):
        return [t for item in value for t in flat(item)] if isinstance(value, (tuple, list)) else [value]

    with torch.no_grad():
        once = [None if t is None else t.to(dtype) for t in flat(full._pack_latent())]
        found = flat(half._pack_latent())
    assert len(found) == len(once) > 0
    for got, expected in zip(found, once):
        assert got is expected is None or torch.equal(got, expected)
