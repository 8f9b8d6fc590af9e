"""What `import lmf_kernels` offers."""

from .backends import describe as backends, use_backend
from .cmsr import CMSR
from .checkpoints import load_model, save_model
from .errors import BackendError, CheckpointError, InputError
from .explanation import explain
from .models import build_model
from .families import RenderSpec
from .graphed import GraphedUpscaler
from .patching import PatchedModule, PatchReport, patch, unpatch
from .upscale import upscale, upscale_rows
from .upscale_file import UpscaledFile, upscale_file

__all__ = ["BackendError", "CMSR", "CheckpointError", "InputError", "GraphedUpscaler", "PatchReport", "PatchedModule",
           "RenderSpec", "UpscaledFile", "backends", "build_model", "explain", "load_model", "patch", "save_model",
           "unpatch", "upscale", "upscale_file", "upscale_rows", "use_backend"]
