"""The render stage of LIIF and LTE, float32 and bfloat16, and the published way beside it, from the same LR size.

bfloat16 is held against the float32 peak and the float32 peer: that is what its users would run instead.
"""

from functools import partial

import pytest
import torch

from lmf_kernels import _cpu

from bench import cases, checks, config, peers

TYPES = {"float32": None, "bfloat16": torch.bfloat16}
SCALES = ("x2", "x4")


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ["liif", "lte"])
def test_render(timed, name, scale, dtype):
    case = cases.checkpoint_case(name, scale, lr=config.PLAIN_LR, half=TYPES[dtype])
    label = name if dtype == "float32" else f"{name}-{dtype}"
    timed(f"cpu/{label}/{scale}/{_cpu.isa()}", case.run, case.inputs, check=partial(checks.grid, case),
          pixels=case.pixels, flop=case.flop, kind="render", model=name, scale=scale, dtype=dtype, isa=_cpu.isa(),
          lr=case.lr, size=case.size)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", ["liif", "lte"])
def test_published(timed, name, scale):
    peer = peers.make("published", name, scale, config.PLAIN_LR)
    timed(f"published/{name}/{scale}", peer.run, peer.inputs, check=peer.check, pixels=peer.pixels,
          rounds=config.PEER_ROUNDS, kind="peer", model=name, scale=scale, lr=peer.lr, size=peer.size)
