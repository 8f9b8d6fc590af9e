"""Run in a fresh process: median seconds of an upscaling by the built-in model; prints JSON.

THREADS SIDE SECONDS

As a library is used: torch is imported first. How OpenMP's threads wait is up to the environment.
"""

import json
import statistics
import sys
import time

import torch


def main():
    threads, side, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    torch.set_num_threads(threads)
    import lmf_kernels as lmf

    model = lmf.load_model(lmf.built_in.default())
    image = torch.rand(1, 3, side, side)
    lmf.upscale(model, image, scale=4)
    spent, end = [], time.perf_counter() + seconds
    while len(spent) < 3 or time.perf_counter() < end:
        start = time.perf_counter()
        lmf.upscale(model, image, scale=4)
        spent.append(time.perf_counter() - start)
    print(json.dumps(statistics.median(spent)))


if __name__ == "__main__":
    main()
