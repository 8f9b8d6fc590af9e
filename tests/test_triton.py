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
    said = f"Triton {availability.version()} has no GPU to run on here: torch shows none"
    assert triton.backend.availability() == (False, said)
    with pytest.raises(lmf.BackendError, match="'triton' cannot run this call: .* no GPU to run on here"):
        modulated_mlp(*arguments(), backend="triton")


def test_the_package_neither_needs_nor_imports_it():
    script = (
        "import sys\n"
        "if 'absent' in sys.argv: sys.modules['triton'] = None\n"
        "import lmf_kernels as lmf\n"
        "row = next(row for row in lmf.backends() if row['name'] == 'triton')\n"
        "assert row['families'] == ['c2f_mlp', 'modulated_mlp', 'plain_mlp']\n"
        "assert 'absent' not in sys.argv or 'not installed' in row['detail'], row\n"
        "assert sys.modules.get('triton') is None, 'imported'\n")
    for word in ("absent", "as it is"):
        done = subprocess.run([sys.executable, "-c", script, word], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_an_old_triton_is_refused(monkeypatch):
    monkeypatch.setattr(availability, "version", lambda: "3.5.1")
    assert triton.backend.availability() == (False, "Triton 3.5.1 is too old; `pip install 'triton>=3.6'`")


@pytest.mark.parametrize("element", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_86", "sm_90", "sm_103", "sm_121", "sm_130", "gfx90a",
                                          "gfx942", "gfx950", "gfx1100", "interpreter"])
def test_every_architecture_and_type_has_legal_configurations(architecture, element):
    """Known or not, at any scale: a tile of whole powers of two that holds a row of a matrix instruction, and warps."""
    for scale in (0.01, 1.0, 2.5, 3.0, 3.7, 12.0, 1e6):
        configuration = configurations.choose(architecture, element, scale)
        assert all(n >= 1 and n & (n - 1) == 0 for n in configuration), configuration
        assert configuration.rows * configuration.cols >= 16 and configuration.warps <= 32, configuration


def test_ranges_rise_and_each_reaches_up_to_its_limit():
    for architecture, elements in configurations.TABLE.items():
        assert set(elements) == {"float32", "float16", "bfloat16"}
        for element, ranges in elements.items():
            *limits, last = (r.scale_to for r in ranges)
            assert last is None and limits == sorted(set(limits)) and all(limit > 0 for limit in limits)
            for below, above in zip(ranges, ranges[1:]):
                found = [configurations.choose(architecture, element, below.scale_to * f) for f in (0.999, 1, 1.001)]
                assert found == [below.configuration, below.configuration, above.configuration]
            assert configurations.choose(architecture, element, 1e6) == ranges[-1].configuration


def test_an_unknown_architecture_takes_its_nearest_relative_s_entry():
    """Of its generation where the table has one, else one whose kernels fit the smallest GPUs; AMD's are apart."""
    known = [name for name in configurations.TABLE if name.startswith("sm_")]
    assert all(configurations.relative(name) == name for name in configurations.TABLE)
    for number in (75, 86, 87, 89, 101, 103, 110, 121, 130, 200):
        name = f"sm_{number}"
        relative = configurations.relative(name)
        assert relative in known
        if any(other[:-1] == name[:-1] for other in known):
            assert relative[:-1] == name[:-1]
        assert configurations.choose(name, "float16", 5.0) == configurations.choose(relative, "float16", 5.0)
    assert {configurations.relative(name)[:3] for name in ("gfx90a", "gfx950", "gfx1100")} == {"gfx"}


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
                          text=True, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("lmf-kernels: error: Tuning needs a GPU that Triton can use: Triton ")
    assert not (tmp_path / "out.json").exists()
