"""The compiled modules that this environment has, and what they say of themselves."""

import importlib
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lmf_kernels import build_info

COMMON = {"version", "compiler", "compiler_path", "build_type", "processor", "sources"}
KEYS = {
    "_cpu": COMMON | {"isa_flags", "isa_sources", "openmp"},
    "_cuda": COMMON | {"nvcc", "nvcc_path", "cuda_flags", "cuda_sources", "architectures"},
}
HERE = Path(build_info.__file__).parent


def built(name):
    """The imported module, or a skip where this environment may lack it (_cpu and a demanded _cuda it may not)."""
    build = build_info.inspect_module(name)
    if name == "_cuda" and build.reason and os.environ.get("LMF_BUILD_CUDA", "").upper() != "ON":
        pytest.skip(build.reason)
    assert not build.reason, build.reason
    return importlib.import_module(f"lmf_kernels.{name}")


@pytest.mark.parametrize("name", build_info.MODULES)
def test_module_tells_its_build(name):
    facts = built(name).build_info()
    assert set(facts) == KEYS[name]
    assert facts["version"] == build_info.version().partition("+")[0], "not of the version installed: install again"
    assert facts["compiler"] and facts["build_type"] and facts["processor"]


def test_instruction_sets_are_flagged_and_dispatched():
    cpu = built("_cpu")
    flags = cpu.build_info()["isa_flags"]
    assert set(cpu.isas()) == set(flags), "the dispatch table and the build disagree"
    assert "-march" not in flags["baseline"]
    for isa, march in {"avx2": "-march=x86-64-v3", "avx512": "-march=x86-64-v4"}.items():
        if isa in flags:
            assert march in flags[isa].split() and f"-DLMF_ISA={isa}" in flags[isa].split()
    for text in flags.values():
        assert {"-O3", "-ffp-contract=off", "-fno-math-errno"} <= set(text.split())
        assert "-ffast-math" not in text and "-Ofast" not in text


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64") or not Path("/proc/cpuinfo").exists(),
                    reason="needs an x86-64 processor and Linux")
def test_every_instruction_set_of_this_processor_is_built_and_usable():
    """Else the tests that run over all of them would run over fewer, and pass."""
    has = set(re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE).group(1).split())
    avx2 = {"avx2", "fma", "bmi2"} <= has
    avx512 = avx2 and {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"} <= has
    assert built("_cpu").isas() == {"avx512": avx512, "avx2": avx2, "baseline": True}


def test_cuda_module_imports_and_answers_without_a_driver():
    report = built("_cuda").device_info()
    assert set(report) == {"count", "devices", "reason", "driver_version", "runtime_version"}
    assert report["count"] == len(report["devices"])
    assert report["runtime_version"] >= 11000
    if report["count"] == 0:
        assert report["reason"]
    for device in report["devices"]:
        assert device["name"] and len(device["capability"]) == 2 and device["total_memory"] > 0


def test_cuda_module_names_its_architectures():
    names = built("_cuda").build_info()["architectures"]
    assert names and all(name.startswith(("sm_", "compute_")) for name in names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", build_info.MODULES)
def test_module_shows_one_symbol_and_needs_no_torch(name):
    tools = [shutil.which("nm"), shutil.which("readelf")]
    if platform.system() != "Linux" or None in tools:
        pytest.skip("needs nm and readelf on Linux")
    file = built(name).__file__
    symbols = subprocess.run([tools[0], "-D", "--defined-only", file], capture_output=True, text=True, check=True)
    assert [line.split()[-1] for line in symbols.stdout.splitlines()] == [f"PyInit_{name}"]
    dynamic = subprocess.run([tools[1], "-d", file], capture_output=True, text=True, check=True).stdout
    needed = [line.split("[")[1].rstrip("]") for line in dynamic.splitlines() if "(NEEDED)" in line]
    foreign = [lib for lib in needed if lib.startswith(("libtorch", "libc10", "libcuda", "libcudart", "libpython"))]
    assert needed and not foreign


def test_absent_module_is_told_with_its_reason(monkeypatch):
    monkeypatch.setitem(build_info.MODULES, "_nowhere", "install it")
    build = build_info.inspect_module("_nowhere")
    assert build.reason == f"not built in {HERE}: install it" and build.facts == {}


def test_module_that_does_not_load_is_told_with_its_reason(monkeypatch):
    def refuse(name):
        raise ImportError("libfoo.so: cannot open shared object file")

    monkeypatch.setattr(build_info, "import_module", refuse)
    monkeypatch.setattr(build_info.util, "find_spec", lambda name: object())
    assert "libfoo.so" in build_info.inspect_module("_cpu").reason
    assert build_info.cuda_devices()["count"] == 0 and "libfoo.so" in build_info.cuda_devices()["reason"]
    text = "\n".join(build_info.lines())
    assert "_cpu: built, but it does not import: libfoo.so" in text


def test_lines_name_both_modules():
    text = build_info.lines()
    assert build_info.version() in text[0]
    for name in build_info.MODULES:
        assert any(line.startswith(f"{name}: ") for line in text)


def test_cuda_version_words():
    assert [build_info.cuda_version(n) for n in (0, 11080, 12040, 13000)] == ["none", "11.8", "12.4", "13.0"]


def test_reading_the_facts_needs_no_torch():
    script = ("import importlib.util as u, sys; s = u.spec_from_file_location('build_info', sys.argv[1]); "
              "m = u.module_from_spec(s); sys.modules['build_info'] = m; s.loader.exec_module(m); m.version(); "
              "sys.exit('torch' in sys.modules)")
    subprocess.run([sys.executable, "-I", "-c", script, build_info.__file__], check=True)
