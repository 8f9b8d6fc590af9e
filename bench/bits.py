"""Hashes of everything that the kernels compute on the CPU, to show that a change keeps every bit.

    python -m bench.bits > before.jsonl            # one JSON object per line: instruction set, case, SHA-256
    python -m bench.bits --compare before.jsonl    # prints the cases that differ or are missing, exits with status 1

Renders and gradients are hashed for the golden checkpoints with the local ensemble on and off, for other widths and
depths of the render MLP, several scale factors, output types and layouts, on a grid and at free points. Every CPU
instruction set of this machine runs in a process of its own (LMF_CPU_ISA). Two runs are comparable on the same machine
with the same version of torch, whose encoder makes the inputs.
"""

import argparse
import copy
import hashlib
import inspect
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import zlib

import torch

import lmf_kernels as lmf
from lmf_kernels import _cpu, ops

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"
OPERATORS = {"lmliif": (ops.modulated_mlp, ops.modulated_mlp_points), "liif": (ops.plain_mlp, ops.plain_mlp_points)}
OPERATORS |= {"lmlte": OPERATORS["lmliif"], "lte": OPERATORS["liif"]}
MODULATED, WITH_SKIP = ("lmliif", "lmlte"), ("lmlte", "lte")
# Render MLPs unlike the papers': options of a golden checkpoint that are replaced. The weights are then drawn.
OTHERS = {
    "lmliif-width7": ("lmliif", {"hidden_dim": 7, "hidden_depth": 2}, {}),
    "lmliif-width40": ("lmliif", {"hidden_dim": 40, "hidden_depth": 3}, {}),
    "lmlte-width24": ("lmlte", {"hidden_dim": 24, "hidden_depth": 2}, {}),
    "lmlte-all-frequencies": ("lmlte", {"hidden_depth": 2}, {"mod_input": False}),
}
SCALES = (2, 3.3, 4, 12, 0.7)
STORES = ((torch.float32, "nchw"), (torch.float32, "nhwc"), (torch.uint8, "nchw"), (torch.uint8, "nhwc"))
EPILOGUE = next(name for name in ("epilogue", "finish") if name in inspect.signature(ops.modulated_mlp).parameters)


def main():
    parser = argparse.ArgumentParser(description="Hash everything that the kernels compute on the CPU.")
    parser.add_argument("--compare", type=pathlib.Path, help="what an earlier run printed")
    parser.add_argument("--isa", help=argparse.SUPPRESS)  # in a child process: hash with the instruction set in use
    options = parser.parse_args()
    if options.isa:
        for case, tensors in cases(with_reference=options.isa == "baseline"):
            print(json.dumps({"isa": options.isa, "case": case, "sha256": digest(tensors)}), flush=True)
        return
    lines = [line for isa, usable in _cpu.isas().items() if usable for line in run_child(isa)]
    if options.compare is None:
        print("\n".join(lines))
        return
    before, after = by_case(options.compare.read_text().splitlines()), by_case(lines)
    wrong = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    for name in sorted(wrong):
        print(*name, "differs" if name in before and name in after else "is in one of the runs alone")
    equal = (before.keys() & after.keys()) - set(wrong)
    print(f"{len(equal)} cases have equal bits, {len(wrong)} do not")
    sys.exit(bool(wrong))


def run_child(isa):
    """The lines of one instruction set."""
    done = subprocess.run([sys.executable, "-m", "bench.bits", "--isa", isa], cwd=ROOT, text=True,
                          env=os.environ | {"LMF_CPU_ISA": isa}, stdout=subprocess.PIPE, check=True)
    return done.stdout.splitlines()


def by_case(lines):
    return {(found["isa"], found["case"]): found["sha256"] for found in map(json.loads, lines)}


