"""What the compiled modules were made with, and why one is missing. `lmf-kernels info` prints this.

Nothing here needs a compiled module or a driver, and torch only where there is a GPU. What is absent is listed with the
reason.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from importlib import import_module, metadata, util
from pathlib import Path
from types import ModuleType

# name -> how to get it
MODULES = {
    "_cpu": "install lmf_kernels with a C++17 compiler",
    "_cuda": "install lmf_kernels with nvcc on PATH; LMF_BUILD_CUDA=ON then makes its absence an error",
}


@dataclass(frozen=True)
class ModuleBuild:
    """One compiled module: `reason` is empty exactly when it was imported, `facts` what its build_info() returns.

    facts of both: version, compiler, compiler_path, build_type, processor, sources (a digest of csrc). Of `_cpu` also
    isa_flags (instruction set -> compiler flags), isa_sources and openmp ("" for one thread); of `_cuda` nvcc (its
    version), nvcc_path, cuda_flags, cuda_sources and architectures (["sm_90", "compute_120"]: machine code and PTX).
    """

    name: str
    reason: str = ""
    facts: dict = field(default_factory=dict)


def version() -> str:
    """The installed version of lmf_kernels, "unknown" when it runs from a source folder that was never installed.

    "0.1.0+cu130.sm90" is version 0.1.0 with GPU code from CUDA 13.0 for sm_90 alone, "0.1.0+cu130" for the default
    set, "0.1.0" without GPU code (or made from an sdist).
    """
    try:
        return metadata.version("lmf-kernels")
    except metadata.PackageNotFoundError:
        return "unknown"


def load(name: str) -> tuple[ModuleType | None, str]:
    """(module, "") of the compiled module `name` of MODULES, or (None, why it cannot be imported)."""
    full = f"{__package__}.{name}"
    if util.find_spec(full) is None:
        return None, f"not built in {Path(__file__).parent}: {MODULES[name]}"
    try:
        return import_module(full), ""
    except ImportError as error:
        return None, f"built, but it does not import: {error}"


def source_folder() -> Path | None:
    """The folder that this package lies in, where that is its source folder, with or without compiled modules."""
    parent = Path(__file__).resolve().parents[1]
    return parent if all((parent / name).is_file() for name in ("pyproject.toml", "CMakeLists.txt")) else None


def inspect_module(name: str) -> ModuleBuild:
    """Imports the compiled module `name` of MODULES and reads its facts. Never raises for a module that is absent."""
    module, reason = load(name)
    if module is None:
        return ModuleBuild(name, reason)
    if not hasattr(module, "build_info"):
        return ModuleBuild(name, "built from older sources: install lmf_kernels again")
    return ModuleBuild(name, facts=module.build_info())


def cuda_devices() -> dict:
    """The GPUs that the CUDA runtime sees, asked without torch. Never raises.

    Keys: count, devices (each name, capability (major, minor), total_memory in bytes), reason (why count is 0, or
    ""), driver_version and runtime_version as CUDA counts them (12040 is 12.4; 0: none).
    """
    build = inspect_module("_cuda")
    if build.reason:
        return {"count": 0, "devices": [], "reason": build.reason, "driver_version": 0, "runtime_version": 0}
    return import_module(f"{__package__}._cuda").device_info()


def collect() -> dict:
    """All of the above in one dictionary that `json.dumps` takes: version, python, machine, modules, cuda_devices."""
    modules = {}
    for name in MODULES:
        build = inspect_module(name)
        modules[name] = {"built": not build.reason, "reason": build.reason, **build.facts}
    return {
        "version": version(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "modules": modules,
        "cuda_devices": cuda_devices(),
    }


def cuda_version(number: int) -> str:
    """CUDA's own version number as text: 12040 -> "12.4", 0 -> "none"."""
    return f"{number // 1000}.{number % 1000 // 10}" if number else "none"


def lines() -> list[str]:
    """`collect()` as text, one fact per line."""
    facts = collect()
    rows = [f"lmf_kernels {facts['version']}, Python {facts['python']} on {facts['machine']}"]
    for name, module in facts["modules"].items():
        rows += [f"{name}: {row}" for row in _module_lines(module, facts["version"])]
    cuda = facts["cuda_devices"]
    if facts["modules"]["_cuda"]["built"]:
        rows.append(f"CUDA driver {cuda_version(cuda['driver_version'])}, "
                    f"runtime {cuda_version(cuda['runtime_version'])}")
        for index, device in enumerate(cuda["devices"]):
            major, minor = device["capability"]
            rows.append(f"GPU {index}: {device['name']}, compute capability {major}.{minor}, "
                        f"{device['total_memory'] / 2**30:.1f} GiB, "
                        f"{_served(facts['modules']['_cuda']['architectures'], device)}")
        if cuda["reason"]:
            rows.append(f"GPU: {cuda['reason']}")
    return rows


def _served(architectures: list[str], device: dict) -> str:
    """Which code of this build runs on a device, or how to get some."""
    from .backends.cuda import architectures as rules  # here, since it imports torch

    image = rules.best(architectures, device["capability"])
    return f"runs this build's {image}" if image else f"not served: {rules.refusal(architectures, device)}"


def _module_lines(module: dict, installed: str) -> list[str]:
    if not module["built"]:
        return [module["reason"]]
    rows = [f"{module['compiler']}, {module['build_type']}"]
    if installed.partition("+")[0] not in ("unknown", module["version"]):
        rows.append(f"was built for version {module['version']}, but {installed} is installed: build it again")
    if "isa_flags" in module:
        rows[0] += f", OpenMP {module['openmp']}" if module["openmp"] else ", no OpenMP (one thread)"
        rows += [f"{isa}: {flags}" for isa, flags in module["isa_flags"].items()]
    if "architectures" in module:
        rows.append(f"nvcc {module['nvcc']} for {' '.join(module['architectures'])}")
    return rows
