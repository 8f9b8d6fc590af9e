"""Run by itself, under compute-sanitizer say: small renders of every kind on every backend named. BACKEND[/DTYPE]...

Prints one line a render, and fails where a pixel stays unwritten or is far from the float64 reference.
"""

import sys

import torch
from every_backend import ON_GPU, poisoned
from random_renders import draw

from lmf_kernels.ops import RenderSpec

SPECS = {"lm-liif": RenderSpec("linear", 0, (16,) * 6), "lm-lte": RenderSpec("fourier", 16, (16,) * 8),
         "no ensemble": RenderSpec("linear", 0, (16,) * 2, False)}
SHAPES = [((1, 1), 5), ((3, 4), 2), ((2, 5), 3.7), ((3, 3), 12), ((4, 3), 0.7)]  # LR size, scale
LOOSE = {torch.float32: 1e-4, torch.float16: 0.05, torch.bfloat16: 0.3}  # a wrong layout is off by 1 and more


def main():
    torch.manual_seed(0)
    for argument in sys.argv[1:]:
        backend, _, dtype = argument.partition("/")
        dtype = getattr(torch, dtype or "float32")
        for name, spec in SPECS.items():
            for k, (lr, scale) in enumerate(SHAPES):
                check(f"{argument} {name} {lr} x{scale}", draw(k, points=False, spec=spec, lr_size=lr, scales=(scale,)),
                      backend, dtype)
            check(f"{argument} {name} points", draw(9, points=True, spec=spec, lr_size=(3, 4)), backend, dtype)


def check(what, call, backend, dtype):
    call = call._replace(**{name: t if t is None else t.to(dtype) for name, t in
                            (("fields", call.fields), ("weights", call.weights), ("skip", call.skip))})
    with poisoned():
        got = call.run(backend)
    if backend in ON_GPU:
        torch.cuda.synchronize()
    truth = call.run("reference", torch.float64)
    off = ((got.double() - truth).abs().max() / truth.abs().max()).item()
    print(f"{what}: {off:.1e}", flush=True)
    if not off <= LOOSE[dtype]:
        raise SystemExit(f"{what} is {off:.1e} off")


if __name__ == "__main__":
    main()
