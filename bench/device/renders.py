"""What is rendered on the device, each case as a function and inputs to give it in turn, and whether it is right."""

import functools
import math
from dataclasses import dataclass
from collections.abc import Callable

import torch

import lmf_kernels as lmf
from lmf_kernels import ops
from lmf_kernels.families import MODULATED_MLP

from bench import cases, checks, config, operations, peers

from .run_config import FLOATS, size_of

MOST_INPUTS = 12
NOISE = 2.0  # a half kernel's error may be this many times that of the same maths in eager torch of the same type
EAGER = 0.05  # of the largest value: what is further off was no published render at all


@dataclass
class Case:
    """run(*inputs[i]) renders; check(output, *inputs[i]) raises checks.WrongResult, else gives its error."""

    run: Callable
    inputs: list
    check: Callable
    lr: tuple
    size: tuple
    flop: float = None  # useful operations (bench/operations.py)
    bytes: int = None  # fields and skip read once, output written once
    family: str = MODULATED_MLP.name


def kernel(run_config, name, lr, scale, backend, dtype):
    """A model's render stage through the public operator; the output is stored in the fields' type."""
    model, size, torch_dtype = loaded(run_config, name, dtype), size_of(lr, scale), FLOATS[dtype]
    weights, spec = model.render_weights(), model.render_spec

    def run(fields, skip, backend=backend):
        return ops.render_grid(model.family, fields, weights, spec, size, skip=skip, lr_size=lr, dtype=torch_dtype,
                               backend=backend)

    inputs = fields_of(run_config, name, lr, scale, dtype)

    def check(out, fields, skip):
        worst = 0.0
        for window in checks.crops(size):
            expected = reference(model, fields, skip, lr, size, window)
            y, x, rows, cols = window
            part = out[:, :, y:y + rows, x:x + cols].double()
            allowed = checks.RELATIVE * expected.abs().max().item()
            error = (part - expected).abs().max().item()
            if dtype != "float32":
                eager = reference(model, fields, skip, lr, size, window, torch_dtype)
                error, allowed = rms(part - expected), NOISE * rms(eager.double() - expected)
            if not error <= allowed:
                raise checks.WrongResult(f"{backend} {name} {dtype} {size} window {window}: error {error:.2e}, allowed "
                                         f"{allowed:.2e}.")
            worst = max(worst, error)
        return worst

    read = sum(t.numel() * t.element_size() for t in inputs[0] if t is not None)
    return Case(run, inputs, check, lr, size, operations.grid_flop(spec, lr, size, model.family),
                read + 3 * size[0] * size[1] * torch_dtype.itemsize, model.family.name)


def reference(model, fields, skip, lr, size, window, dtype=torch.float64):
    """A window of what a model's kernel should have rendered, by the reference in `dtype`."""
    weights = model.render_weights()
    if model.family is MODULATED_MLP:
        return checks.reference_window(MODULATED_MLP, model.render_spec, fields, weights, size, window, skip, dtype)
    return ops.render_grid(model.family, fields.to(dtype), weights.to(dtype), model.render_spec, size,
                           skip=None if skip is None else skip.to(dtype), window=window, lr_size=lr, dtype=dtype,
                           backend="reference")


def published(run_config, name, lr, scale, dtype, compiler=None):
    """The published render stage. In a half type as its users run it: under autocast. compiler: wraps it, or None."""
    model, size = loaded(run_config, name, "float32"), size_of(lr, scale)
    inputs = []
    for inp in pictures(run_config, lr, 2):
        inputs.append(peers.published_start(model, inp, model.encode(inp), size))
    plain = peers.published_render(model)
    half = dtype != "float32"

    def stage(*given):
        with torch.autocast(run_config.device.type, FLOATS[dtype], enabled=half):
            return plain(*given)

    def check(out, inp, features, *_):
        fields = model.fields(features, model.rel_cell_of(lr, size))
        picture = out.view(1, *size, 3).permute(0, 3, 1, 2)
        worst = 0.0
        for window in checks.crops(size):
            expected = checks.reference_window(MODULATED_MLP, model.render_spec, fields, model.render_weights(), size,
                                               window, inp if model.has_skip else None)
            y, x, rows, cols = window
            part = picture[:, :, y:y + rows, x:x + cols].double()
            # The published coordinates are float32: their own noise grows with the map.
            allowed = EAGER * expected.abs().max().item() if half else checks.PUBLISHED * max(1, max(lr) / 320)
            error = rms(part - expected) if half else (part - expected).abs().max().item()
            if not error <= allowed:
                raise checks.WrongResult(f"published {name} {dtype} {size}: error {error:.2e}, allowed {allowed:.2e}.")
            worst = max(worst, error)
        return worst

    return Case(compiler(stage) if compiler else stage, inputs, check, lr, size)


def rms(difference):
    return difference.square().mean().sqrt().item()


@functools.cache
def loaded(run_config, name, dtype, full=False):
    """The golden checkpoint of a model on the device; full: LM-LIIF behind an encoder of 16 blocks."""
    if full:
        return cases.full_model().to(run_config.device, FLOATS[dtype]).to(memory_format=torch.channels_last)
    path = config.CHECKPOINTS / f"{name}.pth"
    return lmf.load_model(path, device=run_config.device, dtype=FLOATS[dtype]).requires_grad_(False)


def pictures(run_config, lr, count, dtype="float32", unit=False):
    """`count` different pictures (1, 3, h, w) on the device, normalised, or in [0, 1]."""
    whole = cases.picture(lr)
    made = [whole.roll((5 * k, 37 * k), (2, 3)) if k % 2 == 0 else whole.roll(37 * k, 3).flip(3) for k in range(count)]
    return [(one if unit else one * 2 - 1).to(run_config.device, FLOATS[dtype]) for one in made]


@functools.lru_cache(maxsize=1)  # kernels of one size and type follow each other
def fields_of(run_config, name, lr, scale, dtype):
    """[(fields, skip or None)], several: together too large for the GPU's cache, so that no round finds its data."""
    model, size = loaded(run_config, name, dtype), size_of(lr, scale)
    rel_cell = model.rel_cell_of(lr, size)

    def make(inp):
        return model.fields(model.encode(inp), rel_cell), inp if model.has_skip else None

    first, = pictures(run_config, lr, 1, dtype)
    one = make(first)
    count = 2
    if run_config.device.type == "cuda":
        cache = torch.cuda.get_device_properties(run_config.device).L2_cache_size
        count = min(max(2, math.ceil(3 * cache / (one[0].numel() * one[0].element_size()))), MOST_INPUTS)
    return [one, *(make(inp) for inp in pictures(run_config, lr, count, dtype)[1:])]
