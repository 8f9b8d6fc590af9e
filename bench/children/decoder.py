"""Run in a fresh process: time and peak memory of a whole decoder, latent and render stage. Prints JSON.

    python bench/children/decoder.py CHECKPOINT WIDTHxHEIGHT SCALE THREADS

`grown_bytes` is how far the resident size grows beyond what it is when model and features are there: fields, output and
everything in between. The system is asked to forget the peak so far, after a tiny picture. `peak_bytes` is the whole
process at its largest.
"""

import json
import sys
import time

import torch
from memory import forget_peak, resident

import lmf_kernels as lmf


@torch.no_grad()
def main():
    path, size, scale, threads = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(threads)
    model = lmf.load_model(path)
    width, height = map(int, size.split("x"))
    out = tuple(int(n * scale) for n in (height, width))

    def decode(inp, features, size):
        fields = model.fields(features, model.rel_cell_of(inp.shape[2:], size))
        return model.render_grid(inp, size, fields=fields)

    decode(torch.zeros(1, 3, 8, 8), torch.zeros(1, model.encoder.out_dim, 8, 8), (16, 16))
    inp, features = torch.rand(1, 3, height, width) * 2 - 1, torch.randn(1, model.encoder.out_dim, height, width)
    reset = forget_peak()
    before, start = resident("VmRSS"), time.perf_counter()
    pixels = decode(inp, features, out)
    seconds, peak = time.perf_counter() - start, resident("VmHWM")
    assert torch.isfinite(pixels).all()
    print(json.dumps({"lr": (height, width), "size": out, "seconds": seconds, "peak_bytes": peak,
                      "grown_bytes": peak - before if reset else None}))


if __name__ == "__main__":
    main()
