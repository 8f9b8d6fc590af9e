"""`--dtype auto`: bfloat16 where it was measured to be faster, and what a half type costs in `eval`."""

import json
import re

import golden_cases
import numpy as np
import pytest
import torch
from PIL import Image

import lmf_kernels as lmf
from lmf_kernels import precision
from lmf_kernels.cli import main

MODEL = golden_cases.path("lmliif")


@pytest.mark.parametrize("speedup, dtype", [(2.0, torch.bfloat16), (1.05, torch.float32), (0.5, torch.float32)])
def test_the_faster_type_is_taken(monkeypatch, speedup, dtype):
    monkeypatch.setattr(precision, "bfloat16_speedup", lambda model: speedup)
    model = precision.in_fastest_type(lmf.load_model(MODEL))
    assert next(model.parameters()).dtype == dtype


def test_the_measurement_times_both_types_and_leaves_the_model_alone(monkeypatch):
    clock, seen = iter(range(10 ** 6)), []

    def upscale(model, image, scale, dtype):
        kind = next(model.parameters()).dtype
        assert image.dtype == kind
        seen.append(kind)
        for _ in range(7 if kind == torch.float32 else 1):  # each reading of the clock is a second
            next(clock)

    monkeypatch.setattr(precision, "upscale", upscale)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: next(clock))
    model = lmf.load_model(MODEL)
    assert precision.bfloat16_speedup(model) == (7 + 1) / (1 + 1)
    assert seen[:2] == [torch.float32, torch.bfloat16] and len(seen) == 8
    assert next(model.parameters()).dtype == torch.float32


def test_a_real_measurement():
    assert 0.01 < precision.bfloat16_speedup(lmf.load_model(MODEL)) < 100


@pytest.mark.parametrize("speedup, dtype", [(2.0, "bfloat16"), (0.5, "float32")])
def test_auto_on_the_command_line(monkeypatch, tmp_path, capsys, speedup, dtype):
    monkeypatch.setattr(precision, "bfloat16_speedup", lambda model: speedup)
    Image.fromarray(np.arange(7 * 9 * 3, dtype=np.uint8).reshape(7, 9, 3)).save(tmp_path / "p.png")
    given = ["upscale", str(tmp_path / "p.png"), str(tmp_path / "o.png"), "--model", str(MODEL), "--scale", "2"]
    assert main([*given, "--dtype", "auto"]) == 0
    assert f"in {dtype}" in capsys.readouterr().err


def test_eval_prints_what_a_half_type_costs(tmp_path, capsys):
    pytest.importorskip("skimage")
    rows, cols = np.mgrid[:40, :48]
    picture = np.stack([rows * 5, cols * 5, (rows * cols) % 256], axis=-1).astype(np.uint8)
    folder = tmp_path / "originals"
    folder.mkdir()
    Image.fromarray(picture).save(folder / "p.png")
    psnr = {}
    for dtype in ("float32", "bfloat16"):
        written = tmp_path / f"{dtype}.json"
        given = ["eval", str(folder), "--scale", "2", "--model", str(MODEL), "--dtype", dtype, "--json", str(written)]
        assert main(given) == 0
        found = json.loads(written.read_text())
        assert found["dtype"] == dtype and ("cost" in found) == (dtype == "bfloat16")
        psnr[dtype] = found["means"][0]["model"]["psnr"]
    said = re.search(r"bfloat16 costs, against float32:\nx2 +(-?[0-9.]+) dB", capsys.readouterr().out)
    assert abs(float(said[1]) - (psnr["float32"] - psnr["bfloat16"])) < 6e-4
    assert found["cost"][0]["psnr"] == pytest.approx(psnr["float32"] - psnr["bfloat16"])
