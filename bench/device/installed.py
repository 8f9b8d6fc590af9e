"""Is the package that this Python finds these sources, built for this machine? Run by bench/device.sh, from the
repository root:

    python -m bench.device.installed [--cuda]

Prints why not and exits with status 1. --cuda: the module for GPUs must be there and serve the first one. torch is not
imported: the answer takes less than a second.
"""

import importlib.machinery
import importlib.util
import pathlib
import sys

from . import identity

ROOT = pathlib.Path(__file__).resolve().parents[2]


def why_not(root, cuda):
    """Why the installed package cannot be measured as these sources, in words, or None."""
    folders = identity.installed_folders()
    if not folders:
        return "lmf_kernels is not installed"
    if identity.python_digest(folders) != identity.python_digest(root / name for name in identity.PACKAGES):
        return f"the Python files in {folders[0]} are not those of {root}"
    for name in ("_cpu", "_cuda") if cuda else ("_cpu",):
        try:
            facts = load(folders[0], name)
        except ImportError as error:
            return f"lmf_kernels.{name} does not import: {error}"
        if facts.build_info().get("sources") != identity.csrc_digest(root):
            return f"lmf_kernels.{name} was not built from {root / 'csrc'}"
    return refusal(folders[0], facts) if cuda else None


def load(folder, name):
    """A compiled module of the package in `folder`, imported by itself."""
    spec = importlib.machinery.PathFinder.find_spec(f"lmf_kernels.{name}", [str(folder)])
    if spec is None:
        raise ImportError("it is not there")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def refusal(folder, cuda):
    """Why the module for GPUs does not serve the first GPU, or None."""
    report = cuda.device_info()
    if report["count"] == 0:
        return f"CUDA shows no device here ({report['reason']})"
    spec = importlib.util.spec_from_file_location("architectures", folder / "backends" / "cuda" / "architectures.py")
    architectures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(architectures)
    return architectures.refusal(cuda.build_info()["architectures"], report["devices"][0])


if __name__ == "__main__":
    reason = why_not(ROOT, "--cuda" in sys.argv[1:])
    if reason:
        sys.exit(reason)
