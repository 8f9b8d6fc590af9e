"""Models in the ways in which people use modules: modes, copies, replicas, threads. Always the same numbers."""

import importlib
import threading

import golden_cases
import pytest
import random_models
import torch

from lmf_kernels import load_model, upscale

NAMES = random_models.NAMES
data_parallel = importlib.import_module("torch.nn.parallel.replicate")  # torch.nn.parallel has a function of that name


@pytest.fixture(params=NAMES)
def model(request):
    return load_model(golden_cases.path(request.param))


def queries(count=40):
    """inp (2, 3, 7, 6), coord, cell (2, count, 2)."""
    coord = torch.rand(2, count, 2) * 2 - 1
    return torch.rand(2, 3, 7, 6) * 2 - 1, coord, torch.full_like(coord, 0.1)


def test_inference_mode(model, seed):
    image, given = torch.rand(1, 3, 8, 7), queries()
    expected, values = upscale(model, image, 2.5), model(*given).detach()
    with torch.inference_mode():
        assert torch.equal(upscale(model, image, 2.5), expected)
        assert torch.equal(model(*given), values)
        assert model(*given).is_inference()
    assert torch.equal(upscale(model, image, 2.5), expected)
    assert model(*given).requires_grad, "inference mode has left something behind"


def test_autocast(model, seed):
    """The encoder and the latent stage in half precision, coordinates and the render stage in float32."""
    image, given = torch.rand(1, 3, 8, 7), queries()
    expected, values = upscale(model, image, 3.7), model(*given)
    with torch.autocast("cpu", torch.bfloat16):
        got, mixed = upscale(model, image, 3.7), model(*given)
    assert got.dtype == mixed.dtype == torch.float32 and not torch.equal(got, expected)
    assert (got - expected).abs().max() < 0.05 and (mixed - values).abs().max() < 0.1
    assert torch.equal(upscale(model, image, 3.7), expected), "autocast has left something behind"


def test_replicas_of_data_parallel(model, seed, monkeypatch):
    """torch's own replication, its copy to other devices replaced by one in memory: same values, and gradients.

    Gradients in float64: in float32 a value on the other side of a ReLU's kink moves them more than rounding does.
    """
    monkeypatch.setattr(data_parallel, "_broadcast_coalesced_reshape", lambda tensors, devices, detach=False: [
        [t.detach().clone() if detach else t.clone() for t in tensors] for _ in devices])
    for dtype, close in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        model, given = model.to(dtype), [t.to(dtype) for t in queries()]
        expected = model(*given)
        first, second = data_parallel.replicate(model, [0, 1])
        assert len({id(each._packed) for each in (first, second, model)}) == 3
        halves = [replica(*(t[i:i + 1] for t in given)) for i, replica in enumerate((first, second))]
        torch.testing.assert_close(torch.cat(halves), expected, rtol=0, atol=close)
    weights = [value for value in model.parameters() if value.requires_grad]
    wanted = torch.autograd.grad(expected.sum(), weights)
    found = torch.autograd.grad(sum(half.sum() for half in halves), weights)
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-8)
    with torch.no_grad():
        still, _ = data_parallel.replicate(model, [0, 1], detach=True)
        torch.testing.assert_close(still(*given), expected.detach(), rtol=0, atol=1e-10)


def test_functional_call_runs_on_other_parameters(model, seed):
    given = queries()
    before = model(*given)
    other = {name: value.detach() * 1.05 for name, value in model.named_parameters()}
    got = torch.func.functional_call(model, other, given)
    assert not torch.equal(got, before) and torch.equal(model(*given), before)
    model.load_state_dict({**model.state_dict(), **other})
    torch.testing.assert_close(model(*given), got, rtol=0, atol=1e-6)


def test_moving_back_and_forth(model, seed):
    image = torch.rand(1, 3, 5, 6)
    expected = upscale(model, image, 2)
    half = upscale(model.to(torch.bfloat16), image.bfloat16(), 2)
    assert (half - expected).abs().max() < 0.1
    model.to(torch.float32).load_state_dict(load_model(golden_cases.path(model.name)).state_dict())
    assert torch.equal(upscale(model, image, 2), expected)


def test_threads_share_a_model(seed):
    """Each its own size, while one of them drops the packed weights again and again."""
    model = load_model(golden_cases.path("lmlte"))
    images = [torch.rand(1, 3, 6 + i, 9 - i) for i in range(4)]
    scales = (2, 3.3, 4, 7.1)
    expected = [upscale(model, image, scale) for image, scale in zip(images, scales)]
    wrong, begin = [], threading.Barrier(len(images))

    def work(i):
        try:
            begin.wait()
            for turn in range(15):
                if not torch.equal(upscale(model, images[i], scales[i]), expected[i]):
                    wrong.append((i, turn))
                if i == 0:
                    model.repack()  # at worst the others pack once more
        except Exception as error:
            wrong.append((i, error))

    model.repack()
    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
