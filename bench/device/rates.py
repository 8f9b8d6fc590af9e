"""The ceilings of this device, measured: what shares refer to."""

import torch

from . import clock
from .gpu_info import clocks
from .render_stage import exactly
from .run_config import FLOATS


def rates(job):
    """facts["rates"]: copy in bytes/s (read plus written), products of matrices in operations/s for each type."""
    run_config = job.run_config
    exactly()
    found = {"copy_bytes_per_s": copy(run_config), "matmul_flop_per_s": {}}
    for name, dtype in FLOATS.items():
        found["matmul_flop_per_s"][name] = matmul(run_config, dtype)
    found["mma_sync_flop_per_s"] = mma_sync(run_config)
    job.fact("rates", found)
    job.fact("clocks_after_matmul", clocks())


def copy(run_config):
    """Bytes per second of a device-to-device copy, read plus written, far larger than the cache."""
    count = 1 << (16 if run_config.dry else 30)
    source = [torch.randint(0, 255, (count,), dtype=torch.uint8, device=run_config.device) for _ in range(2)]
    target = torch.empty_like(source[0])
    timing = clock.device_time(target.copy_, [(one,) for one in source], run_config)
    return 2 * count / timing["seconds"]["median"]


def matmul(run_config, dtype):
    """Operations per second of a large square product of random matrices through torch; float32 without TF32."""
    side = 64 if run_config.dry else 4096 if dtype == torch.float32 else 8192
    pairs = [tuple(torch.randn(side, side, device=run_config.device).to(dtype) for _ in range(2)) for _ in range(2)]
    return 2 * side ** 3 / clock.device_time(torch.mm, pairs, run_config)["seconds"]["median"]


def mma_sync(run_config):
    """Operations per second of mma.sync m16n8k16 in registers, {} without _cuda; `_cpu.fma_rate` is its like."""
    from lmf_kernels.backends.cuda import native

    probe = getattr(native.module, "mma_rate", None)
    if probe is None or run_config.dry:
        return {}
    return {name: probe(name, 0.2, run_config.device.index) for name in ("float16", "bfloat16")}
