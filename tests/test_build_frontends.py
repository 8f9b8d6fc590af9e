"""Every way to build and install, for real, in fresh environments: `pytest -m slow tests/test_build_frontends.py`.

Each test works on a copy of the sources. Runtime dependencies are left out (--no-deps): building needs no torch.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[1]
NVCC = shutil.which("nvcc")
needs_nvcc = pytest.mark.skipif(not NVCC, reason="needs nvcc")
# Loads the modules from their files: importing the package would need torch, which these environments do not have.
FACTS = """
import importlib.machinery as machinery, importlib.util as util, json, sys
def facts(name):
    package = util.find_spec("lmf_kernels")
    spec = machinery.PathFinder.find_spec("lmf_kernels." + name, package.submodule_search_locations)
    if spec is None:
        return None
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build_info()
version = __import__("importlib.metadata").metadata.version("lmf_kernels")
print(json.dumps({"version": version} | {name: facts(name) for name in ("_cpu", "_cuda")}))
"""


def run(*command, cwd, env=None, check=True):
    done = subprocess.run(command, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert not check or done.returncode == 0, done.stdout[-6000:]
    return done


def environment(**changes):
    """This process's variables without our own build settings, and with `changes`."""
    ours = ("LMF_", "TORCH_CUDA", "CMAKE_", "CUDACXX", "PYTHONPATH")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | changes


def without_nvcc():
    folders = [f for f in os.environ["PATH"].split(os.pathsep) if not (Path(f) / "nvcc").exists()]
    env = environment(PATH=os.pathsep.join(folders))
    if shutil.which("c++", path=env["PATH"]) is None:
        pytest.skip("the compiler lies in the same folder as nvcc")
    return {name: value for name, value in env.items() if name not in ("CUDA_HOME", "CUDA_PATH")}


@pytest.fixture
def sources(tmp_path):
    """A copy of the sources as a clone has them: nothing built."""
    copy = tmp_path / "sources"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(
        ".git", ".venv", "build", "dist", "*.egg-info", "*.so", "__pycache__", ".pytest_cache"))
    return copy


@pytest.fixture
def python(tmp_path):
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    return tmp_path / "venv" / "bin" / "python"


def installed_facts(python, tmp_path):
    return json.loads(run(python, "-I", "-c", FACTS, cwd=tmp_path).stdout)


def pip_install(python, sources, *options, env=None, check=True):
    return run(python, "-m", "pip", "install", "--no-deps", *options, cwd=sources, env=env or environment(),
               check=check)


def add_build_tools(python, tmp_path):
    run(python, "-m", "pip", "install", "-U", "setuptools", "pybind11", cwd=tmp_path)


@pytest.mark.parametrize("options", [(".",), ("-e", "."), ("--no-build-isolation", "."),
                                     ("--no-build-isolation", "-e", ".")], ids=" ".join)
def test_install(options, sources, python, tmp_path):
    if "--no-build-isolation" in options:
        add_build_tools(python, tmp_path)
    pip_install(python, sources, *options)
    facts = installed_facts(python, tmp_path)
    assert facts["_cpu"]["isa_sources"]
    assert (facts["_cuda"] is not None) == bool(NVCC)
    assert (tmp_path / "venv" / "bin" / "lmf-kernels").exists()
    if "-e" in options:  # a second install with other settings must not leave the first one's module behind
        pip_install(python, sources, *options, env=environment(LMF_BUILD_CUDA="OFF"))
        assert installed_facts(python, tmp_path)["_cuda"] is None


def test_sdist_is_complete_and_makes_the_same_wheel(sources, python, tmp_path):
    add_build_tools(python, tmp_path)
    run(python, "-m", "pip", "install", "build", cwd=tmp_path)
    run(python, "-m", "build", "--outdir", tmp_path / "dist", cwd=sources, env=environment())
    (sdist,), (wheel,) = (tmp_path / "dist").glob("*.tar.gz"), (tmp_path / "dist").glob("*.whl")
    with tarfile.open(sdist) as archive:
        inside = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    for folder in ("csrc", "lmf_kernels", "python_ref", "tests", "bench"):
        wanted = {str(p.relative_to(sources)) for p in (sources / folder).rglob("*") if p.is_file()
                  and p.suffix not in (".so", ".pyc")}
        assert wanted <= inside, sorted(wanted - inside)
    assert not [name for name in inside if name.endswith((".so", ".pyc"))]
    packed = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in packed if name.startswith(("tests/", "bench/", "csrc/", "build/"))]
    # pip takes an sdist from an index only if what it makes has the version that its name says
    assert sdist.name == f"lmf_kernels-{wheel.name.split('-')[1]}.tar.gz"
    pip_install(python, tmp_path, "--no-index", "--no-build-isolation", "--find-links", tmp_path / "dist",
                "--no-binary", ":all:", "lmf-kernels")
    pip_install(python, tmp_path, "--force-reinstall", wheel)
    assert installed_facts(python, tmp_path)["_cpu"]


def test_wheel_without_nvcc_has_no_cuda_even_after_one_with_it(sources, tmp_path):
    for env, cuda in ((environment(), bool(NVCC)), (without_nvcc(), False)):
        out = tmp_path / f"dist{cuda}"
        run(sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "-w", out, cwd=sources, env=env)
        packed = zipfile.ZipFile(next(out.glob("*.whl"))).namelist()
        assert any("_cuda." in name for name in packed) == cuda
        assert any("_cpu." in name for name in packed)


