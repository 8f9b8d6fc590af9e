"""The render stage of a training step there and back, and the whole step: the fused backward, and plain torch.

Batch 16, 48x48, 2304 queries each, float32 (the papers' recipe). The whole step is that of `lmf-kernels train` with the
model that ships: forward, backward, clipping, Adam with a rate of 0, so that every round starts from the same weights.
"""

import math

import torch

from bench import cases, checks, config, operations
from lmf_kernels import build_model, ops
from lmf_kernels.backends import use_backend
from lmf_kernels.backends.dispatch import BACKENDS
from lmf_kernels.families import MODULATED_MLP
from lmf_kernels.training import objective, rendering, shipping_spec

from . import clock, renders
from .render_stage import exactly, fail
from .run_config import MODELS

FAMILY = MODULATED_MLP
PLAIN = "torch"  # the way without a fused backward


def gradients(job):
    """Cases of kind "gradients", the render stage there and back, and "step"."""
    exactly()
    run_config = job.run_config
    able = with_backward(run_config)
    todo = [(f"gradients/{way}/{name}", there_and_back, way, name) for name in MODELS for way in (*able, PLAIN)]
    todo += [(f"step/{way}", step, way) for way in (*able, PLAIN)]
    for title, work, *arguments in job.todo(todo):
        try:
            found = work(run_config, *arguments)
        except Exception as wrong:
            fail(job, title, wrong)
        else:
            job.case({"name": title, **found})


def with_backward(run_config):
    """Names of the backends that run here and have a backward kernel."""
    return [name for name, dtype in run_config.kernels
            if dtype == "float32" and hasattr(BACKENDS[name].kernels[FAMILY.name], "can_differentiate")]


def batch(run_config):
    """(pictures, queries of each) of a training step."""
    return (2, 64) if run_config.dry else (16, 2304)


def there_and_back(run_config, way, name):
    """From fields to pixels, and back to the gradients of fields and weights."""
    run, inputs, check = case(run_config, way, name)
    check(run(*inputs[0]), *inputs[0])
    timing = clock.device_time(run, inputs, run_config)
    check(run(*inputs[-1]), *inputs[-1])
    flop = operations.points_flop(renders.loaded(run_config, name, "float32").render_spec,
                                  math.prod(batch(run_config))) * operations.FORWARD_AND_BACKWARD
    return record(run_config, "gradients", way, name, timing, flop=flop,
                  gflop_per_s=flop / timing["seconds"]["median"] / 1e9)


def case(run_config, way, name):
    """(run, inputs, check): run(*inputs[k]) goes there and back; check(its result, *inputs[k]) raises WrongResult."""
    model = renders.loaded(run_config, name, "float32")
    spec, weights = model.render_spec, model.render_weights().detach().requires_grad_()
    inputs = [prepared(run_config, model, k, *given)
              for k, given in enumerate(cases.training_queries(*batch(run_config)))]

    def run(fields, skip, coord, cell, grad):
        if way == PLAIN:
            values = rendering.render_points(FAMILY, spec, fields, weights, coord, cell, skip)
        else:
            values = ops.modulated_mlp_points(fields, weights, spec, coord, cell, skip=skip, backend=way)
        return torch.autograd.grad(values, (fields, weights), grad)

    def check(found, *given):
        fields, skip, coord, cell, grad = (None if t is None else t.detach().double() for t in given)
        leaves = fields.requires_grad_(), weights.detach().double().requires_grad_()
        values = checks.reference_points(FAMILY, spec, *leaves, coord, cell, skip)
        checks.gradients(found, torch.autograd.grad(values, leaves, grad), f"{way} {name}")

    return run, inputs, check


def prepared(
    run_config,
    model,
    number,
    inp,  # (B, 3, h, w)
    coord,  # (B, Q, 2)
    cell,  # (B, Q, 2)
):
    """(fields, skip or None, coord, cell, gradient that arrives) on the device."""
    inp, coord, cell = (t.to(run_config.device) for t in (inp, coord, cell))
    with torch.no_grad():
        fields = model.fields(model.encode(inp), cell[:, 0] * cell.new_tensor(inp.shape[-2:]))
    generator = torch.Generator().manual_seed(number)
    grad = torch.randn(*coord.shape[:2], 3, generator=generator).to(run_config.device)
    return fields.requires_grad_(), inp if model.has_skip else None, coord, cell, grad


def step(run_config, way):
    """A whole training step."""
    torch.manual_seed(0)
    wrapped = objective.Objective(build_model(shipping_spec()).train()).to(run_config.device)
    parameters = [p for p in wrapped.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=0.0)
    inputs = []
    for inp, coord, cell in cases.training_queries(*batch(run_config)):
        given = inp, coord, cell[:, 0, 0], torch.rand(*coord.shape[:2], 3) * 2 - 1
        inputs.append([t.to(run_config.device) for t in given])

    own = rendering.render_points if way == PLAIN else rendering.render_fused

    def run(*given, render=own):
        objective.RENDER = render
        with use_backend("auto" if way == PLAIN else way):
            loss = wrapped(*given)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()

    run(*inputs[0])
    found = [p.grad.clone() for p in parameters]
    run(*inputs[0], render=checks.reference_points)
    # A pixel past L1's kink moves the gradients of all weights.
    checks.gradients(found, [p.grad for p in parameters], f"{way} step", 10 * checks.KINKS)
    return record(run_config, "step", way, "lmliif", clock.device_time(run, inputs, run_config))


def record(run_config, kind, way, name, timing, **facts):
    """A case as a results file has it."""
    pictures, queries = batch(run_config)
    pixels, median = pictures * queries, timing["seconds"]["median"]
    return {
        "kind": kind, "backend": way, "family": FAMILY.name, "model": name, "dtype": "float32", "scale": "training",
        "lr": config.TILE, "size": (pictures, queries), "cells": pictures * config.TILE[0] * config.TILE[1],
        "pixels": pixels, "gpixel_per_s": pixels / median / 1e9, "ns_per_pixel": median / pixels * 1e9, **timing,
        **facts}
