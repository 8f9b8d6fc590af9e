"""The CUDA kernels as machine code, without a GPU: the installed module holds what it says, no kernel has spilled
registers or other local memory on any architecture, and those for tensor cores use them.

bench/sass.py reads the machine code, which needs cuobjdump: the CUDA toolkit's or that in Triton's wheel. In .ci/run
nvcc takes all warnings for errors, spilled registers among them.
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
MMA = {"modulated_mlp": "modulated_mlp_kernel<", "plain_mlp": "mma_kernel<.*, PlainArguments>",
       "c2f_mlp": "mma_kernel<.*, C2fArguments>"}  # how the names of a family's kernels begin
STRICT = ("--Werror=all-warnings", "-Xptxas=-warn-spills,-Werror")
TENSOR_CORES = re.compile(r"\bB?F16\b")  # in the name of each kernel whose operands are halves


def facts():
    """build_info() of the installed _cuda, or a skip."""
    build = build_info.inspect_module("_cuda")
    if build.reason:
        pytest.skip(build.reason)
    return build.facts


def compiled_for_90a(source, folder):
    """What bench/sass.py says of the kernels of one source for sm_90a, or a skip. All of nvcc's warnings are errors; it
    says of wgmma that it serialises in other messages."""
    told, cubin = facts(), folder / "kernels.cubin"
    nvcc = which(told["nvcc_path"]) or which("nvcc")
    if nvcc is None:
        pytest.skip("needs nvcc")
    done = subprocess.run([nvcc, *told["cuda_flags"].split(), *STRICT, "-arch=sm_90a", "-cubin", "-o", cubin,
                           ROOT / "csrc" / "cuda" / source], capture_output=True, text=True)
    assert done.returncode == 0 and not re.search(r"\bC75\d\d\b|serializ", done.stdout + done.stderr), done.stderr
    return read(cubin)["kernels"]


def read(file):
    """What bench/sass.py says of a file, or a skip."""
    done = subprocess.run([sys.executable, "-m", "bench.sass", "--json", file], cwd=ROOT, capture_output=True,
                          text=True)
    if "cuobjdump is not here" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@cache
def installed():
    """(the installed module's file, what bench/sass.py says of it), or a skip."""
    facts()
    module = Path(util.find_spec("lmf_kernels._cuda").origin)
    return module, read(module)


@pytest.fixture(params=PROMISED)
def kernels(request):
    """The installed module's kernels for an architecture. Those for sm_90a are for it too."""
    name = f"sm_{request.param}"
    if not {name, f"{name}a"} & set(facts()["architectures"]):
        pytest.skip(f"the installed module was not built for {name}")
    return [kernel for kernel in installed()[1]["kernels"] if kernel["architecture"].rstrip("a") == name]


def test_every_source_is_built():
    there = {str(path.relative_to(ROOT)) for path in (ROOT / "csrc" / "cuda").glob("*.cu")}
    assert set(facts()["cuda_sources"]) == there


def test_no_kernel_has_local_memory(kernels):
    """Spilled registers would be there."""
    assert kernels
    for kernel in kernels:
        assert kernel["stack"] == kernel["opcodes"].get("LDL", 0) == kernel["opcodes"].get("STL", 0) == 0, kernel


@pytest.mark.parametrize("family", MMA)
def test_kernels_whose_operands_are_halves_use_tensor_cores_and_others_do_not(kernels, family):
    kernels = [kernel for kernel in kernels if re.match(MMA[family], kernel["kernel"])]
    tensor = [kernel for kernel in kernels if TENSOR_CORES.search(kernel["kernel"])]
    float32 = [kernel for kernel in kernels if kernel not in tensor]
    assert tensor and bool(float32) == (family == "modulated_mlp")
    for kernel in tensor:
        assert kernel["opcodes"].get("HMMA", 0) > 0, kernel
    for kernel in float32:
        assert "HMMA" not in kernel["opcodes"] and kernel["opcodes"]["FFMA"] > 0, kernel


def test_the_packing_kernels_use_no_tensor_cores(kernels):
    kernels = [kernel for kernel in kernels if kernel["kernel"].startswith("dense_pack_kernel<")]
    assert len(kernels) == 2
    for kernel in kernels:
        assert "HMMA" not in kernel["opcodes"], kernel


@pytest.mark.parametrize("family", ["plain_mlp", "c2f_mlp"])
def test_the_warpgroup_kernels_keep_to_their_registers(family, tmp_path):
    """For sm_90a: wgmma, no local memory, no serialised product, and no register beyond the 240 that a consumer takes,
    which its launch bounds do not show."""
    kernels = [kernel for kernel in compiled_for_90a(f"{family}.cu", tmp_path)
               if kernel["kernel"].startswith("group_kernel")]
    assert len(kernels) == 4
    for kernel in kernels:
        opcodes = kernel["opcodes"]
        assert opcodes["HGMMA"] == (16 if family == "plain_mlp" else 48) and opcodes["UBLKCP"] > 0, kernel
        assert kernel["stack"] == opcodes.get("LDL", 0) == opcodes.get("STL", 0) == 0, kernel
        assert kernel["highest_register"] < 240, kernel


def test_the_tile_of_the_self_test_is_of_wgmma(tmp_path):
    tiles = [kernel for kernel in compiled_for_90a("group_tile.cu", tmp_path)
             if kernel["kernel"].startswith("group_tile_kernel")]
    assert len(tiles) == 2
    for kernel in tiles:
        opcodes = kernel["opcodes"]
        assert opcodes["HGMMA"] == 2 and opcodes["UBLKCP"] > 0 and kernel["stack"] == 0, kernel


def test_module_holds_the_architectures_that_it_names():
    told = facts()
    module, answer = installed()
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
