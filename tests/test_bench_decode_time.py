"""bench.decode_time: short runs measure both ways, stop the slow one in time, and draw the same figure twice."""

import json

import pytest
import torch
from bench import decode_time

pytest.importorskip("matplotlib")


def test_a_short_run(tmp_path, monkeypatch):
    monkeypatch.setattr(decode_time, "LR", (5, 6))
    monkeypatch.setattr(decode_time, "timed", lambda run: [run().numel() * 1e-6])
    arguments = ["--results", str(tmp_path), "--out", str(tmp_path / "a.svg"), "--scales", "2,4,7"]
    assert decode_time.main([*arguments, "--seconds", "0.002"]) == 0
    path, = tmp_path.glob("*.json")
    run = json.loads(path.read_text())
    for name in decode_time.NAMES:
        scales = {way: [case["scale"] for case in run["cases"] if case["model"] == name and case["way"] == way]
                  for way in decode_time.WAYS}
        # x7 of 5x6 pixels is 4410 values, 0.0044 s here, too long for the published way.
        assert scales == {"before": [2, 4], "after": [2, 4, 7]}
    assert run["lr"] == [5, 6] and run["cases"][0]["size"] == [10, 12]
    figure = (tmp_path / "a.svg").read_bytes()
    assert b"LM-LTE" in figure and b"x7" in figure
    assert decode_time.main(["--draw", str(path), "--out", str(tmp_path / "b.svg")]) == 0
    assert (tmp_path / "b.svg").read_bytes() == figure


def test_different_pixels_are_an_error():
    same = torch.rand(1, 3, 4, 4)
    decode_time.compare(same, same, "x")
    with pytest.raises(ValueError, match="differ by"):
        decode_time.compare(same, same + 1e-3, "x")


def test_calls_are_timed_at_least_once():
    called = []
    assert len(decode_time.timed(lambda: called.append(1), least=0)) == 1
    assert len(decode_time.timed(lambda: called.append(1), least=10, most=3)) == 3
