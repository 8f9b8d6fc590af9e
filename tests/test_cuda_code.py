"""The CUDA kernels as machine code, without a GPU: every promised architecture compiles without spilling registers,
tensor-core kernels use tensor cores and no local memory, and the installed module holds what it says.

nvcc compiles with the flags of the installed module. The machine code is read by bench/sass.py, which needs cuobjdump:
the CUDA toolkit's or that in Triton's wheel.
"""

import json
import os
import re
import subprocess
import sys
from functools import cache
from importlib import util
from pathlib import Path
from shutil import which

import pytest

from lmf_kernels import build_info

ROOT = Path(__file__).resolve().parents[1]
PROMISED = ("80", "86", "89", "90", "100", "120")
FEWER = {"c2f_mlp": ("80",)}  # each takes ten seconds or more: the other architectures are a slow test
STRICT = ("--Werror=all-warnings", "-Xptxas=-warn-spills,-Werror")
TENSOR_CORES = re.compile(r"\bB?F16\b")  # in the name of each kernel whose operands are halves


def facts():
    """build_info() of the installed _cuda, or a skip."""
    build = build_info.inspect_module("_cuda")
    if build.reason:
        pytest.skip(build.reason)
    return build.facts


@cache
def known_to(nvcc):
    """What nvcc compiles for, as numbers."""
    said = subprocess.run([nvcc, "--list-gpu-code"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"sm_(\w+)", said)


def compile_for(arch, source, out, told, nvcc):
    """nvcc's CompletedProcess: one source for one architecture, warnings being errors."""
    return subprocess.run([nvcc, *told["cuda_flags"].split(), *STRICT, f"-arch=sm_{arch}", "-cubin", "-o", out,
                           ROOT / source], capture_output=True, text=True)


def compiler(arch):
    """(build facts, nvcc) where it knows the architecture, or a skip."""
    told = facts()
    nvcc = which(told["nvcc_path"]) or which("nvcc")
    if nvcc is None:
        pytest.skip("needs nvcc")
    if arch not in known_to(nvcc):
        pytest.skip(f"this nvcc does not know {arch}; it knows {' '.join(known_to(nvcc))}")
    return told, nvcc


@pytest.fixture(scope="module", params=PROMISED)
def compiled(request, tmp_path_factory):
    """What nvcc makes of every family for one architecture, warnings being errors: (architecture, {family: file},
    what nvcc said of those that it refused)."""
    arch = request.param
    told, nvcc = compiler(arch)
    folder, made, refused = tmp_path_factory.mktemp(f"sm_{arch}"), {}, ""
    for source in told["cuda_sources"]:
        if arch not in FEWER.get(Path(source).stem, PROMISED):
            continue
        out = folder / f"{Path(source).stem}.cubin"
        done = compile_for(arch, source, out, told, nvcc)
        if done.returncode:
            refused += done.stderr
        else:
            made[Path(source).stem] = out
    return f"sm_{arch}", made, refused


def read(*files):
    """What bench/sass.py says of the files, or a skip."""
    done = subprocess.run([sys.executable, "-m", "bench.sass", "--json", *files], cwd=ROOT, capture_output=True,
                          text=True)
    if "cuobjdump is not here" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_source_is_built():
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "csrc" / "cuda").glob("*.cu")}
    assert set(facts()["cuda_sources"]) == there


def test_every_promised_architecture_compiles_without_spills(compiled):
    architecture, made, refused = compiled
    assert made and not refused, f"{architecture}: {refused}"


@pytest.mark.parametrize("family", ["modulated_mlp", "plain_mlp", "c2f_mlp"])
def test_tensor_core_kernels_use_tensor_cores_and_no_local_memory(compiled, family):
    architecture, made, refused = compiled
    if architecture.removeprefix("sm_") not in FEWER.get(family, PROMISED):
        pytest.skip("in the slow test of the other architectures")
    assert family in made, refused
    check_tensor_cores(family, architecture, made[family])


@pytest.mark.slow
@pytest.mark.parametrize("family, arch", [(family, arch) for family, few in FEWER.items() for arch in PROMISED
                                          if arch not in few])
def test_the_other_architectures(family, arch, tmp_path):
    cubin = tmp_path / f"{family}.cubin"
    done = compile_for(arch, f"csrc/cuda/{family}.cu", cubin, *compiler(arch))
    assert done.returncode == 0, done.stderr
    check_tensor_cores(family, f"sm_{arch}", cubin)


