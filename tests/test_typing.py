"""A type checker knows every public name: mypy on `typed_program.py`, and on mistakes that it must find."""

import inspect
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import lmf_kernels as lmf
import pytest
from lmf_kernels import ops

HERE = Path(__file__).parent
PROGRAM = HERE / "typed_program.py"
MISTAKES = {
    "lmf.upscale(model, 'photo.png', 2)": "call-overload",
    "lmf.upscale(model, image, 2, layout=3)": "call-overload",
    "lmf.upscale(model, image, 2).colour": "attr-defined",
    "lmf.load_model(3)": "arg-type",
    "lmf.upscale_file(model, 'a.png', 'b.png', size=3840)": "arg-type",
    "lmf.GraphedUpscaler(model, 4)": "arg-type",
    "lmf.nothing": "attr-defined",
}


def checked(path, cache):
    """mypy's (exit status, output) on a file, the sources of this package found wherever it is installed."""
    package = Path(lmf.__file__).parents[1]
    found = {} if package.name == "site-packages" else {"MYPYPATH": str(package)}  # an editable install is not found
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports", "silent", "--config-file", "", "--cache-dir",
         str(cache), str(path)], capture_output=True, text=True, env={**os.environ, **found},
        cwd=path.parent)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    pytest.importorskip("mypy", reason="needs mypy: pip install 'lmf-kernels[test]'")
    return tmp_path_factory.mktemp("mypy")


def test_a_program_that_uses_every_public_name(cache):
    status, said = checked(PROGRAM, cache)
    assert status == 0, said


def test_mistakes_are_found(cache, tmp_path):
    path = tmp_path / "mistakes.py"
    path.write_text("import lmf_kernels as lmf\nimport torch\nmodel = lmf.load_model('m.pth')\n"
                    "image = torch.rand(1, 3, 8, 8)\n" + "".join(f"{line}\n" for line in MISTAKES))
    status, said = checked(path, cache)
    assert status == 1
    for number, (line, code) in enumerate(MISTAKES.items(), start=5):
        assert any(row.startswith(f"mistakes.py:{number}:") and f"[{code}]" in row for row in said.splitlines()), (
            line, said)


def test_the_package_says_that_it_is_typed_and_the_program_misses_nothing():
    assert resources.files(lmf).joinpath("py.typed").is_file()
    text = PROGRAM.read_text()
    assert [name for name in lmf.__all__ if f"lmf.{name}" not in text] == []
    assert [name for name in ops.__all__ if f"ops.{name}" not in text and f"lmf.{name}" not in text] == []
    for place, names in ((lmf, lmf.__all__), (ops, ops.__all__)):
        for name in names:
            value = getattr(place, name)
            if inspect.isfunction(value):
                signature = inspect.signature(value)
                bare = [part.name for part in signature.parameters.values() if part.annotation is part.empty]
                assert not bare and signature.return_annotation is not signature.empty, (name, bare)
