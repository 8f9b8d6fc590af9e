"""What users see of self-checks: `explain` and the command. The warning and `info` are in test_backend_evidence.py."""

import importlib
import re

import torch
from lmf_kernels.backends import evidence
from lmf_kernels.cli import main
from lmf_kernels.selfcheck import measure, report, verdicts
from selfcheck_setup import CPU, TODAY, explained, forget, item, known


def test_explain_starts_nothing(kernels, no_check):
    kernels("fast")
    found = explained()
    assert found.runs == "reference" and found.source == "none yet" and found.selfcheck == []
    assert "it has never run on a GPU, and the first call that needs it makes its self-check" in str(found)
    assert explained("fast").source is None, "who names a backend asks for no evidence"


def test_explain_with_a_verdict(kernels, no_check):
    kernels("fast", "wrong")
    known((item("fast"), True, None), (item("fast", evidence.GRADIENTS), True, None),
          (item("wrong"), False, None), (item("wrong", evidence.GRADIENTS), False, None),
          (item("fast", dtype="float16"), True, None))
    assert str(explained()).splitlines() == [
        "modulated_mlp: runs on fast (asked for: auto; evidence: self-check of 2030-05-01)",
        "  chosen cells (CMSR, above x4): listed as query points",
        "  gradients: made by fast",
        "  self-check: fast, modulated_mlp gradients, linear head, float32: right (2030-05-01)",
        "  self-check: wrong, modulated_mlp gradients, linear head, float32: wrong numbers (2030-05-01)",
        "  self-check: fast, modulated_mlp render, linear head, float32: right (2030-05-01)",
        "  self-check: wrong, modulated_mlp render, linear head, float32: wrong numbers (2030-05-01)"]


def test_the_command_prints_a_table(kernels, monkeypatch, capsys):
    kernels("fast", "wrong")
    monkeypatch.setattr(importlib.import_module("lmf_kernels.cli.selfcheck"), "_gpu", lambda index: CPU)
    monkeypatch.setattr(measure, "items_of", lambda backend: [item(backend)])
    store = known((item("fast"), False, None))
    assert main(["selfcheck"]) == 0
    first, heads, fast, wrong, last = capsys.readouterr().out.splitlines()
    assert "torch 2." in first and "build" in first and re.split("  +", heads) == list(report.COLUMNS)
    assert re.split("  +", fast, maxsplit=5) == [*item("fast"), "wrong numbers (self-check of 2030-05-01)"]
    assert re.fullmatch(f"wrong +render +modulated_mlp +linear head +float32 +wrong numbers, .* {TODAY}", wrong)
    assert last == f"kept in {store.path}"
    assert main(["selfcheck", "--again"]) == 0
    assert "fast    render     modulated_mlp  linear head   float32   right and " in capsys.readouterr().out
    forget()
    assert verdicts.store_of(CPU).known[item("fast")].good and not verdicts.store_of(CPU).known[item("wrong")].good
    assert main(["selfcheck"]) == 0 and capsys.readouterr().out.count("(self-check of ") == 2


def test_the_command_without_a_gpu(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["selfcheck"]) == 2
    assert "The self-check needs a GPU, and torch shows none here." in capsys.readouterr().err
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert main(["selfcheck", "--device", "2"]) == 2
    assert "--device 2: torch shows 2 GPUs here, numbered from 0." in capsys.readouterr().err
