"""Which GPU a launch runs on, and what it leaves behind on the others."""

import subprocess
import sys

import pytest
import torch
from lmf_kernels.backends.cuda import native


def test_torch_switches_devices_and_not_the_module(monkeypatch):
    """Torch's guard alone knows whether the device before has a context; cudaSetDevice would make one."""
    seen = []

    class Stream:
        cuda_stream = 77

    def note(word, answer):
        return lambda *given: seen.append((word, *given)) or answer

    monkeypatch.setattr(torch.cuda, "_exchange_device", note("choose", 0))
    monkeypatch.setattr(torch.cuda, "_maybe_exchange_device", note("go back", 1))
    monkeypatch.setattr(torch.cuda, "current_stream", note("stream", Stream))
    device = torch.device("cuda", 1)
    native.launch(note("launch", None), device, b"call")
    assert seen == [("choose", 1), ("stream", device), ("launch", b"call", 1, 77), ("go back", 0)]


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@pytest.mark.parametrize("backend", ["cuda", "triton"])
def test_a_render_on_the_second_gpu_makes_no_context_on_the_first(backend):
    script = (
        "import torch\n"
        "from lmf_kernels.ops import RenderSpec, modulated_mlp\n"
        "from lmf_kernels.families import MODULATED_MLP\n"
        "spec = RenderSpec('linear', 0, (16,) * 6)\n"
        "fields = torch.randn(1, 4, 5, MODULATED_MLP.field_channels(spec), device='cuda:1')\n"
        "weights = torch.randn(MODULATED_MLP.weight_count(spec), device='cuda:1')\n"
        f"out = modulated_mlp(fields, weights, spec, (16, 20), backend={backend!r})\n"
        "assert out.isfinite().all() and torch.cuda.current_device() == 0\n"
        "assert not torch._C._cuda_hasPrimaryContext(0)\n")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
