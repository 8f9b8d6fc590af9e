"""Which of a build's architectures runs on which GPU. No torch, no driver: plain facts about names.

An architecture is named as nvcc names it: "sm_86" is machine code, "compute_120" is PTX, which the driver compiles on
the spot; the last digit is the minor capability. Source: NVIDIA, CUDA C++ Programming Guide, on binary and PTX
compatibility and on family-specific and architecture-specific features.
"""

import re

_NAME = re.compile(r"(sm|compute)_(\d+)(\d)([af]?)")  # kind, major, minor, suffix
OLDEST = (8, 0)  # the tensor-core instructions of the kernels begin there


def serves(architecture, capability):
    """Whether code for `architecture` ("sm_90", "sm_90a", "compute_100f", ...) runs on a GPU of capability (X, Y).

    Machine code runs on its own major capability from its own minor one up; PTX on everything from its own capability
    up. With "a" behind it either runs on exactly its capability, with "f" (family) either keeps to its major one.
    """
    match = _NAME.fullmatch(architecture)
    if match is None:
        raise ValueError(f"{architecture!r} is no architecture: names look like sm_90, sm_90a or compute_120")
    kind, major, minor, suffix = match.groups()
    code, device = (int(major), int(minor)), tuple(capability)
    if suffix == "a":
        return device == code
    if kind == "compute" and not suffix:
        return device >= code
    return device[0] == code[0] and device[1] >= code[1]


def best(architectures, capability):
    """The one of `architectures` that a GPU of capability (X, Y) is best served by, None where none serves it.

    Machine code goes before PTX, then the nearest capability, then code for fewer GPUs.
    """
    def rank(name):
        kind, major, minor, suffix = _NAME.fullmatch(name).groups()
        return kind == "sm", int(major), int(minor), ("", "f", "a").index(suffix)

    return max((name for name in architectures if serves(name, capability)), key=rank, default=None)


def refusal(architectures, device):
    """Why a build for `architectures` cannot run on `device`, with the command that helps; None where it can.

    device: {"name", "capability": (X, Y)}, one entry of `_cuda.device_info()["devices"]`.
    """
    major, minor = device["capability"]
    if best(architectures, (major, minor)):
        return None
    lacks = (f"{device['name']} has compute capability {major}.{minor}, for which this build has no code "
             f"(it holds {', '.join(architectures)})")
    if (major, minor) < OLDEST:
        return f"{lacks}, and the kernels need {OLDEST[0]}.{OLDEST[1]} or newer"
    return f"{lacks}; rebuild in the source folder with {rebuild_command((major, minor))}"


def rebuild_command(capability):
    """The shell command that builds for a GPU of capability (X, Y)."""
    return f'LMF_CUDA_ARCHS="{capability[0]}{capability[1]}" pip install .'
