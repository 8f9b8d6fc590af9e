"""Triton kernels, compiled at run time for the current GPU. In Triton's interpreter they run on the CPU.

Never run on a GPU so far. Triton is imported only when a kernel first runs.
"""

from ...errors import InputError
from ..interface import KernelBackend
from . import availability, c2f_mlp, configurations, modulated_mlp, plain_mlp


def _availability():
    """(available, detail)."""
    usable, detail = availability.status()
    if usable:
        try:
            configurations.measured()
        except InputError as error:
            return False, str(error).rstrip(".")
    return usable, detail


backend = KernelBackend("triton", {"modulated_mlp": modulated_mlp, "plain_mlp": plain_mlp, "c2f_mlp": c2f_mlp},
                        _availability, needs_evidence=True)