@pytest.mark.parametrize("changes, said", [
    ({"LMF_BUILD_CUDA": "ON"}, "LMF_BUILD_CUDA is ON but no nvcc was found"),
    ({"CMAKE_ARGS": "-DLMF_BUILD_CUDA=ON"}, "LMF_BUILD_CUDA is ON but no nvcc was found"),
    ({"LMF_BUILD_CUDA": "maybe"}, 'LMF_BUILD_CUDA is "maybe". Set it to AUTO, ON or OFF'),
])
def test_wish_that_cannot_be_met_is_an_error(changes, said, sources, python):
    done = pip_install(python, sources, ".", env=without_nvcc() | changes, check=False)
    assert done.returncode != 0
    assert said in " ".join(done.stdout.split())
    assert "Traceback" not in done.stdout


@needs_nvcc
@pytest.mark.parametrize("changes, names, local", [
    ({"LMF_CUDA_ARCHS": "90"}, ["sm_90"], ".sm90"),
    ({"TORCH_CUDA_ARCH_LIST": "8.0 9.0+PTX"}, ["sm_80", "sm_90", "compute_90"], ".sm80.sm90.ptx90"),
    ({"LMF_CUDA_ARCHS": "90", "TORCH_CUDA_ARCH_LIST": "8.0"}, ["sm_90"], ".sm90"),
    ({"CMAKE_ARGS": "-DLMF_CUDA_ARCHS=80;90 -DLMF_BUILD_CUDA=ON"}, ["sm_80", "sm_90"], ".sm80.sm90"),
    ({"LMF_BUILD_CUDA": "OFF"}, None, None),
])
def test_cuda_settings(changes, names, local, sources, python, tmp_path):
    said = pip_install(python, sources, "-v", ".", env=environment(**changes)).stdout
    announced, begun = said.find("compiling GPU code by nvcc"), said.find("--build")
    assert (0 <= announced < begun) == bool(names), "said before anything is compiled, if there is anything to say"
    facts = installed_facts(python, tmp_path)
    assert (facts["_cuda"] and facts["_cuda"]["architectures"]) == names
    public, _, tag = facts["version"].partition("+")
    assert public == facts["_cpu"]["version"]
    assert tag == (local and cuda_tag(facts["_cuda"]) + local or "")


def cuda_tag(facts):
    """"cu130" of a module that nvcc 13.0 made."""
    return "cu" + "".join(facts["nvcc"].split(".")[:2])


@needs_nvcc
@pytest.mark.parametrize("changes, local, names, limit", [
    ({"LMF_CUDA_ARCHS": "90"}, ".sm90", ["sm_90"], 5e6), ({}, "", None, 30e6)], ids=["slim", "fat"])
def test_wheel_by_architecture(changes, local, names, limit, sources, python, tmp_path):
    """Named by CUDA and architectures, small, nothing bundled, and both modules import in a fresh environment."""
    run(sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "-w", tmp_path, cwd=sources,
        env=environment(**changes))
    (wheel,) = tmp_path.glob("*.whl")
    pip_install(python, tmp_path, wheel)
    facts = installed_facts(python, tmp_path)
    tag = cuda_tag(facts["_cuda"]) + local
    assert wheel.name.split("-")[1] == facts["version"] and facts["version"].endswith(f"+{tag}")
    held = facts["_cuda"]["architectures"]
    assert held == names if names else len(held) > 2 and held[-1].startswith("compute_")
    (module,) = [entry for entry in zipfile.ZipFile(wheel).infolist() if "_cuda." in entry.filename]
    assert module.file_size < limit
    libraries = [name for name in zipfile.ZipFile(wheel).namelist() if ".so" in name]
    assert len(libraries) == 2, libraries
    run(python, "-m", "pip", "install", "auditwheel", cwd=tmp_path)
    said = run(python, "-m", "auditwheel", "show", wheel, cwd=tmp_path).stdout
    assert "manylinux" in said and "libcuda" not in said and "libtorch" not in said, said
    # The libraries that it does need stand in this process's environment; only lmf_kernels is the wheel's.
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    (site / "rest.pth").write_text(sysconfig.get_path("purelib"))
    run(python, "-I", "-c", f"import lmf_kernels._cpu as m, lmf_kernels._cuda; assert {str(site)!r} in m.__file__",
        cwd=tmp_path)


@needs_nvcc
def test_older_architecture_is_refused_in_a_sentence(sources, python):
    done = pip_install(python, sources, ".", env=environment(TORCH_CUDA_ARCH_LIST="7.5;8.0"), check=False)
    assert done.returncode != 0 and "Traceback" not in done.stdout
    assert 'The kernels need GPU architecture 80 or newer, but "7.5" is older' in " ".join(done.stdout.split())


def test_without_openmp_it_builds_for_one_thread(sources, python, tmp_path):
    pip_install(python, sources, ".", env=environment(CMAKE_ARGS="-DCMAKE_DISABLE_FIND_PACKAGE_OpenMP=ON",
                                                      LMF_BUILD_CUDA="OFF"))
    assert installed_facts(python, tmp_path)["_cpu"]["openmp"] == ""


def test_missing_build_tools_are_named(sources, python, tmp_path):
    run(python, "-m", "pip", "install", "-U", "setuptools", cwd=tmp_path)
    done = pip_install(python, sources, "--no-build-isolation", ".", check=False)
    assert done.returncode != 0 and "pybind11 is needed" in done.stdout
