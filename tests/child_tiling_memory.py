"""Run in a fresh process: how far the resident size grows while a picture is upscaled in rows. Prints JSON.

MODEL HEIGHT WIDTH SCALE BUDGET. A tiny picture goes first, so that libraries and thread pools are up; then the system
is asked to forget the peak so far (/proc/self/clear_refs).
"""

import json
import sys

import numpy as np
import torch

import lmf_kernels as lmf
from lmf_kernels.tiling import memory


def peak():
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def main():
    path, height, width, scale, budget = sys.argv[1:]
    torch.set_num_threads(1)
    model = lmf.load_model(path)
    picture = np.random.default_rng().integers(0, 256, (int(height), int(width), 3), dtype=np.uint8)
    for _ in lmf.upscale_rows(model, picture[:16, :16], 2):
        pass
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")
    before = memory.resident()
    rows = lmf.upscale_rows(model, picture, float(scale), max_memory=budget)
    count = sum(band.shape[1] for _, band in rows)
    print(json.dumps({"grown": peak() - before, "predicted": rows.plan.peak, "tiles": rows.plan.tiles, "rows": count}))


if __name__ == "__main__":
    main()
