"""Run in a fresh process: seconds from the first import to the first pixels; prints JSON.

CHECKPOINT SIDE THREADS [DEVICE BACKEND DTYPE]
"""

import json
import sys
import time


def main():
    checkpoint, side, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    device, backend, dtype = sys.argv[4:] or ("cpu", "auto", "float32")
    seconds, last = {}, time.perf_counter()

    def done(name):
        nonlocal last
        now = time.perf_counter()
        seconds[name], last = now - last, now

    import torch
    done("import_torch")
    torch.set_num_threads(threads)
    import lmf_kernels as lmf
    done("import_lmf_kernels")
    model = lmf.load_model(checkpoint, device, getattr(torch, dtype), backend)
    done("load_model")
    image = torch.rand(1, 3, side, side).to(device, getattr(torch, dtype))
    done("")
    lmf.upscale(model, image, scale=4).cpu()
    done("first_upscale")
    lmf.upscale(model, image, scale=4).cpu()
    done("second_upscale")
    del seconds[""]
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()
