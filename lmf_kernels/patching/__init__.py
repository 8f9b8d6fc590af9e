"""Makes model objects of the authors' own classes run on the kernels, without importing or changing their code."""

from .patch import patch, unpatch
from .report import PatchedModule, PatchReport

__all__ = ["PatchReport", "PatchedModule", "patch", "unpatch"]
