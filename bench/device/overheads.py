"""What a call costs beside the device's work: host time, latency of a tile, first call of a process, memory."""

import statistics

import torch

import lmf_kernels as lmf
import results_file
import settings

from . import clock, renders
from .setting import MODELS

PROCESSES = 2


@torch.no_grad()
def overheads(job):
    """Times as cases, memory and the first call as facts."""
    setting = job.setting
    x = torch.ones(3, device=setting.device)
    timed(job, "call/torch-add", clock.host_time(lambda: x + 1, setting), kind="call")
    for backend, dtype in setting.kernels:
        tiny = renders.kernel(setting, "lmliif", (1, 1), "x1", backend, dtype)
        timed(job, f"call/{backend}/{dtype}", clock.host_time(lambda: tiny.run(*tiny.inputs[0]), setting), kind="call")
        tile = renders.kernel(setting, "lmliif", setting.tile, "x4", backend, dtype)
        tile.check(tile.run(*tile.inputs[0]), *tile.inputs[0])
        timed(job, f"latency/render/{backend}/{dtype}", clock.latency(lambda: tile.run(*tile.inputs[0]), setting),
              kind="latency", lr=setting.tile, size=tile.size)
        tile_pipeline(job, backend, dtype)
        for name in MODELS:
            memory(job, name, backend, dtype)
    first_call(job)


def tile_pipeline(job, backend, dtype):
    """The whole pipeline of a tile, as `upscale` runs it and as a graph."""
    setting = job.setting
    model = renders.loaded(setting, "lmliif", dtype, full=True)
    model.backend = backend
    (image,) = renders.pictures(setting, setting.tile, 1, dtype, unit=True)
    frames = lmf.GraphedUpscaler(model, setting.tile, scale=4)
    for way, run in (("upscale", lambda: lmf.upscale(model, image, scale=4)), ("graph", lambda: frames(image))):
        timed(job, f"latency/{way}/{backend}/{dtype}", clock.latency(run, setting), kind="latency", lr=setting.tile,
              size=frames.size)


def timed(job, name, seconds, **facts):
    found = [round(clock.sm_clock() / 1e6)] if job.setting.device.type == "cuda" else None
    job.case({"name": name, **facts, "rounds": len(seconds["samples"]), "seconds": seconds, "sm_clock_mhz": found})


def memory(job, name, backend, dtype):
    """Bytes that torch's allocator takes at the peak of a render, beyond its inputs and its output."""
    setting = job.setting
    if setting.device.type == "cpu":
        return  # bench_overheads_cpu.py measures the CPU's
    lr, scale = setting.sizes[0]
    case = renders.kernel(setting, name, lr, scale, backend, dtype)
    case.run(*case.inputs[0])
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    out = case.run(*case.inputs[0])
    output = out.numel() * out.element_size()
    beyond = torch.cuda.max_memory_allocated() - before - output
    job.fact(f"memory/{backend}/{name}/{scale}/{dtype}", {
        "lr": lr, "size": case.size, "output_bytes": output, "beyond_bytes": beyond,
        "beyond_bytes_per_pixel": beyond / (case.size[0] * case.size[1])})


def first_call(job):
    """Fresh processes from start to first and second picture of a tile, on the kernel that the pipeline takes."""
    setting = job.setting
    chosen = next(((b, d) for b, d in setting.kernels if d == "float16"), (setting.kernels or [("auto", "float32")])[0])
    found = [results_file.run_child("child_first_call.py", settings.CHECKPOINTS / "lmliif.pth", setting.tile[0],
                                    torch.get_num_threads(), setting.device.type, *chosen)
             for _ in range(1 if setting.dry else PROCESSES)]
    job.fact("first_call", {
        "processes": len(found), "tile": setting.tile, "scale": 4, "backend": chosen[0], "dtype": chosen[1],
        "seconds": {name: statistics.median(run[name] for run in found) for name in found[0]}})
