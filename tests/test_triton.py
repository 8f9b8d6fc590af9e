"""The Triton backend where there is nothing for it to run on: what it says, and what it reads and writes."""

import json
import subprocess
import sys

import lmf_kernels as lmf
import pytest
import torch
from lmf_kernels.backends import triton
from lmf_kernels.backends.triton import availability, configurations
from lmf_kernels.backends.triton.configurations import Configuration
from lmf_kernels.ops import RenderSpec, modulated_mlp
from lmf_kernels.families import MODULATED_MLP

SPEC = RenderSpec("linear", 0, (16,) * 2)
NO_GPU = pytest.mark.skipif(torch.cuda.is_available() or availability.interpreting(), reason="Triton can run here")
WITH_TRITON = pytest.mark.skipif(availability.version() is None, reason="Triton is not installed")


def arguments():
    return (torch.randn(1, 3, 4, MODULATED_MLP.field_channels(SPEC)),
            torch.randn(MODULATED_MLP.weight_count(SPEC)), SPEC, (6, 8))


@NO_GPU
@WITH_TRITON
def test_without_a_gpu_it_says_so():
    assert triton.backend.availability() == (False, f"Triton {availability.version()} has no GPU to run on here: torch shows none")
    with pytest.raises(lmf.BackendError, match="'triton' cannot run this call: .* no GPU to run on here"):
        modulated_mlp(*arguments(), backend="triton")


def test_the_package_neither_needs_nor_imports_it():
    script = (
        "import sys\n"
        "if 'absent' in sys.argv: sys.modules['triton'] = None\n"
        "import lmf_kernels as lmf\n"
        "row = next(row for row in lmf.backends() if row['name'] == 'triton')\n"
        "assert row['families'] == ['modulated_mlp']\n"
        "assert 'absent' not in sys.argv or 'not installed' in row['detail'], row\n"
        "assert sys.modules.get('triton') is None, 'imported'\n")
    for word in ("absent", "as it is"):
        done = subprocess.run([sys.executable, "-c", script, word], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_an_old_triton_is_refused(monkeypatch):
    monkeypatch.setattr(availability, "version", lambda: "3.5.1")
    assert triton.backend.availability() == (False, "Triton 3.5.1 is too old; `pip install 'triton>=3.6'`")


def test_the_table_answers_for_every_gpu():
    square, flat = Configuration(8, 8, 4), Configuration(4, 16, 4)
    for architecture in ("sm_80", "sm_86", "sm_90", "sm_103", "sm_121", "sm_130", "gfx942", "gfx950"):
        assert configurations.choose(architecture, "bfloat16", 2.0) == square
        assert configurations.choose(architecture, "float32", 12.0) == flat
    assert [configurations.relative(name) for name in ("sm_89", "sm_103", "sm_121", "gfx90a")] == [
        "sm_80", "sm_100", "sm_120", "gfx942"]


@WITH_TRITON
def test_a_tuned_file_is_read(tmp_path, monkeypatch):
    """What the tuner writes, from times made up here, is what the kernel then runs with."""
    from lmf_kernels.backends.triton.tune import tune

    def measure(call, configuration):
        flat = configuration.cols if call.size[0] > 2 * call.lr[2] else configuration.rows
        return 100 / flat + configuration.warps + (call.fields.dtype == torch.float32)

    lines, file = [], tmp_path / "tuned.json"
    tune(str(file), lines.append, device=torch.device("cpu"), measure=measure, lr=(2, 3))
    assert len(lines) == 12 and "x12" in lines[-1]
    about = json.loads(file.read_text())
    ((architecture, elements),) = about["configurations"].items()
    assert about["triton"] == availability.version() and len(elements) == 3
    monkeypatch.setenv(configurations.FILE, str(file))
    for scale, expected in ((1.0, (8, 8, 1)), (3.0, (8, 8, 1)), (3.1, (1, 64, 1)), (30.0, (1, 64, 1))):
        assert configurations.choose(architecture, "float16", scale) == expected
    assert configurations.choose("sm_90", "float16", 2.0) == Configuration(8, 8, 4)  # which the file does not know


@pytest.mark.parametrize("text", [
    None, "no JSON", "[]", "{}", '{"configurations": {"sm_90": {"float32": []}}}',
    *(json.dumps({"configurations": {"sm_90": {"float32": rows}}}) for rows in (
        [{"scale_to": None, "rows": 3, "cols": 16, "warps": 4}], [{"scale_to": None, "rows": 2, "cols": 4, "warps": 4}],
        [{"scale_to": 3.0, "rows": 4, "cols": 16, "warps": 4}], [{"scale_to": None, "rows": 4, "cols": 16}],
        [{"scale_to": s, "rows": 4, "cols": 16, "warps": 4} for s in (3.0, 2.0, None)]))])
def test_a_wrong_file_gets_one_sentence(text, tmp_path, monkeypatch):
    file = tmp_path / "tuned.json"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv(configurations.FILE, str(file))
    with pytest.raises(lmf.InputError) as raised:
        configurations.choose("sm_90", "float32", 2.0)
    said = str(raised.value)
    assert str(file) in said and "lmf-kernels tune" in said and said.endswith(".") and "\n" not in said
    monkeypatch.setattr(availability, "status", lambda: (True, ""))
    assert triton.backend.availability() == (False, said[:-1])


@NO_GPU
@WITH_TRITON
def test_tuning_needs_a_gpu(tmp_path):
    done = subprocess.run([sys.executable, "-m", "lmf_kernels", "tune", tmp_path / "out.json"], capture_output=True,
                          text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("lmf-kernels: error: Tuning needs a GPU that Triton can use: Triton ")
    assert not (tmp_path / "out.json").exists()
