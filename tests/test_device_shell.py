"""bench/device.sh itself: what it builds or installs, where, and what it hands on. A stand-in takes Python's place."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
STAND_IN = """#!/usr/bin/env bash
# Notes its arguments and what it would import from; ends as the variables say.
case "$*" in
  *tools.py) echo /usual/folder ;;
  -c*) [[ -n $GPU ]] && echo 90 ;;
  *"pip install"*) echo "pip $LMF_BUILD_CUDA ${@: -1} into ${PYTHONPATH:-Python}" >>"$NOTES"
    echo "pip's last words"
    case "${@: -1}" in *.whl) exit "$WHEEL" ;; *) [[ $LMF_BUILD_CUDA == OFF ]] || exit "$BUILD" ;; esac ;;
  *device.installed*) echo "installed? ${@:3} in ${PYTHONPATH:-Python}" >>"$NOTES"
    [[ -n $UNFIT ]] && ! grep -q "^pip O" "$NOTES" && echo "built for another GPU" >&2 && exit 1
    exit 0 ;;
  *"-m bench.device"*) echo "run ${@:3} from $(basename "$PWD") with ${PYTHONPATH:-Python}" >>"$NOTES"
    [[ :$PATH: == *:/usual/folder:* || $* == *--plan* ]] || exit 3 ;;
esac
"""


@pytest.fixture
def device(tmp_path):
    """device(*options, **variables): (exit status, notes of what was run, what was printed)."""
    python, notes, target = tmp_path / "python", tmp_path / "notes", tmp_path / "target"
    python.write_text(STAND_IN)
    python.chmod(0o755)
    (tmp_path / "a.whl").touch()

    def run(*options, **variables):
        notes.write_text("")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LMF_", "PYTHON", "OUT"))}
        given = {"NOTES": str(notes), "GPU": "yes", "WHEEL": "0", "BUILD": "0", "UNFIT": "", **variables}
        done = subprocess.run(["bash", str(ROOT / "bench" / "device.sh"), "--python", str(python), "--target",
                               str(target), *options], cwd=tmp_path, env={**kept, **given}, text=True,
                              capture_output=True)
        said = notes.read_text().replace(str(ROOT), "ROOT").replace(str(tmp_path) + "/", "")
        return done.returncode, said.splitlines(), done.stdout + done.stderr

    return run


def test_it_builds_and_runs_what_it_built(device):
    status, notes, _ = device("--call", "1")
    assert status == 0 and notes[0] == "pip ON ROOT into target"
    assert notes[1] == "installed?  in target" and notes[2].startswith("run --spent ")
    assert notes[2].endswith(f"--call 1 from {ROOT.name} with target") and "--build-failed" not in notes[2]


def test_without_building_the_package_is_found(device):
    status, notes, _ = device("--no-build", "--only", "render")
    assert status == 0 and len(notes) == 2 and not any(note.startswith("pip") for note in notes)
    assert notes[0] == "installed? --cuda in target"
    assert notes[1].endswith(f"--only render from {ROOT.name} with target")
    _, notes, _ = device("--no-build", UNFIT="yes")
    assert "--build-failed what is installed: built for another GPU" in notes[1]


def test_a_wheel_is_installed_in_place_of_building(device):
    status, notes, printed = device("--wheel", "a.whl")
    assert status == 0 and notes[0] == "pip  a.whl into target" and notes[1] == "installed? --cuda in target"
    assert len(notes) == 3 and "installed a.whl" in printed


@pytest.mark.parametrize("variables, reason", [({"WHEEL": "1"}, "pip's last words"),
                                               ({"UNFIT": "yes"}, "built for another GPU")])
def test_a_wheel_that_does_not_fit_is_built_here(device, variables, reason):
    status, notes, printed = device("--wheel", "a.whl", **variables)
    assert status == 0 and f"a.whl does not fit: {reason}" in printed
    assert "pip ON ROOT into target" in notes and "--build-failed" not in notes[-1]
    status, notes, _ = device("--wheel", "a.whl", "--dry-run", **variables)
    assert status == 2 and not any(note.startswith("run") for note in notes)


def test_without_nvcc_the_rest_is_built(device):
    status, notes, printed = device(BUILD="1")
    assert [note for note in notes if note.startswith("pip")] == ["pip ON ROOT into target", "pip OFF ROOT into target"]
    assert "pip's last words" in printed and "--build-failed no CUDA kernels" in notes[-1]


def test_without_a_gpu_it_says_so(device):
    status, notes, printed = device(GPU="")
    assert status == 2 and notes == [] and "torch sees no CUDA device; --dry-run needs none." in printed
    status, notes, _ = device("--dry-run", GPU="")
    assert status == 0 and len(notes) == 1 and f"--dry-run from {ROOT.name} with target" in notes[0]
    status, notes, _ = device("--plan", GPU="")
    assert status == 0 and notes == [f"run --plan from {ROOT.name} with Python"]


def test_files_named_from_where_it_was_called(device, tmp_path):
    (tmp_path / "earlier.json").touch()
    _, notes, _ = device("--previous", "earlier.json", "--out", "out")
    assert "--previous earlier.json --out out from" in notes[-1] and (tmp_path / "out").is_dir()
    assert f"{tmp_path}/" not in notes[-1]
