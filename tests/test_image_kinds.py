"""`upscale` of tensors, numpy arrays and PIL images: the same numbers, each back in its own kind."""

import golden_cases
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from lmf_kernels import InputError, load_model, upscale, upscale_rows

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="module")
def model():
    return load_model(golden_cases.path("lmliif"))


@pytest.fixture
def draw(seed):
    """draw(*shape, dtype): random values over a dtype's range, [0, 1] for floating point."""
    rng = np.random.default_rng(seed)

    def values(*shape, dtype=np.uint8):
        if np.dtype(dtype).kind == "f":
            return rng.random(shape).astype(dtype)
        return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)

    return values


def by_tensor(model, pixels, **request):
    """(H, W, 3) in [0, 1] of (h, w, 3) values, by the path of plain tensors."""
    top = 1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
    image = torch.from_numpy(pixels.astype(np.float32)).div(top).permute(2, 0, 1)[None]
    return upscale(model, image, layout="nhwc", **request)[0].numpy()


@pytest.mark.parametrize("dtype, near", [(np.uint8, 0.51 / 255), (np.uint16, 0.6 / 65535), (np.float32, 1e-6),
                                         (np.float64, 1e-6), (np.float16, 1e-3)])
def test_arrays(model, draw, dtype, near):
    pixels = draw(9, 7, 3, dtype=dtype)
    before = pixels.copy()
    for request in ({"scale": 2.5}, {"size": (20, 31)}, {"scale": (3, 1.5), "max_memory": "90MB"}):
        got = upscale(model, pixels, **request)
        assert isinstance(got, np.ndarray) and got.dtype == dtype and np.array_equal(pixels, before)
        top = 1 if got.dtype.kind == "f" else np.iinfo(dtype).max
        assert np.abs(got / top - by_tensor(model, pixels, **request)).max() <= near
    swapped = pixels.astype(pixels.dtype.newbyteorder())
    assert np.array_equal(upscale(model, swapped[:, ::-1], 2), upscale(model, pixels[:, ::-1].copy(), 2))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(9, 7), (9, 7, 1), (9, 7, 2), (9, 7, 4)])
def test_grey_and_alpha_arrays(model, draw, dtype, shape):
    pixels = draw(*shape, dtype=dtype)
    got = upscale(model, pixels, 2)
    assert got.shape == (18, 14, *shape[2:]) and got.dtype == dtype
    deep = pixels if pixels.ndim == 3 else pixels[..., None]
    colours = np.repeat(deep[..., :1], 3, axis=2) if deep.shape[2] < 3 else deep[..., :3]
    if deep.shape[2] in (2, 4):
        deep[..., -1] = np.maximum(deep[..., -1], 1 if dtype != np.float32 else 1e-3)
        got = upscale(model, deep, 2)
    top = 1 if got.dtype.kind == "f" else np.iinfo(dtype).max
    expected = by_tensor(model, colours, scale=2)
    if deep.shape[2] < 3:
        expected = expected @ np.array([[0.299], [0.587], [0.114]], np.float32)
    found = got.reshape(18, 14, -1)[..., :expected.shape[2]]
    assert np.abs(found / top - expected).max() <= 0.6 / 255
    if deep.shape[2] in (2, 4):
        alpha = Image.fromarray(deep[..., -1].astype(np.float32) / top).resize((14, 18), Image.Resampling.BICUBIC)
        assert np.abs(got[..., -1] / top - np.asarray(alpha).clip(0, 1)).max() <= 0.51 / 255


def test_uint8_tensors_and_three_dimensions(model, draw):
    pixels = torch.from_numpy(draw(2, 3, 9, 7))
    got = upscale(model, pixels, 2.5)
    assert got.dtype == torch.uint8 and torch.equal(got, upscale(model, pixels / 255, 2.5, dtype=torch.uint8))
    unit = upscale(model, pixels, 2.5, dtype=torch.float32)
    assert torch.equal(unit, upscale(model, pixels / 255, 2.5))
    assert torch.equal(upscale(model, pixels[1], 2.5), upscale(model, pixels[1:], 2.5)[0])
    one = pixels[0] / 255
    assert torch.equal(upscale(model, one, 2.5), upscale(model, one[None], 2.5)[0])
    assert upscale(model, one, 2.5, layout="nhwc").shape == (22, 17, 3)
    within = {"scale": 2.5, "max_memory": "100MB"}
    assert torch.equal(upscale(model, one, **within), upscale(model, one[None], **within)[0])
    half = load_model(golden_cases.path("lmliif"), dtype=torch.bfloat16)
    assert (upscale(half, pixels, 2).int() - upscale(model, pixels, 2).int()).abs().max() <= 12
    double = load_model(golden_cases.path("lmliif"), dtype=torch.float64)
    assert (upscale(double, pixels, 2).int() - upscale(model, pixels, 2).int()).abs().max() <= 1


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK", "I;16"])
def test_pil_images(model, draw, mode):
    if mode == "I;16":
        image = Image.fromarray(draw(9, 7, dtype=np.uint16))
    else:
        image = Image.fromarray(draw(9, 7, 4)).convert("RGB" if mode in ("P", "CMYK") else "RGBA").convert(mode)
    got = upscale(model, image, 2)
    assert isinstance(got, Image.Image) and got.size == (14, 18)
    assert got.mode == {"P": "RGB", "1": "L", "CMYK": "RGB"}.get(mode, mode)
    if mode in ("L", "LA", "RGB", "RGBA", "I;16"):
        assert np.array_equal(np.asarray(got), upscale(model, np.asarray(image), 2))


