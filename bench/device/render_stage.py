"""The render stage: every kernel at every size; the reference and the published way; torch.compile of the latter."""

import torch

from bench import operations

from . import clock, renders
from .run_config import FLOATS, MODELS

COMPILED = (("lmliif", "x12", "float32"), ("lmliif", "x12", "half"), ("lmliif", "x4", "float32"),
            ("lmlte", "x12", "float32"), ("lmliif", "x4", "half"), ("lmlte", "x12", "half"))
DENSE_MODELS = ("diif", "liif", "dlte", "lte")
DENSE = (("float16", ("x4", "x2", "x12")), ("bfloat16", ("x4",)))  # scales from the first LR size


def kernels(job):
    """The CUDA kernels at every size."""
    all_of(job, [(*kernel, kernel_case) for kernel in job.run_config.cuda], job.run_config.sizes)


def triton_kernels(job):
    """The Triton kernels at every size."""
    all_of(job, [(*kernel, kernel_case) for kernel in job.run_config.triton], job.run_config.sizes)


@torch.no_grad()
def dense_kernels(job):
    """The CUDA kernels of the decoders with 256-wide layers, in half types."""
    exactly()
    run_config = job.run_config
    lr = run_config.sizes[0][0]
    ways = [(way, "float32", ("x2",)) for way, _ in run_config.kernels] if run_config.dry else [
        (way, dtype, scales) for dtype, scales in DENSE for way, of in run_config.cuda if of == dtype]
    for title, *case in job.todo([(case_title(way, name, lr, scale, dtype), way, name, lr, scale, dtype)
                                  for way, dtype, scales in ways for scale in scales for name in DENSE_MODELS]):
        measured(job, title, kernel_case, *case)


def peers(job):
    """The reference and the published way at some sizes, and the CUDA kernels once more: ratios compare what was
    measured side by side."""
    run_config = job.run_config
    ways = [(*kernel, kernel_case) for kernel in run_config.cuda]
    ways += [("reference", dtype, kernel_case) for dtype in FLOATS if not (run_config.dry and dtype == "float16")]
    ways += [("published", dtype, published_case) for dtype in ("float32", run_config.half)]
    all_of(job, ways, run_config.peer_sizes)


@torch.no_grad()
def all_of(job, ways, sizes):
    """Measure ways, (name, dtype, function that makes the case), of every model at sizes."""
    exactly()
    if not ways and not job.run_config.dry:
        job.fail("no kernel to measure runs here")
    ways = sorted(ways, key=lambda way: (way[1], way[0] == "published"))  # stable: one type's inputs serve its kernels
    for case in job.todo([(case_title(way, name, lr, scale, dtype), make, way, name, lr, scale, dtype)
                          for lr, scale in sizes for name in MODELS for way, dtype, make in ways]):
        measured(job, *case)


def case_title(way, name, lr, scale, dtype):
    return f"{way}/{name}/{lr[1]}x{lr[0]}/{scale}/{dtype}"


@torch.no_grad()
def compiled(job):
    """torch.compile of the published way, the most telling cases first: each compiles for its own shapes."""
    exactly()
    run_config = job.run_config
    lr = run_config.sizes[0][0]
    todo = [(name, scale, run_config.half if dtype == "half" else dtype) for name, scale, dtype in COMPILED]
    if run_config.dry:
        todo = [("lmliif", "x2", "float32")]
    way = "compiled-published"
    for title, name, scale, dtype in job.todo([(case_title(way, name, lr, scale, dtype), name, scale, dtype)
                                               for name, scale, dtype in todo], 0 if run_config.dry else 35):
        torch.compiler.reset()
        measured(job, title, compiled_case, way, name, lr, scale, dtype)


def kernel_case(run_config, way, name, lr, scale, dtype):
    return renders.kernel(run_config, name, lr, scale, way, dtype)


def published_case(run_config, way, name, lr, scale, dtype):
    return renders.published(run_config, name, lr, scale, dtype)


def compiled_case(run_config, way, name, lr, scale, dtype):
    backend = "eager" if run_config.dry else "inductor"  # a dry run shows that torch can trace it
    return renders.published(run_config, name, lr, scale, dtype,
                             lambda stage: torch.compile(stage, dynamic=False, backend=backend))


def measured(job, title, make, way, name, lr, scale, dtype):
    """Check, time, check again, and write the record; a case that fails is told and stops no other."""
    run_config = job.run_config
    try:
        case = make(run_config, way, name, lr, scale, dtype)
        error = case.check(case.run(*case.inputs[0]), *case.inputs[0])
        timing = clock.device_time(case.run, case.inputs, run_config)
        case.check(case.run(*case.inputs[-1]), *case.inputs[-1])
    except torch.OutOfMemoryError:
        job.warn(f"{title} does not fit the device's memory")
        return
    except Exception as wrong:  # Triton's own errors are no RuntimeError
        fail(job, title, wrong)
        return
    finally:
        if run_config.device.type == "cuda":
            torch.cuda.empty_cache()
    job.case({**record(run_config, title, way, name, scale, dtype, case, timing["seconds"]["median"], error), **timing})


def fail(job, title, wrong):
    """Write a case's failure down; raise it again where nothing more can run in this process."""
    job.fail(f"{title}: {(str(wrong) or repr(wrong)).splitlines()[0]}")
    if "CUDA error" in str(wrong) or "Triton Error [CUDA]" in str(wrong):
        job.lost(title)
        raise wrong


def record(run_config, title, way, name, scale, dtype, case, median, error):
    """A case as a results file has it, but for its times."""
    pixels = case.size[0] * case.size[1]
    found = {
        "name": title, "kind": "render" if way in dict(run_config.kernels) else "peer", "stage": "render",
        "backend": way, "family": case.family, "model": name, "dtype": dtype, "store": dtype, "scale": scale,
        "lr": case.lr, "size": case.size, "cells": case.lr[0] * case.lr[1], "pixels": pixels,
        "inputs": len(case.inputs), "error": error, "gpixel_per_s": pixels / median / 1e9,
        "ns_per_pixel": median / pixels * 1e9}
    flop = case.flop
    if flop is None:
        model = renders.loaded(run_config, name, "float32")
        flop = operations.grid_flop(model.render_spec, case.lr, case.size)
    found |= {"flop": flop, "gflop_per_s": flop / median / 1e9}
    if case.bytes:
        found |= {"bytes": case.bytes, "gbyte_per_s": case.bytes / median / 1e9}
    return found


def exactly():
    """float32 means float32: what is compared must not be rounded to TF32 on one side."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
