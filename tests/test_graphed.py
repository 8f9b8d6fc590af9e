"""GraphedUpscaler: the pictures of `upscale`, from a model and buffers of its own."""

import golden_cases
import pytest
import torch
from every_backend import needs_gpu

from lmf_kernels import InputError, GraphedUpscaler, load_model, upscale, use_backend

DEVICES = ["cpu", pytest.param("cuda", marks=needs_gpu)]
on_devices = pytest.mark.parametrize("device", DEVICES)
LR = (7, 9)


def make(device="cpu", name="lmliif", dtype=None):
    return load_model(golden_cases.path(name), device=device, dtype=dtype)


def pictures(device="cpu", dtype=torch.float32, batch=1):
    return [torch.rand(batch, 3, *LR, device=device, dtype=dtype) for _ in range(3)]


@pytest.mark.filterwarnings("ignore:.*slow PyTorch reference")
@on_devices
@pytest.mark.parametrize("name", golden_cases.MODELS)
@pytest.mark.parametrize("options", [
    {"scale": 2.5}, {"size": (20, 11), "batch": 2, "dtype": torch.uint8, "layout": "nhwc"}], ids=["float", "bytes"])
def test_pictures_are_those_of_upscale(device, name, options, seed):
    model = make(device, name)
    frames = GraphedUpscaler(model, LR, **options)
    options = dict(options)
    given = pictures(device, batch=options.pop("batch", 1))
    results = [frames(image) for image in given]
    assert frames.size == ((17, 22) if "scale" in options else (20, 11))
    for got, image in zip(results, given):
        expected = upscale(model, image, **options)
        assert got.dtype == expected.dtype
        # A library may choose another algorithm in a capture than outside it: float sums in another order.
        torch.testing.assert_close(got, expected, rtol=0, atol=1 if got.dtype == torch.uint8 else 1e-5)


@pytest.mark.filterwarnings("ignore:.*slow PyTorch reference")
@on_devices
def test_half_models(device, seed):
    model = make(device, dtype=torch.bfloat16)
    (image, *_) = pictures(device, torch.bfloat16)
    torch.testing.assert_close(GraphedUpscaler(model, LR, 2)(image), upscale(model, image, 2), rtol=0, atol=2 / 255)


@pytest.mark.filterwarnings("ignore:.*slow PyTorch reference")
@on_devices
def test_results_are_copies_unless_asked_otherwise(device, seed):
    frames = GraphedUpscaler(make(device), LR, 2)
    first, second, _ = pictures(device)
    kept, own = frames(first), frames(first, copy=False)
    value = kept.clone()
    assert torch.equal(kept, own)
    assert frames(second, copy=False).data_ptr() == own.data_ptr() != kept.data_ptr()
    assert torch.equal(kept, value) and not torch.equal(own, kept)


@pytest.mark.filterwarnings("ignore:.*slow PyTorch reference")
@on_devices
def test_the_model_may_change_or_go(device, seed):
    model = make(device)
    frames = GraphedUpscaler(model, LR, 2)
    (image, *_) = pictures(device)
    before = frames(image)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    model.repack()
    del model
    assert torch.equal(frames(image), before) and before.std() > 0


def test_any_mode_of_torch(seed):
    (image, *_) = pictures()
    expected = upscale(make(), image, 2)
    with torch.inference_mode():
        frames = GraphedUpscaler(make(), LR, 2)
        assert torch.equal(frames(image), expected)
    assert torch.equal(frames(image), expected)
    assert not frames(image.clone().requires_grad_()).requires_grad


def test_the_backend_is_settled_when_made(monkeypatch, seed):
    from lmf_kernels.backends import reference
    ran = []
    family = reference.backend.kernels["modulated_mlp"]
    monkeypatch.setattr(family, "run", lambda call, run=family.run: ran.append(1) or run(call))
    with use_backend("reference"):
        frames = GraphedUpscaler(make(), LR, 2)
    ran.clear()
    frames(pictures()[0])
    assert ran == [1]


@pytest.mark.parametrize("change, says", [
    ({"lr_size": 7}, "lr_size = 7: pass 2 whole numbers"),
    ({"lr_size": (7, 0)}, "each must be 1 or more"),
    ({"batch": 0}, "each must be 1 or more"),
    ({"batch": 1.5}, "batch = "),
    ({"scale": None}, "Give either scale or size"),
    ({"scale": -1}, "above zero"),
    ({"dtype": torch.int32}, "dtype is torch.uint8 or"),
    ({"layout": "chw"}, "layout is 'nchw' or 'nhwc'"),
    ({"model": torch.nn.Linear(1, 1)}, "got a Linear"),
])
def test_bad_requests_are_told_in_one_sentence(change, says):
    given = {"model": make(), "lr_size": LR, "scale": 2, **change}
    with pytest.raises(InputError, match=says) as caught:
        GraphedUpscaler(**given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("image, says", [
    (torch.zeros(1, 3, 9, 7), r"takes images \(1, 3, 7, 9\) .* make another GraphedUpscaler"),
    (torch.zeros(2, 3, *LR), "make another GraphedUpscaler"),
    (torch.zeros(1, 3, *LR, dtype=torch.float64), "torch.float64 on cpu"),
    (torch.zeros(1, 3, *LR, device="meta"), "on meta"),
    ([[0.0]], "got a list"),
])
def test_bad_images_are_told_in_one_sentence(image, says):
    with pytest.raises(InputError, match=says) as caught:
        GraphedUpscaler(make(), LR, 2)(image)
    assert "\n" not in str(caught.value)
