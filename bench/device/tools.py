"""Finds the CUDA tools, on PATH and where they usually lie: an image may hold them without naming them on PATH.

    python bench/device/tools.py      prints the folders to add to PATH, with colons between: theirs, and that of
                                      Python's programs
"""

import glob
import os
import re
import shutil
import sys
import sysconfig

NAMES = ("nvcc", "ncu", "compute-sanitizer")
# $CUDA_HOME stands for CUDA_HOME and CUDA_PATH; of several versions the newest is taken.
USUAL = ("$CUDA_HOME/bin", "/usr/local/cuda/bin", "/usr/local/cuda-*/bin", "/opt/cuda/bin",
         "/opt/nvidia/nsight-compute/*", "/usr/local/cuda/compute-sanitizer", "/usr/local/cuda-*/compute-sanitizer",
         "$PACKAGES/nvidia/*/bin")


def find(name, usual=USUAL):
    """The path of a tool, or None."""
    found = shutil.which(name)
    return found or next((tool for folder in _folders(usual) if (tool := shutil.which(name, path=folder))), None)


def missing_folders(usual=USUAL):
    """The folders of the tools that are not on PATH but were found."""
    found = [find(name, usual) for name in NAMES if shutil.which(name) is None]
    return list(dict.fromkeys(os.path.dirname(path) for path in found if path))


def _folders(usual):
    stands = {"$CUDA_HOME": [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)],
              "$PACKAGES": [path for path in sys.path if path.endswith("-packages")]}
    for pattern in usual:
        variable, slash, rest = pattern.partition("/")
        for start in stands.get(variable, [variable]):
            yield from sorted(glob.glob(start + slash + rest), key=_version, reverse=True)


def _version(path):
    return [int(number) for number in re.findall(r"\d+", path)]


if __name__ == "__main__":
    print(":".join([*missing_folders(), sysconfig.get_path("scripts")]))
