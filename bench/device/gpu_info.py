"""Which device this is, and what torch, the driver and the compilers call themselves."""

import platform
import shutil
import subprocess

import torch

from bench import machine
from lmf_kernels.backends.cuda import native


def gpu_info(job):
    """facts["device"], the GPU as torch and the driver name it, and facts["versions"].

    A part, for it touches the GPU: what later parts are forked from must not.
    """
    found = {"name": "CPU", "capability": None}
    if job.run_config.device.type == "cuda":
        gpu = torch.cuda.get_device_properties(job.run_config.device)
        found = {"name": gpu.name, "capability": [gpu.major, gpu.minor], "memory_gib": gpu.total_memory / 2**30,
                 "multiprocessors": gpu.multi_processor_count, "l2_bytes": gpu.L2_cache_size,
                 "clocks": clocks(), "driver": driver()}
    job.fact("device", found)
    job.fact("versions", versions())


def clocks():
    """What nvidia-smi reads: clocks, temperature, power; None where it cannot."""
    return _ask("clocks.sm,clocks.mem,clocks.max.sm,temperature.gpu,power.draw")


def driver():
    return _ask("driver_version")


def versions():
    """Everything that a time depends on."""
    built = native.module.build_info() if native.module else {}
    triton = None
    try:
        import triton as found
        triton = found.__version__
    except ImportError:
        pass
    return {**machine.versions(), "python": platform.python_version(), "cuda_of_torch": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(), "triton": triton, "nvcc": built.get("nvcc"),
            "architectures": built.get("architectures")}


def _ask(what):
    if shutil.which("nvidia-smi") is None:
        return None
    done = subprocess.run(["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader"], capture_output=True,
                          text=True)
    return done.stdout.splitlines()[0].strip() if done.returncode == 0 and done.stdout else None
