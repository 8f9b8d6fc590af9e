"""The peers of the render stage in the same run, on the same threads. Their sizes stand in the results."""

import pytest
import torch

from bench import config, peers

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # of torch's own compiler

# The tuned and the compiled second form cost time and say what they have to say at two scales.
LM_LIIF = [(way, scale) for scale in config.SCALES for way in peers.WAYS
           if scale in ("x4", "x12") or not way.startswith(("tuned", "compiled-reference"))]
if config.QUICK:  # compiling takes as long for tiny sizes: once each is enough to see that it works
    LM_LIIF = [(way, scale) for way, scale in LM_LIIF if scale == "x4" or not way.startswith("compiled")]


def measure_peer(timed, way, model, scale, lr, rounds=config.PEER_ROUNDS):
    if peers.why_not(way):
        pytest.skip(peers.why_not(way))
    torch.compiler.reset()  # every case compiles for its own shapes
    peer = peers.make(way, model, scale, lr)
    timed(f"{way}/{model}/{scale}", peer.run, peer.inputs, check=peer.check, pixels=peer.pixels, rounds=rounds,
          compiles=way.startswith("compiled"), kind="peer", model=model, scale=scale, lr=peer.lr, size=peer.size)


@pytest.mark.parametrize("way, scale", LM_LIIF)
def test_lmliif(timed, way, scale):
    lr, rounds = config.PEER_LR[scale], config.PEER_ROUNDS
    if way == "bicubic":
        lr = config.LR
    elif way in ("reference", "tuned-published"):
        lr = config.CHUNKED_PEER_LR[scale]
    elif way == "published" and scale == "x12" and config.FULL_PEERS:
        lr, rounds = config.LR, (1, 1)
    measure_peer(timed, way, "lmliif", scale, lr, rounds)


@pytest.mark.parametrize("scale", ["x4", "x12"])
def test_lmlte(timed, scale):
    measure_peer(timed, "published", "lmlte", scale, config.CHUNKED_PEER_LR[scale])


def test_points(timed):
    peer = peers.points("lmliif")
    timed("published/lmliif/points", peer.run, peer.inputs, check=peer.check, pixels=peer.pixels,
          rounds=config.PEER_ROUNDS, kind="peer", model="lmliif", scale="points", lr=peer.lr, size=peer.size)
