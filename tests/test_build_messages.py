"""What a build says before it compiles: how long GPU code takes, and what to install where there is no compiler."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CMAKE = shutil.which("cmake")
needs_cmake = pytest.mark.skipif(CMAKE is None, reason="needs cmake")


def configure(folder, *options, **environment):
    """CMake's first step, alone."""
    ours = ("LMF_", "TORCH_CUDA", "CMAKE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return subprocess.run([CMAKE, "-S", ROOT, "-B", folder, *options], env=kept | environment, capture_output=True,
                          text=True)


@needs_cmake
def test_without_a_compiler_the_build_names_what_to_install(tmp_path):
    done = configure(tmp_path, "-DLMF_BUILD_CUDA=OFF", CXX="no-such-compiler")
    assert done.returncode != 0
    said = " ".join(done.stderr.split())
    assert ("No working C++ compiler was found; install one (Debian or Ubuntu: apt install g++, Fedora: dnf install "
            "gcc-c++, conda: conda install -c conda-forge gxx, macOS: xcode-select --install)") in said
    assert done.stderr.count("CMake Error") == 1
    again = configure(tmp_path, "-DLMF_BUILD_CUDA=OFF")  # the folder does not remember that there was none
    assert "No working C++ compiler" not in again.stderr


@needs_cmake
def test_the_plan_names_nvcc_and_architectures(tmp_path):
    assert configure(tmp_path, "-DLMF_DECIDE_ONLY=ON", "-DLMF_BUILD_CUDA=OFF").returncode == 0
    assert (tmp_path / "cuda_plan.txt").read_text() == ""
    if shutil.which("nvcc") is None:
        pytest.skip("needs nvcc")
    configure(tmp_path, "-DLMF_DECIDE_ONLY=ON", "-DLMF_BUILD_CUDA=ON", "-DLMF_CUDA_ARCHS=80;90+PTX")
    plan = (tmp_path / "cuda_plan.txt").read_text()
    assert plan.startswith("nvcc 1") and plan.endswith(" for sm_80 sm_90 compute_90")


@pytest.mark.parametrize("plan", ["nvcc 13.0 for sm_80 sm_90", ""])
def test_the_announcement(plan):
    script = ("import runpy, setuptools, sys; setuptools.setup = lambda **ignored: None; sys.argv = ['setup.py']; "
              f"runpy.run_path('setup.py')['announce_cuda']({plan!r})")
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    if not plan:
        assert done.stderr == done.stdout == ""
        return
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert "by nvcc 13.0 for sm_80 sm_90, which can take minutes; LMF_BUILD_CUDA=OFF leaves it out" in done.stderr
