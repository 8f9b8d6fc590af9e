"""The render stage's other forms: LM-LTE, wider and deeper networks, other stores, points, no ensemble, small tiles."""

from functools import partial

import pytest
import torch

from lmf_kernels import _cpu

from bench import cases, checks, config


def measure_case(timed, name, case, scale, kind="variant", run=None, **facts):
    timed(name, run or case.run, case.inputs, check=partial(checks.grid, case), pixels=case.pixels, flop=case.flop,
          kind=kind, model=case.model, scale=scale, isa=_cpu.isa(), lr=case.lr, size=case.size, **facts)


@pytest.mark.parametrize("scale", ["x4", "x12"])
def test_lmlte(timed, scale):
    measure_case(timed, f"cpu/lmlte/{scale}/{_cpu.isa()}", cases.checkpoint_case("lmlte", scale), scale, kind="render")


def test_lmciaosr(timed):
    measure_case(timed, f"cpu/lmciaosr/x4/{_cpu.isa()}", cases.checkpoint_case("lmciaosr", "x4"), "x4", kind="render")


@pytest.mark.parametrize("hidden, depth", [(16, 8), (24, 6), (32, 6)])
def test_other_widths_and_depths(timed, hidden, depth):
    measure_case(timed, f"cpu/hidden{hidden}-depth{depth}/x12", cases.random_case(hidden, depth, "x12"), "x12",
                 hidden=hidden, depth=depth)


def test_uint8_nhwc(timed):
    case = cases.checkpoint_case("lmliif", "x4", epilogue="unit", dtype=torch.uint8, layout="nhwc")
    measure_case(timed, "cpu/lmliif-uint8-nhwc/x4", case, "x4")


def test_without_ensemble(timed):
    measure_case(timed, "cpu/lmliif-no-ensemble/x4", cases.checkpoint_case("lmliif", "x4", ensemble=False), "x4")


def test_tile(timed):
    """What an interactive user waits for: one 48x48 tile."""
    measure_case(timed, "cpu/lmliif-tile/x4", cases.checkpoint_case("lmliif", "x4", lr=config.TILE), "x4")


def test_points(timed):
    """16 patches of 48x48, 2304 queries each: the forward pass of a training step."""
    case = cases.training_case("lmliif")
    timed("cpu/lmliif/points", case.run, case.inputs, check=partial(checks.points, case), pixels=case.pixels,
          flop=case.flop, kind="points", model="lmliif", scale="points", isa=_cpu.isa(), lr=case.lr,
          size=tuple(case.inputs[0][1].shape[:2]))


def test_into_mapped_memory(timed):
    """The kernel alone at x12, its output's pages already there: the difference to the operator is the page faults."""
    case = cases.checkpoint_case("lmliif", "x12")
    out = torch.empty(1, 3, *case.size).zero_()

    def run(fields, skip):  # its arguments are made within the time: some microseconds
        return cases.kernel_alone(case, fields, skip, out)()

    measure_case(timed, "cpu/lmliif-mapped/x12", case, "x12", run=run)
