"""That the emulator runs what a GPU would: every kernel, several blocks, and a backend that nobody else sees."""

import emulator
import lmf_kernels as lmf
import pytest
import torch
from every_backend import limits, needs_compiler
from lmf_kernels.ops import RenderSpec, modulated_mlp
from random_renders import draw

pytestmark = needs_compiler
LINEAR, FOURIER = RenderSpec("linear", 0, (16,) * 2), RenderSpec("fourier", 16, (16,) * 2)


def test_every_kernel_has_its_calls():
    """csrc/cuda/modulated_plan.h numbers them: float32; strips and quads of both types; both heads of each."""
    ran = set()
    with emulator.registered() as backend:
        for spec in (LINEAR, FOURIER):
            for dtype in (torch.float32, torch.float16, torch.bfloat16):
                for scale in (2, 3):
                    call = draw(1, points=False, spec=spec, lr_size=(3, 4), scales=(scale,), skip=False)
                    modulated_mlp(call.fields.to(dtype), call.weights, spec, call.size, backend="emulator")
                    ran.add(backend.path)
    assert ran == set(range(10))


def test_the_backend_is_there_only_while_registered():
    call = draw(2, points=False, spec=LINEAR, **limits("emulator"))
    before = [row["name"] for row in lmf.backends()]
    with emulator.registered():
        assert [row["name"] for row in lmf.backends()] == [*before, "emulator"]
        with lmf.use_backend("emulator"):
            inside = call.run("auto")
        assert torch.equal(call.run("emulator"), inside)
        assert not torch.equal(call.run("auto"), inside), "auto must go on choosing among the real backends"
    assert [row["name"] for row in lmf.backends()] == before
    with pytest.raises(lmf.InputError, match="unknown backend 'emulator'"):
        call.run("emulator")


def test_it_refuses_what_the_cuda_backend_refuses():
    with emulator.registered():
        for spec, reason in ((RenderSpec("linear", 0, (24,)), "hidden width is 24"),
                             (RenderSpec("fourier", 30, (16,)), "Fourier head is 30 wide"),
                             (RenderSpec("linear", 0, (16,) * 33), "33 modulated layers")):
            with pytest.raises(lmf.BackendError, match=reason):
                draw(3, points=False, spec=spec, lr_size=(2, 2)).run("emulator")


def test_a_kernel_that_reads_too_far_is_stopped():
    """Fields that hold fewer cells than the arguments say: the range checks see it, and Python gets the sentence."""
    call = draw(4, points=False, spec=LINEAR, lr_size=(4, 5), scales=(2,), skip=False)
    fields = call.fields.half()

    class Cut:
        """Takes one LR row off the window that the arguments describe, not off what the kernel reads."""

        def __init__(self, emulated):
            self.emulated = emulated

        def modulated_mlp(self, data, info, *rest):
            element, b, y, x, batch, rows, *others = info
            return self.emulated.modulated_mlp(data, (element, b, y, x, batch, rows - 1, *others), *rest)

    with emulator.registered() as kernel:
        kernel.emulated = Cut(kernel.emulated)
        with pytest.raises(RuntimeError, match="global load of .* lies outside the elements of fields"):
            modulated_mlp(fields, call.weights, LINEAR, call.size, backend="emulator")
