"""The whole way from picture to picture at x4, stage by stage, with a full EDSR-baseline in front.

The encoder has 16 residual blocks and random weights (its time does not depend on them); the decoder is the golden
LM-LIIF's. `lmf_kernels` is what `upscale` runs; `published` is the same encoder with both of the decoder's stages the
published way.
"""

import statistics
import time

import pytest
import torch

import python_ref
from lmf_kernels.upscale import run_stages
from python_ref.decoding import published_queries

from bench import cases, checks, config, peers

STAGES = ("encoder", "latent", "render")
QUERIES = 2048  # drawn at random and compared with the reference


class Clock:
    """Seconds of each stage of the last call."""

    def __init__(self):
        self.seconds = {}

    def start(self):
        self.last = time.perf_counter()

    def __call__(self, stage):
        now = time.perf_counter()
        self.seconds.setdefault(stage, []).append(now - self.last)
        self.last = now


def ours(model, size, clock):
    return lambda image: run_stages(model, image, size, on_stage_end=clock)


def published(model, size, clock):
    """The published decoder behind the same encoder."""
    sd, options = model.state_dict(), peers.options_of(model)

    def run(image):
        features = model.encode(image * 2 - 1)
        clock("encoder")
        coord, cell = published_queries(features, size, None, None)
        rel_cell = cell[0, 0] * cell.new_tensor(features.shape[-2:])
        mods = python_ref.lmliif.latent_published(features, sd, rel_cell, options)
        clock("latent")
        pixels = python_ref.lmliif.render_published(features, mods, sd, coord, cell, options)
        pixels = pixels.mul_(0.5).add_(0.5).clamp_(0, 1).view(image.shape[0], *size, 3).permute(0, 3, 1, 2)
        clock("render")
        return pixels

    return run


def check(model, size, out, image):
    """Random pixels of the result against the float64 reference on the same features."""
    features = model.encode(image * 2 - 1).double()
    sd = {name: value.double() for name, value in model.state_dict().items()}
    chosen = torch.randint(size[0] * size[1], (QUERIES,), generator=torch.Generator().manual_seed(0))
    coord, cell = (t[:, chosen] for t in published_queries(features, size, None, None))
    expected = python_ref.lmliif.decode(features, sd, coord=coord, cell=cell, options=peers.options_of(model))
    got = out.flatten(2)[:, :, chosen].permute(0, 2, 1)
    checks.close(got, (expected * 0.5 + 0.5).clamp(0, 1), checks.PUBLISHED, "pipeline")


@pytest.mark.parametrize("way", [ours, published], ids=["lmf_kernels", "published"])
def test_pipeline(timed, way, request):
    model, clock, name = cases.full_model(), Clock(), request.node.callspec.id
    size = cases.size_of(config.LR, "x4")
    stages = way(model, size, clock)

    def run(image):
        clock.start()
        return stages(image)

    record = timed(f"pipeline/{name}", run, ((cases.picture(config.LR),), (cases.picture(config.LR, True),)),
                   check=lambda out, image: check(model, size, out, image), pixels=size[0] * size[1], kind="pipeline",
                   rounds=config.PEER_ROUNDS, model="lmliif", scale="x4", lr=config.LR, size=size)
    if record:
        rounds = {stage: clock.seconds[stage][-record["rounds"]:] for stage in STAGES}
        record["stages"] = {stage: statistics.median(seconds) for stage, seconds in rounds.items()}
