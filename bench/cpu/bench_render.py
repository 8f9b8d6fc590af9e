"""LM-LIIF's render stage from the bundled picture, float32, with every instruction set that this machine has."""

import pytest

from lmf_kernels import _cpu

from bench import cases, checks, config

ISAS = [isa for isa, usable in _cpu.isas().items() if usable]


@pytest.mark.parametrize("scale", config.SCALES)
@pytest.mark.parametrize("isa", ISAS)
def test_render(timed, use_isa, isa, scale):
    use_isa(isa)
    case = cases.checkpoint_case("lmliif", scale)
    timed(f"cpu/lmliif/{scale}/{isa}", case.run, case.inputs, check=lambda out, *given: checks.grid(case, out, *given),
          pixels=case.pixels, flop=case.flop, kind="render", model="lmliif", scale=scale, isa=isa, lr=case.lr,
          size=case.size)
