"""LM-CiaoSR's whole decoder in little memory: no matrix of all pairs of cells, no unfolded picture."""

import json
import os
import pathlib
import subprocess
import sys

import golden_cases
import pytest
import torch

from lmf_kernels import load_model
from lmf_kernels.models import lmciaosr
from lmf_kernels.ops import cross_scale

CHILD = pathlib.Path(__file__).parent.parent / "bench" / "children" / "decoder.py"


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="the system does not tell peaks")
@pytest.mark.parametrize("size, most", [("160x90", 200e6), pytest.param("320x180", 400e6, marks=pytest.mark.slow)])
def test_the_decoder_at_x4(size, most):
    """The published code takes 20 GB and more at 320x180; fields and output alone are 74 MB."""
    command = [sys.executable, str(CHILD), str(golden_cases.path("lmciaosr")), size, "4", "1"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)
    print(found)
    width, height = map(int, size.split("x"))
    output_and_fields = 4 * width * height * (16 * 3 + 272)
    assert output_and_fields < found["grown_bytes"] < most, found


@pytest.mark.parametrize("size, cells, pairs", [
    ((9, 11), 1, 1), ((9, 11), 7, 1 << 10), ((60, 53), 70, 1), ((60, 53), 1 << 20, 1 << 30), ((100, 50), 999, 1 << 17)])
@torch.no_grad()
def test_pieces_change_nothing(size, cells, pairs, monkeypatch, seed):
    """Neither how many cells the local attention takes at a time, nor how many pairs of cells the non-local one."""
    model = load_model(golden_cases.path("lmciaosr"))
    features = torch.randn(2, 64, *size)
    whole = model.fields(features, (0.4, 0.5))
    monkeypatch.setattr(lmciaosr, "CELLS_AT_ONCE", cells)
    monkeypatch.setattr(cross_scale, "PAIRS", pairs)
    off = (model.fields(features, (0.4, 0.5)) - whole).abs().max() / whole.abs().max()
    assert off < 1e-6, f"fields differ by {off:.1e} of the largest"
