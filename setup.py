"""Builds the compiled modules `lmf_kernels._cpu` and `lmf_kernels._cuda` by driving CMakeLists.txt.

Read from the environment: CMAKE_ARGS (passed on to CMake), LMF_BUILD_CUDA (AUTO, ON or OFF), LMF_CUDA_ARCHS and
TORCH_CUDA_ARCH_LIST (GPU architectures), CMAKE_BUILD_PARALLEL_LEVEL (compile jobs). The version stands in
CMakeLists.txt, which also knows what a wheel with CUDA adds to it; everything else stands in pyproject.toml.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
CMAKE_AT_LEAST = (3, 20)
NAMING_COMMANDS = {"dist_info", "bdist_wheel", "editable_wheel", "install", "develop"}  # those that name what is built


def fail(message):
    """Ends the build with one sentence instead of a traceback."""
    raise SystemExit(f"lmf_kernels: {message}")


def usable_cmake():
    """Path of the first cmake on PATH, None where there is none or it is too old."""
    cmake = shutil.which("cmake")
    if cmake is None:
        return None
    said = subprocess.run([cmake, "--version"], capture_output=True, text=True).stdout
    version = re.search(r"version (\d+)\.(\d+)", said)
    return cmake if version and tuple(map(int, version.groups())) >= CMAKE_AT_LEAST else None


def missing_tools():
    """What an isolated build must add to its environment. The front-end asks through the egg_info command; in every
    other command setuptools would download these by itself, which no build of ours may do."""
    if "egg_info" not in sys.argv:
        return []
    tools = [] if usable_cmake() else [f"cmake>={'.'.join(map(str, CMAKE_AT_LEAST))}"]
    return tools if shutil.which("ninja") or shutil.which("make") else tools + ["ninja"]


def needed_cmake():
    """Path of a usable cmake; ends the build where there is none."""
    return usable_cmake() or fail(
        f"CMake {CMAKE_AT_LEAST[0]}.{CMAKE_AT_LEAST[1]} or newer is needed and not on PATH; install it, "
        "for example with `pip install cmake ninja`.")


def generator():
    """The build program's path and the name of CMake's generator for it."""
    ninja = shutil.which("ninja")
    return (ninja, "Ninja") if ninja else (shutil.which("make") or "make", "Unix Makefiles")


def cmake_options(*more):
    """What every CMake run is told. Each is named in every run, so that a kept folder never remembers an earlier
    answer; CMAKE_ARGS comes last and wins."""
    program, name = generator()
    given = os.environ.get
    return [
        "-G", name,
        f"-DCMAKE_MAKE_PROGRAM={program}",
        "-DCMAKE_BUILD_TYPE=Release",
        f"-DLMF_BUILD_CUDA={given('LMF_BUILD_CUDA', '') or 'AUTO'}",
        f"-DLMF_CUDA_ARCHS={given('LMF_CUDA_ARCHS', '') or given('TORCH_CUDA_ARCH_LIST', '')}",
        *more,
        *shlex.split(given("CMAKE_ARGS", "")),
    ]


def run_step(name, *command):
    """Runs one CMake command, its output shown; ends the build where it fails."""
    print("+", shlex.join(map(str, command)), flush=True)
    status = subprocess.run([str(word) for word in command]).returncode
    if status:
        fail(f"the CMake {name} step failed with status {status}; its own message stands above.")


def announce_cuda(plan):
    """Says that the build will take a while, and how it need not. plan: "nvcc 13.0 for sm_90", "" without CUDA."""
    if plan:
        print(f"lmf_kernels: compiling GPU code by {plan}, which can take minutes; LMF_BUILD_CUDA=OFF leaves it out, "
              "LMF_CUDA_ARCHS=90 (say) compiles for one architecture alone.", file=sys.stderr, flush=True)


def version():
    """"0.1.0", or "0.1.0+cu130.sm90" where a build with CUDA is named. What is made from an sdist has the sdist's own
    version: pip compares the two and refuses any other."""
    text = (ROOT / "CMakeLists.txt").read_text()
    public = re.search(r"^project\(lmf_kernels VERSION ([\d.]+)", text, re.MULTILINE).group(1)
    if (ROOT / "PKG-INFO").exists() or not NAMING_COMMANDS & set(sys.argv):
        return public
    with tempfile.TemporaryDirectory() as folder:
        run_step("decide", needed_cmake(), "-S", ROOT, "-B", folder, *cmake_options("-DLMF_DECIDE_ONLY=ON"))
        local = (Path(folder) / "local_version.txt").read_text()
    return f"{public}+{local}" if local else public


class FreshBuild(build):
    """Empties build/lib first: setuptools would pack what an earlier build with other options left there."""

    def run(self):
        if Path(self.build_base).resolve() in Path(self.build_lib).resolve().parents:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()


class CMakeBuild(build_ext):
    """One CMake run makes every extension; a module that CMake was told to leave out is simply not there."""

    def build_extensions(self):
        cmake = needed_cmake()
        build_dir = self._build_dir()
        jobs = os.environ.get("CMAKE_BUILD_PARALLEL_LEVEL") or os.cpu_count() or 1
        run_step("configure", cmake, "-S", ROOT, "-B", build_dir, *self._options())
        announce_cuda((build_dir / "cuda_plan.txt").read_text())
        run_step("build", cmake, "--build", build_dir, "--config", "Release", "--parallel", jobs)
        run_step("install", cmake, "--install", build_dir, "--config", "Release", "--prefix",
                 Path(self.build_lib).resolve())
        self._drop_stale_modules()

    def _build_dir(self):
        """CMake's folder: kept between editable installs (a rebuild takes seconds), fresh for every wheel."""
        kept = self.inplace or self.editable_mode
        parent = ROOT / "build" if kept else Path(self.build_temp)
        build_dir = parent.resolve() / f"cmake-{sys.implementation.cache_tag}"
        cache = build_dir / "CMakeCache.txt"
        text = cache.read_text(errors="replace") if cache.is_file() else ""
        same = (f"CMAKE_HOME_DIRECTORY:INTERNAL={ROOT}\n", f"CMAKE_GENERATOR:INTERNAL={generator()[1]}\n")
        if not kept or not all(line in text for line in same):
            shutil.rmtree(build_dir, ignore_errors=True)
        return build_dir

    @staticmethod
    def _options():
        try:
            import pybind11
        except ImportError:
            fail("pybind11 is needed to build without build isolation; install it with `pip install pybind11`.")
        return cmake_options(f"-DPython_EXECUTABLE={sys.executable}", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}")

    def _drop_stale_modules(self):
        """An editable install copies modules into the source folder: one left out now must not be found there."""
        for extension in self.extensions:
            file = self.get_ext_filename(extension.name)
            if not (Path(self.build_lib) / file).exists():
                if not extension.optional:
                    fail(f"the build made no {file}.")
                if self.inplace or self.editable_mode:
                    (ROOT / file).unlink(missing_ok=True)


setup(
    version=version(),
    setup_requires=missing_tools(),
    ext_modules=[
        Extension("lmf_kernels._cpu", sources=[]),
        Extension("lmf_kernels._cuda", sources=[], optional=True),
    ],
    cmdclass={"build": FreshBuild, "build_ext": CMakeBuild},
)
