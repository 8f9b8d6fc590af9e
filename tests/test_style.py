"""The C++ and CUDA sources are formatted: clang-format of the version that pyproject.toml pins changes nothing."""

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PINNED = re.search(r'"clang-format==([\d.]+)"', (ROOT / "pyproject.toml").read_text()).group(1)
SOURCES = sorted(path for path in (ROOT / "csrc").rglob("*") if path.suffix in (".h", ".cpp", ".cu"))


@pytest.fixture(scope="module")
def clang_format():
    """The program, from this environment or PATH. Other versions format differently."""
    program = shutil.which("clang-format", path=sysconfig.get_path("scripts")) or shutil.which("clang-format")
    found = program and subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if not found or PINNED not in found.split():
        pytest.skip(f"needs clang-format {PINNED} (pip install clang-format=={PINNED}), found {found or 'none'}")
    return program


def test_sources_are_formatted(clang_format):
    assert SOURCES
    done = subprocess.run([clang_format, "--dry-run", "-Werror", *SOURCES], capture_output=True, text=True)
    assert done.returncode == 0, f"run clang-format -i on these files:\n{done.stderr}"


def test_an_unformatted_source_is_found(clang_format):
    ugly = b"int  f( ){return 1 ;}\n"
    done = subprocess.run([clang_format, "--dry-run", "-Werror", f"--assume-filename={ROOT / 'csrc' / 'ugly.cpp'}"],
                          input=ugly, capture_output=True)
    assert done.returncode != 0
