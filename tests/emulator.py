"""The CUDA kernels without a GPU: `csrc/emulator` compiled for this machine, and a backend for tests that runs on it.

    with emulator.registered():                          # the backend "emulator", on CPU tensors
        modulated_mlp(..., backend="emulator")
    emulator.load().mma(...)                             # the primitives
    emulator.load(wrong_fragment=True)                   # the same with a wrong fragment layout, made on purpose

It has the CUDA backend's rules of what it takes. Building takes a minute once; the result is kept in the user's cache
folder under a hash of the sources, the compiler and its flags.
"""

import functools
import hashlib
import importlib.machinery
import importlib.util
import os
import pathlib
import platform
import shutil
import subprocess
import sysconfig
import tempfile
from contextlib import contextmanager

import pybind11
import torch
from lmf_kernels.backends import BACKENDS, KernelBackend, packed_weights
from lmf_kernels.backends.cuda import c2f_mlp, plain_mlp
from lmf_kernels.backends.cuda.modulated_mlp import refuse_reach, refuse_shape
from lmf_kernels.backends.cuda.native import aligned
from lmf_kernels.backends.native_call import Packer, addresses, output_strides, refuse_common

SOURCES = pathlib.Path(__file__).resolve().parent.parent / "csrc"
COMPILER = os.environ.get("CXX") or shutil.which("c++")
MULTIPROCESSORS = 2  # of the device that it plays
FILES = ("module", "primitives", "misuse", "modulated_mlp", "plain_mlp", "c2f_mlp", "group_tile")
_complaints = {}  # the compiler's, by file: it is asked once


class ModulatedKernel:
    """The module of kernels of the modulated family; `emulated` is the compiled module that it runs on."""

    def __init__(self, emulated):
        self.emulated = emulated
        self.packer = Packer(emulated)
        self.path = None  # kernel of the last run: (method, element, head, depth, tall), see modulated_plan.h

    def can_run(self, call):
        if call.fields.device.type != "cpu":
            return f"tensors are on {call.fields.device}, the emulator runs on the CPU"
        return refuse_common(call, halves=True) or refuse_shape(call.spec) or refuse_reach(call)

    def run(self, call):
        call, out = aligned(call), torch.empty(call.output_shape(), dtype=call.dtype)
        packed = self.packer.modulated_mlp(call, output_strides(call))
        self.path = self.emulated.modulated_mlp(packed, addresses(call, out), MULTIPROCESSORS)
        return out


class DenseKernel:
    """The same for a family of 256-wide layers, whose rules are those of its module of the CUDA backend.

    group: the kernel for compute capability 9.0.
    """

    def __init__(self, emulated, rules, group):
        self.name, self.rules, self.group = rules.__name__.rpartition(".")[2], rules, group
        self.emulated, self.packer = emulated, getattr(Packer(emulated), self.name)
        self.packings = 0  # so far

    def can_run(self, call):
        if call.fields.device.type != "cpu":
            return f"tensors are on {call.fields.device}, the emulator runs on the CPU"
        return self.rules.refuse_call(call)

    def run(self, call):
        call, out = aligned(call), torch.empty(call.output_shape(), dtype=call.dtype)
        described, at = self.packer(call, output_strides(call)), addresses(call, out)

        def pack():
            self.packings += 1
            packed = torch.empty(getattr(self.emulated, f"{self.name}_packed_bytes")(described), dtype=torch.uint8)
            getattr(self.emulated, f"{self.name}_pack")(described, at, self.group, packed.data_ptr())
            return packed

        seen = self.rules.seen(call) if hasattr(self.rules, "seen") else ()
        packed = packed_weights.get(call.weights, (self.name, call.spec, call.fields.dtype, self.group, seen), pack)
        getattr(self.emulated, self.name)(described, at, self.group, packed.data_ptr(), MULTIPROCESSORS)
        return out


@contextmanager
def registered(group=False, **mistakes):
    """Inside the block the backend exists, last in the order, so that "auto" never comes to it."""
    assert list(BACKENDS)[-1] == "reference"
    emulated = load(**mistakes)
    kernel = ModulatedKernel(emulated)
    kernels = {"modulated_mlp": kernel,
               **{rules.__name__.rpartition(".")[2]: DenseKernel(emulated, rules, group)
                  for rules in (plain_mlp, c2f_mlp)}}
    BACKENDS["emulator"] = KernelBackend("emulator", kernels,
                                         lambda: (True, "the CUDA kernels, lane by lane on the CPU"))
    try:
        yield kernel
    finally:
        del BACKENDS["emulator"]


@functools.cache
def load(wrong_fragment=False):
    """The compiled module."""
    path = _built(("-DLMF_EMULATE_WRONG_FRAGMENT",) if wrong_fragment else ())
    name = f"{path.name.partition('.')[0]}.lmf_emulator"  # one name each: pybind11 keeps modules by name, not by file
    loader = importlib.machinery.ExtensionFileLoader(name, str(path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


def _built(mistakes):
    """The module's file, compiled now or before. The mistakes concern the kernels alone."""
    objects = [_object(name, () if name == "module" else mistakes) for name in FILES]
    key = _hash(*(str(path) for path in objects))
    return _make(f"{key}{sysconfig.get_config_var('EXT_SUFFIX')}", lambda out: ["-shared", *objects, "-o", out])


def _object(name, mistakes):
    flags = ["-O0" if name == "module" else "-O2", "-std=c++17", "-ffp-contract=off", "-fno-math-errno", "-fPIC",
             "-fvisibility=hidden", "-U_FORTIFY_SOURCE", "-DLMF_EMULATE", *mistakes]
    if "fma" in _processor_flags():
        flags.append("-mfma")  # std::fma in one instruction; the same bits
    if name == "module":
        flags += [f"-isystem{folder}" for folder in (sysconfig.get_path("include"), pybind11.get_include())]
    texts = [path.read_bytes() for folder in ("common", "bindings", "cuda", "emulator")
             for path in sorted((SOURCES / folder).glob("*.h"))]
    source = SOURCES / "emulator" / f"{name}.cpp"
    key = _hash(*flags, _compiler_version(), source.read_bytes(), *texts)
    return _make(f"{name}-{key}.o", lambda out: [*flags, "-c", source, "-o", out])


def _make(name, arguments):
    """The file of that name in the cache; where it is missing the compiler makes it, and it appears complete."""
    folder = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "lmf_kernels-emulator"
    made = folder / name
    assert name not in _complaints, _complaints[name]
    if not made.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            out = pathlib.Path(scratch) / name
            done = subprocess.run([COMPILER, *map(str, arguments(out))], capture_output=True, text=True)
            if done.returncode != 0:
                _complaints[name] = f"the emulator does not compile:\n{done.stderr}"
                raise AssertionError(_complaints[name])
            out.replace(made)
    return made


def _hash(*parts):
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else part.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:24]


@functools.cache
def _compiler_version():
    return subprocess.run([COMPILER, "--version"], capture_output=True, text=True, check=True).stdout


def _processor_flags():
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if platform.machine() not in ("x86_64", "AMD64") or not cpuinfo.exists():
        return set()
    return set(next((line for line in cpuinfo.read_text().splitlines() if line.startswith("flags")), "").split())
