"""Which GPU a build serves, and what is said to the others. Needs neither a GPU nor the compiled module."""

from types import SimpleNamespace

import pytest
import torch

from lmf_kernels import build_info
from lmf_kernels.backends.cuda import architectures as rules, native
from lmf_kernels.backends import cuda

FAT = ["sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120", "compute_120"]


def device(capability, name="GPU X"):
    return {"name": name, "capability": capability, "total_memory": 2**34}


@pytest.mark.parametrize("architecture, runs_on, not_on", [
    ("sm_80", [(8, 0), (8, 6), (8, 9)], [(7, 5), (9, 0), (12, 0)]),
    ("sm_86", [(8, 6), (8, 9)], [(8, 0), (9, 0)]),
    ("sm_90", [(9, 0)], [(8, 9), (10, 0)]),
    ("sm_90a", [(9, 0)], [(8, 0), (9, 1), (10, 0)]),
    ("sm_100", [(10, 0), (10, 3)], [(9, 0), (11, 0), (12, 0)]),
    ("sm_100a", [(10, 0)], [(10, 3)]),
    ("sm_100f", [(10, 0), (10, 3)], [(11, 0), (12, 0)]),
    ("sm_103f", [(10, 3)], [(10, 0)]),
    ("sm_120", [(12, 0), (12, 1)], [(10, 0), (13, 0)]),
    ("compute_80", [(8, 0), (9, 0), (12, 1)], [(7, 5)]),
    ("compute_90a", [(9, 0)], [(8, 0), (10, 0)]),
    ("compute_100f", [(10, 0), (10, 3)], [(9, 0), (12, 0)]),
])
def test_what_an_architecture_serves(architecture, runs_on, not_on):
    assert all(rules.serves(architecture, capability) for capability in runs_on)
    assert not any(rules.serves(architecture, capability) for capability in not_on)


@pytest.mark.parametrize("architectures, capability, image", [
    (FAT, (8, 0), "sm_80"), (FAT, (8, 7), "sm_86"), (FAT, (9, 0), "sm_90"), (FAT, (10, 3), "sm_100"),
    (FAT, (12, 1), "sm_120"), (FAT, (13, 0), "compute_120"), (FAT, (11, 0), None), (FAT, (7, 5), None),
    (["sm_90", "sm_90a"], (9, 0), "sm_90a"), (["sm_80", "compute_90"], (9, 0), "compute_90"),
    (["sm_80", "compute_80"], (8, 9), "sm_80"), (["sm_90"], (12, 0), None), ([], (9, 0), None),
])
def test_what_a_gpu_runs(architectures, capability, image):
    assert rules.best(architectures, capability) == image
    assert (rules.refusal(architectures, device(capability)) is None) == (image is not None)


@pytest.mark.parametrize("name", ["90", "sm_9", "sm_90b", "Hopper", "sm_90,sm_100"])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="names look like"):
        rules.serves(name, (9, 0))


def test_refusal_names_device_build_and_command():
    text = rules.refusal(["sm_80", "compute_120"], device((9, 0), "NVIDIA H200"))
    assert text == ('NVIDIA H200 has compute capability 9.0, for which this build has no code (it holds sm_80, '
                    'compute_120); rebuild in the source folder with LMF_CUDA_ARCHS="90" pip install .')
    old = rules.refusal(FAT, device((7, 5)))
    assert "need 8.0 or newer" in old and "pip install" not in old


@pytest.fixture
def machine(monkeypatch):
    """Gives this process a module built for `architectures` and GPUs of `capabilities`."""
    class Module:
        def __init__(self, architectures, capabilities):
            self.architectures, self.capabilities = architectures, capabilities

        def build_info(self):
            return {"architectures": self.architectures}

        def device_info(self):
            devices = [device(capability, f"GPU {n}") for n, capability in enumerate(self.capabilities)]
            return {"count": len(devices), "devices": devices, "reason": "" if devices else "no driver"}

    def be(architectures, *capabilities):
        monkeypatch.setattr(native, "module", Module(architectures, capabilities))
        forget()

    def forget():
        native.devices.cache_clear()
        native.refuse_device.cache_clear()

    yield be
    forget()


def call_on(index):
    """As much of a call as is looked at before its GPU is refused."""
    return SimpleNamespace(fields=SimpleNamespace(device=torch.device("cuda", index)))


def test_backend_is_available_where_one_gpu_is_served(machine):
    machine(["sm_90"], (9, 0), (8, 0))
    assert cuda.backend.availability() == (True, "built for sm_90")
    assert native.refuse_device(0) is None
    assert cuda.backend.kernels["modulated_mlp"].can_run(call_on(1)).startswith("GPU 1 has compute capability 8.0")
    assert native.refuse_device(2) == "CUDA shows 2 devices here, none with index 2"
    machine(["sm_90"], (8, 0), (8, 0))
    available, detail = cuda.backend.availability()
    assert not available and 'LMF_CUDA_ARCHS="80" pip install .' in detail
    machine(["sm_90"])
    assert cuda.backend.availability() == (False, "CUDA shows no device here (no driver)")


def test_info_prints_architectures_beside_each_gpu(monkeypatch):
    facts = build_info.collect()
    facts["modules"]["_cuda"] = {"built": True, "compiler": "GNU 12", "build_type": "Release",
                                 "version": facts["version"], "nvcc": "13.0", "architectures": ["sm_90"]}
    facts["cuda_devices"] = {"devices": [device((9, 0)), device((8, 6))], "reason": "", "driver_version": 13000,
                             "runtime_version": 13000}
    monkeypatch.setattr(build_info, "collect", lambda: facts)
    text = build_info.lines()
    assert "_cuda: nvcc 13.0 for sm_90" in text
    assert "GPU 0: GPU X, compute capability 9.0, 16.0 GiB, runs this build's sm_90" in text
    assert any(line.startswith("GPU 1: GPU X, compute capability 8.6, 16.0 GiB, not served: ")
               and line.endswith('LMF_CUDA_ARCHS="86" pip install .') for line in text)
