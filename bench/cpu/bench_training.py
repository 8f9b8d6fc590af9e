"""A training step of LM-LIIF, with the render stage's gradients from the fused backward and from plain torch.

Batch 16, 48x48, 2304 queries each (the papers' recipe) through the model that `lmf-kernels train` trains: forward,
backward, clipping, Adam. The learning rate is 0, so every round starts from the same weights; the work is the same. The
render stage alone is measured beside it: from fields to pixels and back to the gradient of fields and weights.
"""

import functools

import pytest
import torch

from lmf_kernels import _cpu, build_model
from lmf_kernels.training import objective, rendering, shipping_spec
from lmf_kernels.training.memory import keep_freed_memory

from bench import cases, checks, config, operations

RENDERERS = {"fused": rendering.render_fused, "torch": rendering.render_points}
BATCH, QUERIES = (2, 64) if config.QUICK else (16, 2304)


@pytest.fixture(autouse=True)
def as_training_runs(inference):
    """As `train` does: gradients are recorded, and freed memory is kept for the rest of the process (this file is the
    last of a run)."""
    keep_freed_memory()
    with torch.enable_grad():
        yield


@functools.lru_cache(maxsize=1)
def batches():
    """Two batches (inp, coord, cell, rgb) as `Objective` takes them."""
    found, generator = [], torch.Generator().manual_seed(1)
    for inp, coord, cell in cases.training_queries(BATCH, QUERIES):
        found.append((inp, coord, cell[:, 0, 0], 2 * torch.rand(*coord.shape[:2], 3, generator=generator) - 1))
    return tuple(found)


@functools.lru_cache(maxsize=1)
def trained():
    """(objective, its parameters)."""
    torch.manual_seed(0)
    wrapped = objective.Objective(build_model(shipping_spec()).train())
    return wrapped, [p for p in wrapped.parameters() if p.requires_grad]


def step(optimiser, *batch):
    """One step as training takes it; its gradients stay in the parameters."""
    wrapped, parameters = trained()
    loss = wrapped(*batch)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimiser.step()
    return loss.detach()


@pytest.mark.parametrize("way", RENDERERS)
def test_step(timed, monkeypatch, way):
    parameters = trained()[1]
    optimiser = torch.optim.Adam(parameters, lr=0.0)

    def check(loss, *batch):
        """The reference must give the same loss and the same gradients."""
        found = [p.grad.clone() for p in parameters]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(objective, "RENDER", checks.reference_points)
            checks.close(loss, step(optimiser, *batch), 1e-5, f"{way} loss")
        checks.gradients(found, [p.grad for p in parameters], way)

    monkeypatch.setattr(objective, "RENDER", RENDERERS[way])
    timed(f"training/step-{way}", functools.partial(step, optimiser), batches(), check=check, pixels=BATCH * QUERIES,
          kind="training", model="lmliif", isa=_cpu.isa(), lr=config.TILE, size=(BATCH, QUERIES),
          rounds=config.PEER_ROUNDS)


@pytest.mark.parametrize("way", RENDERERS)
def test_render_and_back(timed, way):
    model = trained()[0].model
    inputs = []
    for inp, coord, cell, rgb in batches():
        with torch.no_grad():
            fields = model.fields(model.encode(inp), cell[:, None] * cell.new_tensor(config.TILE))
            weights = model.render_weights()
        cells = cell[:, None, None].expand(coord.shape)
        inputs.append((fields.requires_grad_(), weights.requires_grad_(), coord, cells, rgb))

    def run(fields, weights, coord, cell, grad, render=RENDERERS[way]):
        values = render(model.family, model.render_spec, fields, weights, coord, cell)
        return torch.autograd.grad(values, (fields, weights), grad)

    def check(found, *given):
        checks.gradients(found, run(*given, render=checks.reference_points), way)

    timed(f"training/render-{way}", run, tuple(inputs), check=check, pixels=BATCH * QUERIES,
          flop=operations.points_flop(model.render_spec, BATCH * QUERIES) * operations.FORWARD_AND_BACKWARD,
          kind="training", model="lmliif", isa=_cpu.isa(), lr=config.TILE, size=(BATCH, QUERIES),
          rounds=config.PEER_ROUNDS)
