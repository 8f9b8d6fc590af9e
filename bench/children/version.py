"""Times cases with whichever lmf_kernels is on PYTHONPATH, one round a line of standard input: see bench/versions.py.

Uses only what every version has. A line is JSON: {"name", "kind", "scale", "lr", "dtype", "isa"}; the answer is
{"seconds", "digest"} or {"refused"}. Inputs are made from fixed seeds, so that all versions get the same.
"""

import hashlib
import json
import os
import pathlib
import sys
import time

import torch

import lmf_kernels as lmf
from lmf_kernels import ops

GOLDEN = pathlib.Path(__file__).resolve().parent.parent.parent / "tests" / "golden"
TURNS = 2  # inputs that rounds take in turn, so that none finds the data of the round before in a cache


def main():
    threads, prepared = int(sys.argv[1]), {}
    torch.set_num_threads(threads)
    print(json.dumps({"version": lmf.__version__, "file": lmf.__file__}), flush=True)
    for line in sys.stdin:
        case = json.loads(line)
        if case["isa"]:
            os.environ["LMF_CPU_ISA"] = case["isa"]
        else:
            os.environ.pop("LMF_CPU_ISA", None)
        try:
            with torch.no_grad():
                if case["name"] not in prepared:
                    prepared.clear()  # one case's tensors at a time
                    prepared[case["name"]] = [MAKERS[case["kind"]](case, turn) for turn in range(TURNS)]
                runs = prepared[case["name"]]
                runs.append(runs.pop(0))
                run, calls = runs[0]
                started = time.perf_counter()
                for _ in range(calls):
                    out = run()
                seconds = (time.perf_counter() - started) / calls
            digest = hashlib.sha256(out.contiguous().view(-1).view(torch.uint8).numpy().tobytes()).hexdigest()[:16]
            print(json.dumps({"seconds": seconds, "digest": digest}), flush=True)
        except lmf.BackendError as error:
            print(json.dumps({"refused": str(error)}), flush=True)


def random_picture(lr, turn, batch=1):
    return torch.rand(batch, 3, *lr, generator=torch.Generator().manual_seed(turn))


def render_of(model, fields, size):
    weights, spec = model.render_weights(), model.render_spec
    return lambda: ops.modulated_mlp(fields, weights, spec, size, backend="cpu")


def render(case, turn):
    """The render stage alone, from the golden LM-LIIF."""
    model, lr = lmf.load_model(GOLDEN / "lmliif.pth", dtype=getattr(torch, case["dtype"])), tuple(case["lr"])
    size = tuple(int(n * case["scale"]) for n in lr)
    inp = random_picture(lr, turn).to(next(model.parameters()).dtype) * 2 - 1
    fields = model.fields(model.encode(inp), model.rel_cell_of(lr, size))
    return render_of(model, fields, size), 1 if size[0] * size[1] > 50000 else 500 if size == (1, 1) else 20


def points(case, turn):
    """Random query points, as training asks for them."""
    model, lr = lmf.load_model(GOLDEN / "lmliif.pth"), tuple(case["lr"])
    fields = model.fields(model.encode(random_picture(lr, turn, 16) * 2 - 1), (0.5, 0.5))
    coord = torch.rand(16, lr[0] * lr[1], 2, generator=torch.Generator().manual_seed(turn)) * 2 - 1
    cell, weights = torch.full_like(coord, 2 / (4 * lr[0])), model.render_weights()
    return lambda: ops.modulated_mlp_points(fields, weights, model.render_spec, coord, cell, backend="cpu"), 1


def pipeline(case, turn):
    """A picture through the built-in model, in bytes."""
    model = lmf.load_model("lmliif-edsr10", dtype=getattr(torch, case["dtype"]))
    image = random_picture(case["lr"], turn).to(next(model.parameters()).dtype)
    return lambda: lmf.upscale(model, image, case["scale"], dtype=torch.uint8), 1


MAKERS = {"render": render, "points": points, "pipeline": pipeline}

if __name__ == "__main__":
    main()
