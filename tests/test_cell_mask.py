"""A grid render with a mask of cells: active cells' pixels have the bits of a render without one, others stay."""

import random

import pytest
import torch
from lmf_kernels.backends import RenderCall
from lmf_kernels.backends.cpu import modulated_mlp, native
from lmf_kernels.families import MODULATED_MLP, RenderSpec

pytestmark = pytest.mark.skipif(native.module is None, reason="the CPU module is not compiled")

SPECS = (RenderSpec("linear", 0, (16,) * 6), RenderSpec("linear", 0, (16,) * 3, ensemble=False),
         RenderSpec("fourier", 16, (16,) * 2), RenderSpec("linear", 0, (24,) * 2))
ISAS = [isa for isa, usable in native.module.isas().items() if usable] if native.module else []
UNTOUCHED = 7


def draw(spec, whole):
    """A call at a random scale of at least 1: of the whole output, or of a window with the fields that it reads."""
    h, w, scale = random.randint(1, 40), random.randint(1, 60), random.choice((1, 2, 3, 6, 12, 30))
    size = h * scale + random.randrange(scale), w * scale + random.randrange(scale)
    window, origin, held = (0, 0, *size), (0, 0), (h, w)
    if not whole:
        y0, x0 = map(random.randrange, size)
        window = y0, x0, random.randint(1, size[0] - y0), random.randint(1, size[1] - x0)
        (top, bottom), (left, right) = (MODULATED_MLP.map.read(start, start + count, n, out) for start, count, n, out
                                        in zip(window[:2], window[2:], (h, w), size))
        origin, held = (top, left), (bottom - top, right - left)
    dtype = random.choice((torch.float32, torch.uint8))
    batch = random.randint(1, 2)
    return RenderCall(
        MODULATED_MLP, spec, torch.randn(batch, *held, MODULATED_MLP.field_channels(spec)) * 0.3,
        torch.randn(MODULATED_MLP.weight_count(spec)) * 0.3,
        random.choice((None, torch.randn(batch, 3, *held))), size=size, window=window, lr=(*origin, h, w),
        epilogue="unit" if dtype == torch.uint8 else "none", dtype=dtype, layout=random.choice(("nchw", "nhwc")))


def active_pixels(call, mask):
    """Which pixels of the call's window belong to active cells: bool, broadcastable to its output."""
    rows, cols = (torch.arange(start, start + count) * n // out - first for start, count, n, out, first in zip(
        call.window[:2], call.window[2:], call.lr[2:], call.size, call.lr[:2]))
    active = mask.bool()[:, rows][:, :, cols]
    return active.unsqueeze(1 if call.layout == "nchw" else 3)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "window"])
def test_masked_pixels_have_the_same_bits_and_others_stay(isa, whole, monkeypatch):
    monkeypatch.setenv("LMF_CPU_ISA", isa)
    threads = torch.get_num_threads()
    try:
        for share in (0.0, 0.05, 0.5, 0.5, 0.95, 1.0) * 2:
            for spec in SPECS:
                torch.set_num_threads(random.randint(1, 3))
                call = draw(spec, whole)
                mask = (torch.rand(call.fields.shape[:3]) < share).to(torch.uint8)
                out = torch.full(call.output_shape(), UNTOUCHED, dtype=call.dtype)
                assert modulated_mlp.run(call._replace(mask=mask, out=out)) is out
                expected = torch.where(active_pixels(call, mask), modulated_mlp.run(call), out.new_tensor(UNTOUCHED))
                assert torch.equal(out, expected), f"{call.size} from {call.lr}, window {call.window}"
    finally:
        torch.set_num_threads(threads)
