"""Run by itself, under compute-sanitizer say: small renders of every kind on every backend named, and of a few their
float32 gradients, where it has a backward kernel. BACKEND[/DTYPE]...

Prints one line a render, and fails where a pixel or a gradient stays unwritten or is far from the float64 reference.
"""

import sys

import torch
from every_backend import ON_GPU, poisoned
from networks import PAPERS
from random_renders import draw
from test_modulated_backward import away_from_kinks, gradients

from lmf_kernels.backends.dispatch import BACKENDS
from lmf_kernels.ops import RenderSpec

SPECS = {**PAPERS, "no ensemble": RenderSpec("linear", 0, (16,) * 2, False)}
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
    tell(what, off, dtype)
    few = call.spec.ensemble and (call.coord is not None or call.size == (6, 8))  # each takes seconds to compile
    if few and dtype == torch.float32 and hasattr(BACKENDS[backend].kernels["modulated_mlp"], "can_differentiate"):
        true = call._replace(fields=call.fields.double(), weights=call.weights.double(),
                             skip=None if call.skip is None else call.skip.double())
        grad = torch.randn(truth.shape) * away_from_kinks(true)
        with poisoned():
            found = gradients(call, backend, grad)
        for got, wanted in zip(found, gradients(true, "reference", grad, torch.float64), strict=True):
            off = (got - wanted).abs().max() / wanted.abs().max().clamp_min(1e-30)
            tell(f"{what}, a gradient", off.item(), dtype)


def tell(what, off, dtype):
    """off: of the largest true value."""
    print(f"{what}: {off:.1e}", flush=True)
    if not off <= LOOSE[dtype]:
        raise SystemExit(f"{what} is {off:.1e} off")


if __name__ == "__main__":
    main()
