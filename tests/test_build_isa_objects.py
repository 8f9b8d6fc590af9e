"""Code compiled for AVX must not reach the rest of the module.

A weak (inline, template) function in such an object may be the copy that the linker keeps for everybody; on a machine
without AVX-512 the whole module then dies of an illegal instruction. So the per-instruction-set sources are compiled
again here with the flags of the installed module, and their symbols read.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from lmf_kernels import build_info

# Data, not code: the address of the C++ exception handler, there wherever an object has something to clean up.
HARMLESS = {"DW.ref.__gxx_personality_v0"}
ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("isa", ["avx2", "avx512"])
def test_objects_define_only_their_own_namespace(isa, tmp_path):
    build = build_info.inspect_module("_cpu")
    assert not build.reason, build.reason
    facts = build.facts
    nm, compiler = shutil.which("nm"), shutil.which(facts["compiler_path"])
    if not nm or not compiler or isa not in facts["isa_flags"]:
        pytest.skip(f"needs nm, the compiler that built _cpu, and its {isa} flags")
    assert facts["isa_sources"]
    for source in facts["isa_sources"]:
        made = tmp_path / "kernel.o"
        subprocess.run([compiler, *facts["isa_flags"][isa].split(), "-c", ROOT / source, "-o", made], check=True)
        listed = subprocess.run([nm, "-C", "--defined-only", made], capture_output=True, text=True, check=True).stdout
        symbols = [line.split(maxsplit=2)[1:] for line in listed.splitlines()]
        shared = [name for kind, name in symbols if kind in "WwVvu" and name not in HARMLESS]
        assert not shared, f"{source} for {isa} defines symbols that other objects may use"
        outside = [name for kind, name in symbols if kind in "TDBRG" and f"lmf::{isa}::" not in name]
        assert not outside, f"{source} for {isa} defines symbols outside lmf::{isa}"
        assert any(kind == "T" for kind, _ in symbols)
