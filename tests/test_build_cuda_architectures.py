"""Which GPU architectures a build makes, read from the CMake function itself; no nvcc needed."""

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "csrc" / "cuda" / "architectures.cmake"
NVCC_13 = "75;80;86;87;88;89;90;100;103;110;120;121"
NVCC_12_4 = "50;60;70;75;80;86;87;89;90"


def ask(wanted, known, tmp_path):
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("needs cmake")
    script = tmp_path / "ask.cmake"
    script.write_text(f'cmake_minimum_required(VERSION 3.20)\ninclude("{SOURCE}")\n'
                      f'lmf_cuda_architectures("{wanted}" "{known}" for_cmake names)\n'
                      'message(STATUS "=${for_cmake}=${names}=")\n')
    return subprocess.run([cmake, "-P", script], capture_output=True, text=True)


@pytest.mark.parametrize("wanted, known, for_cmake, names", [
    ("", NVCC_13, "80-real;86-real;89-real;90-real;100-real;120-real;120-virtual",
     "sm_80;sm_86;sm_89;sm_90;sm_100;sm_120;compute_120"),
    ("", NVCC_12_4, "80-real;86-real;89-real;90-real;90-virtual", "sm_80;sm_86;sm_89;sm_90;compute_90"),
    ("90", NVCC_13, "90-real", "sm_90"),
    ("80;90", NVCC_13, "80-real;90-real", "sm_80;sm_90"),
    ("8.0 9.0+PTX", NVCC_13, "80-real;90-real;90-virtual", "sm_80;sm_90;compute_90"),
    ("8.6, 9.0a,12.0+PTX", NVCC_13, "86-real;90a-real;120-real;120-virtual", "sm_86;sm_90a;sm_120;compute_120"),
    ("10.0;10.0+PTX", NVCC_13, "100-real;100-virtual", "sm_100;compute_100"),
])
def test_exactly_what_was_asked(wanted, known, for_cmake, names, tmp_path):
    answer = ask(wanted, known, tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert f"={for_cmake}={names}=" in answer.stdout


@pytest.mark.parametrize("wanted, said", [
    ("Hopper", '"Hopper" is no GPU architecture'),
    ("9.0+SASS", '"9.0+SASS" is no GPU architecture'),
    ("70", 'does not compile for GPU architecture "70"'),
])
def test_what_cannot_be_built_is_refused_by_name(wanted, said, tmp_path):
    answer = ask(wanted, NVCC_13, tmp_path)
    assert answer.returncode != 0
    assert said in " ".join(answer.stderr.split())