def check_tensor_cores(family, architecture, file):
    """Kernels whose operands are halves use tensor cores and no local memory, others do not use tensor cores."""
    kernels = read(file)["kernels"]
    assert {kernel["architecture"] for kernel in kernels} == {architecture}
    kernels = [kernel for kernel in kernels if not kernel["kernel"].startswith("group_kernel")]  # empty: for sm_90a
    tensor = [kernel for kernel in kernels if TENSOR_CORES.search(kernel["kernel"])]
    float32 = [kernel for kernel in kernels if kernel not in tensor]
    assert tensor and bool(float32) == (family == "modulated_mlp")
    for kernel in tensor:
        opcodes = kernel["opcodes"]
        assert opcodes.get("HMMA", 0) > 0, kernel
        assert kernel["stack"] == opcodes.get("LDL", 0) == opcodes.get("STL", 0) == 0, kernel
    for kernel in float32:
        assert "HMMA" not in kernel["opcodes"] and kernel["opcodes"]["FFMA"] > 0, kernel


def test_the_packing_kernels_need_no_stack(compiled):
    architecture, made, refused = compiled
    kernels = read(made["dense_pack"])["kernels"]
    assert len(kernels) == 2 and {kernel["architecture"] for kernel in kernels} == {architecture}
    for kernel in kernels:
        assert kernel["stack"] == 0 and "HMMA" not in kernel["opcodes"], kernel


@pytest.mark.parametrize("family", ["plain_mlp", "c2f_mlp"])
def test_the_warpgroup_kernels_keep_to_their_registers(family, tmp_path):
    """For sm_90a: wgmma, no local memory, no serialised product (nvcc says so in a warning), and no register beyond the
    240 that a consumer takes, which its launch bounds do not show."""
    cubin = tmp_path / f"{family}.cubin"
    done = compile_for("90a", f"csrc/cuda/{family}.cu", cubin, *compiler("90"))
    assert done.returncode == 0 and not re.search(r"\bC75\d\d\b|serializ", done.stdout + done.stderr), done.stderr
    kernels = [kernel for kernel in read(cubin)["kernels"] if kernel["kernel"].startswith("group_kernel")]
    assert len(kernels) == 4
    for kernel in kernels:
        opcodes = kernel["opcodes"]
        assert opcodes["HGMMA"] == (16 if family == "plain_mlp" else 48) and opcodes["UBLKCP"] > 0, kernel
        assert kernel["stack"] == opcodes.get("LDL", 0) == opcodes.get("STL", 0) == 0, kernel
        assert kernel["highest_register"] < 240, kernel


def test_the_tile_of_the_self_test_is_of_wgmma(tmp_path):
    cubin = tmp_path / "group_tile.cubin"
    done = compile_for("90a", "csrc/cuda/group_tile.cu", cubin, *compiler("90"))
    assert done.returncode == 0 and not re.search(r"\bC75\d\d\b|serializ", done.stdout + done.stderr), done.stderr
    tiles = [kernel for kernel in read(cubin)["kernels"] if kernel["kernel"].startswith("group_tile_kernel")]
    assert len(tiles) == 2
    for kernel in tiles:
        opcodes = kernel["opcodes"]
        assert opcodes["HGMMA"] == 2 and opcodes["UBLKCP"] > 0 and kernel["stack"] == 0, kernel


def test_module_holds_the_architectures_that_it_names():
    told = facts()
    module = Path(util.find_spec("lmf_kernels._cuda").origin)
    answer = read(module)
    assert answer["architectures"] == {str(module): sorted(told["architectures"])}
    machine_code = {name for name in told["architectures"] if name.startswith("sm_")}
    by_kernel: dict[str, set] = {}
    for kernel in answer["kernels"]:
        by_kernel.setdefault(kernel["kernel"], set()).add(kernel["architecture"])
    exact = {name.rstrip("a"): name for name in machine_code if name.endswith("a")}  # of the 256-wide families
    for kernel, held in by_kernel.items():
        plain = {name.rstrip("a") for name in machine_code}
        expected = {exact.get(name, name) for name in plain} if "Arguments>" in kernel else plain
        if kernel.startswith("group_tile"):
            expected = set(exact.values()) or {min(plain, key=lambda name: int(name.removeprefix("sm_")))}
        assert held == expected, (kernel, held)


def test_modules_import_where_no_gpu_is_seen_and_say_so():
    facts()
    script = ("import lmf_kernels._cpu, lmf_kernels._cuda\n"
              "from lmf_kernels import build_info\n"
              "from lmf_kernels.backends import cuda\n"
              "report = build_info.cuda_devices()\n"
              "assert report['count'] == 0 and report['reason'], report\n"
              "available, detail = cuda.backend.availability()\n"
              "assert not available and report['reason'] in detail, detail\n"
              "assert any(line.startswith('GPU: ') for line in build_info.lines())\n"
              "for dtype, wrong in (('float32', ValueError), ('bfloat16', RuntimeError)):\n"
              "    try:\n"
              "        lmf_kernels._cuda.mma_rate(dtype, 0.1, 0)\n"
              "    except wrong as error:\n"
              "        assert 'float32' in str(error) or 'cudaError' in str(error), error\n"
              "    else:\n"
              "        raise AssertionError(dtype)\n")
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True,
                          env=os.environ | {"CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 0, done.stderr
