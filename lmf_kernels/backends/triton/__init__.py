"""Triton kernels, compiled where they run for the GPU at hand; inside Triton's interpreter they run on the CPU.

Never run on a GPU so far. Triton is imported when a kernel first runs, and is needed for nothing else.
"""

from ...errors import InputError
from ..interface import KernelBackend
from . import availability, configurations, modulated_mlp


def _availability():
    """(available, detail)."""
    usable, detail = availability.status()
    if usable:
        try:
            configurations.measured()
        except InputError as error:
            return False, str(error).rstrip(".")
    return usable, detail


backend = KernelBackend("triton", {"modulated_mlp": modulated_mlp}, _availability, needs_evidence=True)
