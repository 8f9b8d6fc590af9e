"""upscale: sizes as F.interpolate makes them, values as the model gives them, one sentence for bad input."""

import golden_cases
import pytest
import random_models
import torch
import torch.nn.functional as F

from lmf_kernels import InputError, load_model, upscale
from lmf_kernels.request import output_size

NAMES = random_models.NAMES
NAN, INF = float("nan"), float("inf")


@pytest.fixture(scope="module")
def model():
    return load_model(golden_cases.path("lmliif"))


def interpolated(lr_size, scale):
    """The output size of F.interpolate."""
    # Not the meta device: the sizes must be those of the code that users run.
    return tuple(F.interpolate(torch.empty(1, 1, *lr_size), scale_factor=scale, mode="nearest").shape[2:])


def test_sizes_are_those_of_interpolate(seed):
    sides = torch.randint(1, 60, (300, 2)).tolist()
    scales = (torch.rand(300, 2) * 8 + 0.02).double().tolist()
    awkward = [1.1, 1.2, 1.3, 1.4, 1.7, 1.9, 2.1, 2.3, 3.3, 3.7, 4.35, 5.8, 7 / 3, 10 / 3, 0.1 * 3, 1 / 3, 29.7, 8.55]
    for h, w in sides:
        for pair in [*scales[:3], *((s, s) for s in awkward)]:
            if min(h * pair[0], w * pair[1]) >= 1:
                assert output_size((h, w), pair) == interpolated((h, w), pair), (h, w, pair)
        scales.append(scales.pop(0))
        if min(h, w) * 0.3 >= 1:
            assert output_size((h, w), 0.3) == interpolated((h, w), 0.3)


def test_size_and_integer_scale_and_pair():
    assert output_size((7, 9), 3) == (21, 27)
    assert output_size((7, 9), (1.5, 2)) == output_size((7, 9), [1.5, 2]) == (10, 18)
    assert output_size((7, 9), size=(5, 31)) == output_size((7, 9), size=torch.Size([5, 31])) == (5, 31)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1, 2.6, (3.3, 1.2)])
def test_upscale_is_the_model_brought_to_unit_range(name, scale, seed):
    model = load_model(golden_cases.path(name))
    image = torch.rand(2, 3, 9, 7)
    got = upscale(model, image, scale)
    assert got.shape == (2, 3, *interpolated((9, 7), scale)) and got.dtype == torch.float32 and not got.requires_grad
    with torch.no_grad():
        values = model.render_grid(2 * image - 1, got.shape[2:])
    torch.testing.assert_close(got, (values / 2 + 0.5).clamp(0, 1), rtol=0, atol=1e-6)


def test_types_and_layouts(model, seed):
    image = torch.rand(1, 3, 8, 6)
    unit = upscale(model, image, 2.5)
    assert torch.equal(upscale(model, image, size=(20, 15)), unit)
    assert torch.equal(upscale(model, image, 2.5, layout="nhwc"), unit.permute(0, 2, 3, 1))
    assert torch.equal(upscale(model, image, 2.5, dtype=torch.uint8), (unit * 255).round().to(torch.uint8))
    assert torch.equal(upscale(model, image.contiguous(memory_format=torch.channels_last), 2.5), unit)


def test_one_pixel_and_thin_images(model, seed):
    for size in ((1, 1), (1, 9), (9, 1)):
        got = upscale(model, torch.rand(1, 3, *size), 3.5)
        assert got.shape[2:] == tuple(int(3.5 * n) for n in size) and got.isfinite().all()


def test_a_float64_model(seed):
    model = load_model(golden_cases.path("lmlte"), dtype=torch.float64)
    image = torch.rand(1, 3, 6, 5, dtype=torch.float64)
    got = upscale(model, image, 2, dtype=torch.float64)
    assert got.dtype == torch.float64
    torch.testing.assert_close(upscale(load_model(golden_cases.path("lmlte")), image.float(), 2), got.float(),
                               rtol=0, atol=2e-5)


@pytest.mark.parametrize("options, says", [
    ({}, "Give either scale or size"),
    ({"scale": None, "size": None}, "Give either scale or size"),
    ({"scale": 2, "size": (4, 4)}, "not both"),
    ({"scale": NAN}, "finite number above zero, got nan"),
    ({"scale": INF}, "finite number above zero"),
    ({"scale": 0}, "finite number above zero"),
    ({"scale": -2.0}, "finite number above zero"),
    ({"scale": (2, NAN)}, "finite number above zero"),
    ({"scale": (2, 0)}, "finite number above zero"),
    ({"scale": (2, 2, 2)}, "a pair"),
    ({"scale": "2"}, "scale is a number"),
    ({"scale": True}, "scale is a number"),
    ({"scale": torch.tensor([2.0])}, "scale is a number"),
    ({"scale": 0.1}, "empty output"),
    ({"scale": 1e300}, "smaller one"),
    ({"size": 8}, "size is"),
    ({"size": (8,)}, "size is"),
    ({"size": (8, 0)}, "size is"),
    ({"size": (8, -8)}, "size is"),
    ({"size": (8, 8.5)}, "size is"),
    ({"size": (8, NAN)}, "size is"),
    ({"size": (8, True)}, "size is"),
    ({"size": (8, 2**40)}, "size is"),
    ({"size": "8x8"}, "size is"),
    ({"scale": 2, "dtype": torch.int32}, "dtype"),
    ({"scale": 2, "dtype": "uint8"}, "dtype"),
    ({"scale": 2, "layout": "hwc"}, "layout"),
])
def test_bad_requests_are_told_in_one_sentence(model, options, says):
    with pytest.raises(InputError, match=says) as caught:
        upscale(model, torch.zeros(1, 3, 4, 5), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("image, says", [
    (torch.zeros(4, 4), "three colour channels"),
    (torch.zeros(4, 4, 3), "three colour channels first, got"),
    (torch.zeros(1, 4, 4, 3), "three colour channels"),
    (torch.zeros(1, 1, 4, 4), "three colour channels"),
    (torch.zeros(1, 3, 0, 4), "empty"),
    (torch.zeros(0, 3, 4, 4), "empty"),
    (torch.full((1, 3, 4, 4), 255.0), "go from 255 to 255; floating point is in .* by 255, or give them as uint8"),
    (torch.full((1, 3, 4, 4), -1.0), "go from -1 to -1"),
    (torch.full((3, 4, 4), NAN), "NaN or infinity"),
    (torch.tensor([0.5, INF, 0.5] * 3).view(1, 3, 1, 3), "NaN or infinity"),
    (torch.zeros(1, 1, 4, 4, dtype=torch.uint8), "three colour channels"),
    (torch.zeros(1, 3, 4, 4, dtype=torch.int64), "torch.int64"),
    (torch.zeros(1, 3, 4, 4, dtype=torch.float64), "torch.float64"),
    (torch.zeros(1, 3, 4, 4, dtype=torch.float16), "torch.float16"),
    (torch.zeros(1, 3, 4, 4, device="meta"), "meta"),
    ([[0.0]], "got a list"),
    (None, "got a NoneType"),
])
def test_bad_images_are_told_in_one_sentence(model, image, says):
    with pytest.raises(InputError, match=says) as caught:
        upscale(model, image, scale=2)
    assert "\n" not in str(caught.value)


def test_a_model_that_is_none_of_ours():
    with pytest.raises(InputError, match="got a Linear"):
        upscale(torch.nn.Linear(1, 1), torch.zeros(1, 3, 4, 4), scale=2)
