"""What a call costs beside the device's work: host time, latency of a tile, first call of a process, memory."""

import statistics

import torch

import lmf_kernels as lmf
from bench import config, results_file

from . import clock, renders
from .run_config import MODELS

PROCESSES = 2


@torch.no_grad()
def overheads(job):
    """Times as cases, memory and the first call as facts."""
    run_config = job.run_config
    x = torch.ones(3, device=run_config.device)
    timed(job, "call/torch-add", clock.host_time(lambda: x + 1, run_config), kind="call")
    for backend, dtype in run_config.kernels:
        tiny = renders.kernel(run_config, "lmliif", (1, 1), "x1", backend, dtype)
        host_time = clock.host_time(lambda: tiny.run(*tiny.inputs[0]), run_config)
        timed(job, f"call/{backend}/{dtype}", host_time, kind="call")
        tile = renders.kernel(run_config, "lmliif", run_config.tile, "x4", backend, dtype)
        tile.check(tile.run(*tile.inputs[0]), *tile.inputs[0])
        timed(job, f"latency/render/{backend}/{dtype}", clock.latency(lambda: tile.run(*tile.inputs[0]), run_config),
              kind="latency", lr=run_config.tile, size=tile.size)
        tile_pipeline(job, backend, dtype)
        for name in MODELS:
            memory(job, name, backend, dtype)
    first_call(job)


def tile_pipeline(job, backend, dtype):
    """The whole pipeline of a tile, as `upscale` runs it and as a graph."""
    run_config = job.run_config
    model = renders.loaded(run_config, "lmliif", dtype, full=True)
    model.backend = backend
    (image,) = renders.pictures(run_config, run_config.tile, 1, dtype, unit=True)
    frames = lmf.GraphedUpscaler(model, run_config.tile, scale=4)
    for way, run in (("upscale", lambda: lmf.upscale(model, image, scale=4)), ("graph", lambda: frames(image))):
        timed(job, f"latency/{way}/{backend}/{dtype}", clock.latency(run, run_config), kind="latency",
              lr=run_config.tile, size=frames.size)


def timed(job, name, seconds, **facts):
    found = [round(clock.sm_clock() / 1e6)] if job.run_config.device.type == "cuda" else None
    job.case({"name": name, **facts, "rounds": len(seconds["samples"]), "seconds": seconds, "sm_clock_mhz": found})


def memory(job, name, backend, dtype):
    """Bytes that torch's allocator takes at the peak of a render, beyond its inputs and its output."""
    run_config = job.run_config
    if run_config.device.type == "cpu":
        return  # bench/cpu/bench_overheads.py measures the CPU's
    lr, scale = run_config.sizes[0]
    case = renders.kernel(run_config, name, lr, scale, backend, dtype)
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
    run_config = job.run_config
    able = run_config.kernels or [("auto", "float32")]
    chosen = next((kernel for kernel in able if kernel[1] == "float16"), able[0])
    found = [results_file.run_child("first_call.py", config.CHECKPOINTS / "lmliif.pth", run_config.tile[0],
                                    torch.get_num_threads(), run_config.device.type, *chosen)
             for _ in range(1 if run_config.dry else PROCESSES)]
    job.fact("first_call", {
        "processes": len(found), "tile": run_config.tile, "scale": 4, "backend": chosen[0], "dtype": chosen[1],
        "seconds": {name: statistics.median(run[name] for run in found) for name in found[0]}})
