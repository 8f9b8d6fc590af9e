"""Whether Triton is installed and can run here. Does not import Triton."""

import os
import re
from functools import cache
from importlib import metadata, util

import torch

AT_LEAST = (3, 6)
IEEE_ON_SM_100 = (3, 9)  # 3.6.0 compiles the Fourier head's product to tcgen05 TF32, ignoring input_precision
INTERPRETER = "TRITON_INTERPRET"  # Triton reads it when a kernel's module is imported


@cache
def interpreting():
    """Whether kernels run in Triton's interpreter, on CPU tensors."""
    return os.environ.get(INTERPRETER, "").lower() in ("1", "true", "yes", "on", "y")


def release():
    """(major, minor) of the installed Triton."""
    return tuple(map(int, re.findall(r"\d+", version())[:2]))


@cache
def version():
    """Triton's version, or None if it is not installed."""
    if util.find_spec("triton") is None:
        return None
    for distribution in ("triton", "pytorch-triton", "pytorch-triton-rocm", "triton-rocm"):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    import triton

    return triton.__version__


def status():
    """(available, detail)."""
    found = version()
    required = ".".join(map(str, AT_LEAST))
    if found is None:
        return False, f"Triton is not installed; `pip install 'triton>={required}'`"
    if release() < AT_LEAST:
        return False, f"Triton {found} is too old; `pip install 'triton>={required}'`"
    if interpreting():
        return True, f"Triton {found}, in the interpreter ({INTERPRETER} is set): slow, on CPU tensors"
    if not torch.cuda.is_available():
        return False, f"Triton {found} has no GPU to run on here: torch shows none"
    return True, f"Triton {found}"


@cache
def architecture(device):
    """The name of a device in the table of configurations: "sm_90", "gfx942", or "interpreter"."""
    if device.type == "cpu":
        return "interpreter"
    if torch.version.hip:
        return torch.cuda.get_device_properties(device).gcnArchName.split(":")[0]
    return "sm_{}{}".format(*torch.cuda.get_device_capability(device))


def refuse_ieee(device):
    """The reason why Triton's float32 products on the device are not IEEE float32, or None."""
    if device.type != "cuda" or torch.version.hip or release() >= IEEE_ON_SM_100:
        return None
    if torch.cuda.get_device_capability(device)[0] not in (10, 11):
        return None
    return f"Triton {version()} makes some float32 products in TF32 on this GPU; Triton 3.9 does not"