def digest(tensors):
    """SHA-256 of shapes, dtypes and bits."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def cases(with_reference):
    """(name, tensors) of every case. with_reference: also of the models that have no compiled kernel yet."""
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(True)  # the reference's gathers would add gradients in any order
    for name in OPERATORS if with_reference else MODULATED:
        for ensemble in (True, False) if name != "lte" else (True,):  # published LTE has no such option
            yield from cases_of(f"{name}/{'ensemble' if ensemble else 'nearest'}", name, golden(name, ensemble))
    for title, (name, render_mlp, options) in OTHERS.items():
        yield from cases_of(title, name, drawn(name, render_mlp, options))


def golden(name, ensemble):
    """A golden checkpoint with the local ensemble on or off."""
    stored = torch.load(GOLDEN / f"{name}.pth", map_location="cpu", weights_only=True)
    if not ensemble:
        stored["model"]["args"]["local_ensemble"] = False
    with tempfile.TemporaryDirectory() as folder:
        torch.save(stored, f"{folder}/model.pth")
        return lmf.load_model(f"{folder}/model.pth")


def drawn(name, render_mlp, options):
    """A model with other options and random weights, which depend on the parameters' names alone."""
    spec = torch.load(GOLDEN / f"{name}.pth", map_location="cpu", weights_only=True)["model"]
    args = copy.deepcopy(spec["args"]) | options
    args["imnet_spec"]["args"] |= render_mlp
    model = lmf.build_model({"name": name, "args": args})
    with torch.no_grad():
        for title, parameter in model.named_parameters():
            generator = torch.Generator().manual_seed(zlib.crc32(title.encode()))
            gain = math.sqrt(1.5 * parameter.shape[0] / parameter.numel()) if parameter.dim() > 1 else 0.3
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * gain)
    return model.eval()


def cases_of(title, name, model):
    """Renders and gradients of one model."""
    generator = torch.Generator().manual_seed(1)
    batch, lr = (2, (11, 14)) if name in MODULATED else (1, (7, 9))
    image = torch.rand(batch, 3, *lr, generator=generator)
    inp = image * 2 - 1
    with torch.no_grad():
        features = model.encode(inp)
        weights = model.render_weights()
        for scale in SCALES:
            size = tuple(int(n * scale) for n in lr)
            fields = model.fields(features, model.rel_cell_of(lr, size))
            yield from grid_cases(f"{title}/x{scale}", name, model, (fields, weights, inp), size)
        yield f"{title}/upscale", [lmf.upscale(model, image, scale=3.7, dtype=torch.uint8, layout="nhwc")]
        coord = torch.rand(batch, 100, 2, generator=generator) * 2.2 - 1.1
        cell = torch.rand(batch, 100, 2, generator=generator) * 0.1
        fields = model.fields(features, model.rel_cell_of(lr, [4 * n for n in lr]))
    points = OPERATORS[name][1]

    def render_points(fields, weights, skip):
        return points(fields, weights, model.render_spec, coord, cell, skip=skip)

    tensors = (fields, weights, inp if name in WITH_SKIP else None)
    yield f"{title}/points", [render_points(*tensors)]
    yield f"{title}/points/gradients", gradients(render_points, tensors)


def grid_cases(title, name, model, tensors, size):
    """Renders of one model at one size, in every store, of a window, and their gradients."""
    fields, weights, inp = tensors
    tensors = (fields, weights, inp if name in WITH_SKIP else None)

    def render(fields, weights, skip, **options):
        return OPERATORS[name][0](fields, weights, model.render_spec, size, skip=skip, **options)

    for dtype, layout in STORES:
        if name in MODULATED or (dtype, layout) in (STORES[0], STORES[-1]):
            options = {EPILOGUE: "unit", "dtype": dtype, "layout": layout}
            yield f"{title}/{str(dtype).removeprefix('torch.')}-{layout}", [render(*tensors, **options)]
    yield f"{title}/values", [render(*tensors)]
    window = (size[0] // 3, size[1] // 4, size[0] // 2, size[1] // 2)
    yield f"{title}/window", [render(*tensors, window=window)]
    if name in MODULATED or size[0] < 30:
        yield f"{title}/gradients", gradients(render, tensors)
        yield f"{title}/unit/gradients", gradients(lambda *args: render(*args, **{EPILOGUE: "unit"}), tensors)


def gradients(render, tensors):
    """Gradients of a weighted sum of render(*tensors) with respect to those tensors that are not None."""
    with torch.enable_grad():
        leaves = [None if tensor is None else tensor.detach().clone().requires_grad_() for tensor in tensors]
        out = render(*leaves)
        grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(2))
        return torch.autograd.grad(out, [leaf for leaf in leaves if leaf is not None], grad)


if __name__ == "__main__":
    main()
