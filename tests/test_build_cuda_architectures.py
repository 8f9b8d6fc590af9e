"""Which GPU architectures a build makes, read from the CMake function itself; no nvcc needed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "csrc" / "cuda" / "architectures.cmake"
NVCC_13 = "75;80;86;87;88;89;90;100;103;110;120;121"
NVCC_12_4 = "50;60;70;75;80;86;87;89;90"


def cmake(call, answers, tmp_path):
    """Runs one call of architectures.cmake in CMake's script mode, which prints the variables `answers`."""
    program = shutil.which("cmake")
    if program is None:
        pytest.skip("needs cmake")
    script = tmp_path / "ask.cmake"
    values = "=".join(f"${{{name}}}" for name in answers)
    script.write_text(f'cmake_minimum_required(VERSION 3.20)\ninclude("{SOURCE}")\n{call}\n'
                      f'message(STATUS "={values}=")\n')
    return subprocess.run([program, "-P", script], capture_output=True, text=True)


def ask(wanted, known, tmp_path):
    return cmake(f'lmf_cuda_architectures("{wanted}" "{known}" for_cmake names)', ["for_cmake", "names"], tmp_path)


@pytest.mark.parametrize("wanted, known, for_cmake, names", [
    ("", NVCC_13, "80-real;86-real;89-real;90-real;100-real;120-real;120-virtual",
     "sm_80;sm_86;sm_89;sm_90;sm_100;sm_120;compute_120"),
    ("", NVCC_12_4, "80-real;86-real;89-real;90-real;90-virtual", "sm_80;sm_86;sm_89;sm_90;compute_90"),
    ("90", NVCC_13, "90-real", "sm_90"),
    ("80;90", NVCC_13, "80-real;90-real", "sm_80;sm_90"),
    ("8.0 9.0+PTX", NVCC_13, "80-real;90-real;90-virtual", "sm_80;sm_90;compute_90"),
    ("8.6, 9.0a,12.0+PTX", NVCC_13, "86-real;90a-real;120-real;120-virtual", "sm_86;sm_90a;sm_120;compute_120"),
    ("10.0;10.0+PTX", NVCC_13, "100-real;100-virtual", "sm_100;compute_100"),
    ("120+PTX 9.0 80+PTX", NVCC_13, "80-real;90-real;120-real;80-virtual;120-virtual",
     "sm_80;sm_90;sm_120;compute_80;compute_120"),
    ("100f", NVCC_13, "100f-real", "sm_100f"),
])
def test_exactly_what_was_asked(wanted, known, for_cmake, names, tmp_path):
    answer = ask(wanted, known, tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert f"={for_cmake}={names}=" in answer.stdout


@pytest.mark.parametrize("wanted, said", [
    ("Hopper", '"Hopper" is not a GPU architecture'),
    ("9.0+SASS", '"9.0+SASS" is not a GPU architecture'),
    ("9.0 86a", '"86a" is not a GPU architecture'),
    ("90f", '"90f" is not a GPU architecture'),
    ("7.5 8.0", 'need GPU architecture 80 or newer, but "7.5" is older'),
    ("101", 'does not compile for GPU architecture "101"'),
])
def test_what_cannot_be_built_is_refused_by_name(wanted, said, tmp_path):
    answer = ask(wanted, NVCC_13, tmp_path)
    assert answer.returncode != 0
    assert said in " ".join(answer.stderr.split())


@pytest.mark.parametrize("archs, exact, after", [
    ("80-real;90-real;90-virtual", "90a;100a", "80-real;90a-real;90-virtual"),
    ("90-real;90a-real", "90a", "90a-real"),
    ("80-real;120-real", "90a", "80-real;120-real"),
    ("90-real", "", "90-real"),
])
def test_family_takes_exact_architectures_only_where_the_plain_ones_were_asked_for(archs, exact, after, tmp_path):
    answer = cmake(f'lmf_cuda_exact("{archs}" "{exact}" out)', ["out"], tmp_path)
    assert f"={after}=" in answer.stdout, answer.stderr


@pytest.mark.parametrize("wanted, known, release, local", [
    ("", NVCC_13, "13.0", "cu130"),
    ("", NVCC_12_4, "12.4", "cu124"),
    ("8.0 8.6 8.9 9.0 10.0 12.0+PTX", NVCC_13, "13.0", "cu130"),
    ("90", NVCC_13, "13.0", "cu130.sm90"),
    ("9.0a;80+PTX", NVCC_13, "13.0", "cu130.sm80.sm90a.ptx80"),
])
def test_local_version_names_cuda_and_architectures(wanted, known, release, local, tmp_path):
    answer = cmake(f'lmf_cuda_architectures("{wanted}" "{known}" archs names)\n'
                   f'lmf_cuda_architectures("" "{known}" archs default)\n'
                   f'lmf_cuda_local_version("{release}" "${{names}}" "${{default}}" out)', ["out"], tmp_path)
    assert f"={local}=" in answer.stdout, answer.stderr
    assert re.fullmatch(r"[a-z0-9]+(\.[a-z0-9]+)*", local), "PEP 440 would write it otherwise"


@pytest.mark.parametrize("archs, flags", [
    ("80-real;86-real;89-real;90a-real;120-real;120-virtual",
     "arch=compute_80,code=[sm_80,sm_86,sm_89];arch=compute_90a,code=sm_90a;arch=compute_120,code=sm_120;"
     "arch=compute_120,code=compute_120"),
    ("86-real;90-real;90-virtual", "arch=compute_86,code=[sm_86];arch=compute_90,code=sm_90;"
                                   "arch=compute_90,code=compute_90"),
    ("100f-real", "arch=compute_100f,code=sm_100f"),
    ("89-virtual", "arch=compute_89,code=compute_89"),
])
def test_what_nvcc_is_told_to_make(archs, flags, tmp_path):
    answer = cmake(f'lmf_cuda_generate("{archs}" out)', ["out"], tmp_path)
    assert "=" + flags.replace("arch=", "--generate-code=arch=") + "=" in answer.stdout


def test_no_source_tells_compute_capabilities_8_x_apart():
    """Their machine code comes from one PTX."""
    conditions = {line.strip() for path in SOURCE.parents[1].rglob("*") if path.suffix in (".h", ".cu", ".cpp")
                  for line in path.read_text().splitlines() if "__CUDA_ARCH" in line and line.startswith("#")}
    assert conditions == {"#ifdef __CUDA_ARCH_FEAT_SM90_ALL", "#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 1000",
                          "#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000"}
