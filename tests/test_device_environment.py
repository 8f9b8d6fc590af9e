"""bench/device.sh with the packages of an offline GPU machine and no others: `pytest -m slow` on this file.

The environment is of this Python, with this torch, for the machine's own is several GB; all other packages are those of
bench/device/environment.txt. LMF_DEVICE_PYTHON=/usr/bin/python3.12 takes another Python and everything from the list.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from importlib import metadata

import pytest

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).resolve().parent.parent
LIST = ROOT / "bench" / "device" / "environment.txt"
OTHER = os.environ.get("LMF_DEVICE_PYTHON")


def run(*command, **options):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **options)
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def packages():
    """What pip is given. Of torch here its own requirements; numpy's version is one that this Python may not have."""
    named = [line.strip() for line in LIST.read_text().splitlines() if line.strip() and not line.startswith("#")]
    if OTHER:
        return named
    needed = [text for text in metadata.requires("torch") if not re.search(r"extra ==|^nvidia|^triton", text)]
    return ["numpy" if text.startswith("numpy") else text for text in named if not text.startswith("torch")] + needed


def show_torch(folder):
    """Make this environment's torch, and nothing else of it, importable from a folder of packages."""
    distribution = metadata.distribution("torch")
    for name in {file.parts[0] for file in distribution.files if file.parts[0] not in ("..", "__pycache__")}:
        (folder / name).symlink_to(distribution.locate_file(name))


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """(python, variables of a clean environment) of a virtual environment with the list's packages alone."""
    folder = tmp_path_factory.mktemp("environment")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("LMF_", "PYTHON", "OUT"))}
    variables["PATH"] = f"{folder / 'bin'}{os.pathsep}{variables['PATH']}"
    run(OTHER or sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", *packages(), env=variables)
    if not OTHER:
        show_torch(next(folder.glob("lib/python*/site-packages")))
    return python, variables


@pytest.fixture(scope="module")
def wheel(environment, tmp_path_factory):
    """A wheel without CUDA, built with those packages from a copy of the sources."""
    python, variables = environment
    folder = tmp_path_factory.mktemp("wheel")
    shutil.copytree(ROOT, folder / "sources", ignore=shutil.ignore_patterns(
        ".git", "build", "*.so", "__pycache__", "*.egg-info", ".venv", "shared"))
    run(python, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "-w", folder, folder / "sources",
        env={**variables, "LMF_BUILD_CUDA": "OFF"})
    (built,) = folder.glob("*.whl")
    return built


def test_what_is_not_in_the_list_is_not_there(environment):
    python, variables = environment
    code = "from importlib.util import find_spec as find; " \
           "print(*[n for n in ('imagecodecs', 'png', 'skimage', 'torch') if find(n) is None])"
    assert run(python, "-c", code, env=variables).split() == ["imagecodecs", "png"]


def test_the_dry_run_and_the_tests_of_the_gpu(environment, wheel, tmp_path):
    python, variables = environment
    run("bash", ROOT / "bench" / "device.sh", "--python", python, "--wheel", wheel, "--target", tmp_path / "site",
        "--dry-run", "--out", tmp_path / "out", "--previous", env=variables)
    (path,) = (tmp_path / "out").glob("*.json")
    stored = json.loads(path.read_text())
    assert stored["missing"] == [] and stored["failures"] == []

    def tests(*options):
        return run(python, "-m", "pytest", "-c", ROOT / "pyproject.toml", "--rootdir", ROOT, "-p", "no:cacheprovider",
                   "-q", *options, cwd=tmp_path, env={**variables, "PYTHONPATH": str(tmp_path / "site")})

    listed = tests("--collect-only", "-m", "gpu and not slow", ROOT / "tests")
    assert int(re.search(r"(\d+)/\d+ tests collected", listed)[1]) > 300 and "error" not in listed
    # What of the formats' tests can run does, and the rest is skipped.
    shown = tests(*(ROOT / "tests" / f"test_{name}.py" for name in ("images", "images_refused", "streaming",
                                                                    "optional_packages", "cli_images")))
    passed, skipped = map(int, re.search(r"(\d+) passed, (\d+) skipped", shown).groups())
    assert passed > 60 and skipped > 20, shown[-3000:]
