"""The models that ship with the package: `weights/<name>.safetensors`, and what their metadata say."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

from .errors import CheckpointError

_FOLDER = Path(__file__).parent / "weights"
_DEFAULT = "lmliif-edsr10"
_COMPRESSED = "lmliif-edsr10-compressed"
_BETTER_BELOW = 85  # JPEG quality: above it the default is better, see bench/NOTES.md


@dataclass(frozen=True)
class About:
    """architecture: as in checkpoints, such as "lmliif". parameters: their count. size: of the file, bytes. metadata:
    strings as the file has them, by key."""

    name: str
    path: str
    architecture: str
    parameters: int
    size: int
    metadata: dict = field(repr=False)


def names():
    """The built-in models' names, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.safetensors"))


def path_of(name):
    """The file of a built-in model, None if there is no such name."""
    return str(_FOLDER / f"{name}.safetensors") if name in names() else None


def name_of(path):
    """The name of the built-in model whose file this is, None if it is no such file."""
    path = Path(path)
    return path.stem if path.parent == _FOLDER and path.stem in names() else None


def cmsr_tables(name):
    """{precision: file} of the CMSR tables that ship with a built-in model; empty for a name that is none."""
    start = f"{name}.cmsr-"
    return {float(path.stem.removeprefix(start)): str(path) for path in _FOLDER.glob(f"{start}*.yaml")}


def cmsr_path(name, precision):
    """The file of a built-in model's CMSR table, which need not be there yet."""
    mantissa, exponent = f"{precision:e}".split("e")
    return str(_FOLDER / f"{name}.cmsr-{float(mantissa):g}e{int(exponent)}.yaml")


def advised(name, jpeg_quality):
    """The built-in model to use in place of `name` for a JPEG of this quality; None where there is no better one.

    Args:
        name: what was asked for.
        jpeg_quality: as in `images.Picture`.
    """
    better = name == _DEFAULT and jpeg_quality is not None and jpeg_quality < _BETTER_BELOW
    return _COMPRESSED if better else None


def default():
    """The name of the model to use when none is given.

    Raises:
        CheckpointError: none ships with this version.
    """
    if _DEFAULT in names():
        return _DEFAULT
    if not names():
        raise CheckpointError("No model ships with this version; give a .pth or .safetensors file with --model.")
    return names()[0]


def about(name):
    """What a built-in model's file says of itself, its weights unread: About."""
    from safetensors import safe_open

    path = path_of(name)
    with safe_open(path, framework="np") as file:
        count = sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())
        metadata = dict(file.metadata() or {})
    architecture = json.loads(metadata.get("lmf_kernels", "{}")).get("name", "unknown")
    return About(name, path, architecture, count, Path(path).stat().st_size, metadata)
