"""Nsight Compute on one launch of each kernel, as text: what bounds it."""

import shutil
import subprocess
import sys

import torch

import settings
from lmf_kernels.backends.dispatch import BACKENDS

from . import gradients, renders
from .setting import Setting


def counters(job):
    """Writes ncu.txt; facts["ncu"] says whether it is there."""
    tool = shutil.which("ncu")
    if job.setting.dry or tool is None:
        job.fact("ncu", False)
        if not job.setting.dry:
            job.warn("ncu is not installed: no hardware counters")
        return
    # The clocks are left as they are: measured as the card is found.
    command = [tool, "--clock-control", "none", "--set", "full", "--profile-from-start", "off",
               sys.executable, "-m", "device.counters"]
    with open(job.folder / "ncu.txt", "w", encoding="utf-8") as file:
        done = subprocess.run(command, cwd=settings.FOLDER, stdout=file, stderr=subprocess.STDOUT)
    job.fact("ncu", done.returncode == 0)
    if done.returncode != 0:
        job.fail(f"ncu ended with status {done.returncode}; ncu.txt has its words")


@torch.no_grad()
def launches():
    """The program that ncu watches: one render of every kernel, at the first size, and one backward pass."""
    setting = Setting(dry=not torch.cuda.is_available())
    lr, scale = setting.sizes[0]
    for backend, dtype in setting.kernels:
        case = renders.kernel(setting, "lmliif", lr, scale, backend, dtype)
        watched(f"{backend} {dtype} {lr} {scale}", backend, case.run, case.inputs[0])
    for backend in gradients.with_backward(setting):
        run, inputs, _ = gradients.case(setting, backend, "lmliif")
        with torch.enable_grad():
            watched(f"{backend} there and back", backend, run, inputs[0])


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
    launches()