def test_what_a_pil_image_knows_is_kept(model, draw, tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "Camera & Co"
    Image.fromarray(draw(9, 7, 3)).save(tmp_path / "p.png", dpi=(300, 300), icc_profile=SRGB, exif=exif)
    with Image.open(tmp_path / "p.png") as image:
        got = upscale(model, image, 2)
        got.save(tmp_path / "out.png", exif=got.info["exif"])
        assert got.info["dpi"] == image.info["dpi"] and got.info["icc_profile"] == SRGB
    with Image.open(tmp_path / "out.png") as out:
        assert out.getexif()[0x010F] == "Camera & Co" and out.info["icc_profile"] == SRGB
    Image.fromarray(draw(9, 7)).save(tmp_path / "grey.png", icc_profile=SRGB)
    with Image.open(tmp_path / "grey.png") as image:
        assert "icc_profile" not in upscale(model, image, 2).info, "a profile of other colours"


@pytest.mark.parametrize("image, says", [
    (np.full((4, 5, 3), 200.0), "go from 200 to 200"),
    (np.full((4, 5, 3), np.nan, np.float32), "NaN or infinity"),
    (np.zeros((4, 5, 3), np.int64), "An array's values are uint8, uint16"),
    (np.zeros((4, 5, 3), bool), "got bool"),
    (np.zeros((3, 4, 5), np.uint8), "with 1 to 4 channels last"),
    (np.zeros((1, 4, 5, 3), np.uint8), "a batch comes as a tensor"),
    (np.zeros((0, 5, 3), np.uint8), "empty"),
    (np.zeros(5, np.uint8), "An array is"),
    (Image.new("F", (4, 5)), "floating-point pixels, which have no agreed range"),
    ("photo.png", "got a str"),
])
def test_refused(model, image, says):
    with pytest.raises(InputError, match=says) as caught:
        upscale(model, image, 2)
    assert "\n" not in str(caught.value)


def test_options_of_tensors_alone(model, draw):
    for options in ({"dtype": torch.uint8}, {"layout": "nhwc"}):
        with pytest.raises(InputError, match="dtype and layout are for tensors"):
            upscale(model, draw(4, 5, 3), 2, **options)
    with pytest.raises(InputError, match="Give either scale or size"):
        upscale(model, draw(4, 5, 3))
    with pytest.raises(InputError, match="max_memory"):
        upscale(model, draw(4, 5, 3), 2, max_memory="much")


def test_a_little_beyond_the_range_passes_and_rows_are_checked_too(model, seed):
    image = torch.rand(1, 3, 6, 6) * 1.6 - 0.3  # as sharpening leaves it
    assert upscale(model, image, 2).isfinite().all()
    assert len(list(upscale_rows(model, image, 2))) == 1
    for bad in (image * 255, torch.where(image > 0.9, torch.nan, image)):
        with pytest.raises(InputError, match="values go from|NaN"):
            upscale_rows(model, bad, 2)


def test_tracing_checks_no_values(model):
    """A check would read a value, which breaks a graph in two."""
    image = torch.rand(1, 3, 5, 6)
    compiled = torch.compile(lambda image: upscale(model, image, 2), fullgraph=True, backend="eager")
    assert torch.equal(compiled(image), upscale(model, image, 2))

    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, image):
            return upscale(self.model, image, 2)

    for strict in (True, False):
        program = torch.export.export(Twice(), (torch.rand(1, 3, 5, 6),), strict=strict)
        assert torch.equal(program.module()(image), upscale(model, image, 2))
    graph = torch.fx.experimental.proxy_tensor.make_fx(lambda image: upscale(model, image, 2))(torch.rand(1, 3, 5, 6))
    assert torch.equal(graph(image), upscale(model, image, 2))
