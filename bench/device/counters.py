"""Nsight Compute on one launch of each kernel, as text: what bounds it."""

import subprocess
import sys
import time

import torch

from bench import config
from lmf_kernels.backends.dispatch import BACKENDS

from . import gradients, renders, tools
from .run_config import RunConfig

ENDING = 12  # seconds that ncu is left for writing: it prints when the program has ended


def counters(job):
    """Writes ncu.txt; facts["ncu"] says whether it is there."""
    tool = tools.find("ncu")
    if job.run_config.dry or tool is None:
        job.fact("ncu", False)
        if not job.run_config.dry:
            job.warn("ncu was not found: no hardware counters")
        return
    # The clocks are left as they are: the GPU is measured as it is found.
    command = [tool, "--clock-control", "none", "--set", "full", "--profile-from-start", "off",
               sys.executable, "-m", "bench.device.counters", str(job.left() - ENDING)]
    with open(job.folder / "ncu.txt", "w", encoding="utf-8") as file:
        done = subprocess.run(command, cwd=config.ROOT, stdout=file, stderr=subprocess.STDOUT)
    job.fact("ncu", done.returncode == 0)
    if done.returncode != 0:
        job.fail(f"ncu ended with status {done.returncode}; its output is in ncu.txt")


@torch.no_grad()
def launches(seconds):
    """The program that ncu watches: renders of every kernel at the first size and at x2, then one backward pass of each
    that there is. None is begun after `seconds`."""
    run_config = RunConfig(dry=not torch.cuda.is_available())
    until = time.monotonic() + seconds
    sizes = list(dict.fromkeys((run_config.sizes[0], *(size for size in run_config.sizes if size[1] == "x2"))))[:2]
    todo = [(f"{backend} {dtype} {name} {lr} {scale}", backend, _render(run_config, name, lr, scale, backend, dtype))
            for kernels in (run_config.cuda, run_config.triton) for name in ("lmliif", "lmlte") for lr, scale in sizes
            for backend, dtype in kernels]
    todo += [(f"{backend} there and back", backend, _there_and_back(run_config, backend))
             for backend in gradients.with_backward(run_config)]
    for title, backend, make in todo:
        if time.monotonic() > until:
            print(f"---- no time for {title}", flush=True)
            continue
        run, inputs = make()
        watched(title, backend, run, inputs)


def _render(run_config, name, lr, scale, backend, dtype):
    def make():
        case = renders.kernel(run_config, name, lr, scale, backend, dtype)
        return case.run, case.inputs[0]

    return make


def _there_and_back(run_config, backend):
    def make():
        run, inputs, _ = gradients.case(run_config, backend, "lmliif")
        return torch.enable_grad()(run), inputs[0]

    return make


def watched(title, backend, run, inputs):
    """Run twice, the second time under ncu's eyes."""
    run(*inputs)
    if BACKENDS[backend].needs_evidence:
        torch.cuda.synchronize()
        torch.cuda.cudart().cudaProfilerStart()
    print(f"---- {title}", flush=True)
    run(*inputs)
    if BACKENDS[backend].needs_evidence:
        torch.cuda.synchronize()
        torch.cuda.cudart().cudaProfilerStop()


if __name__ == "__main__":
    launches(float(sys.argv[1]))
