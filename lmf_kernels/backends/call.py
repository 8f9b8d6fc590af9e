"""One render call, as every backend receives it."""

from functools import lru_cache
from typing import NamedTuple, Optional, Tuple

import torch
from python_ref.geometry import upscale_cell
from torch import Tensor

from ..errors import InputError
from ..spec import RenderSpec, field_channels, validate_spec, weight_count

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
FINISHES = ("none", "unit")
LAYOUTS = ("nchw", "nhwc")


class RenderCall(NamedTuple):
    """Fields to pixels. Grid mode where `coord` is None, else points mode."""

    family: str
    spec: RenderSpec
    fields: Tensor  # (B, h, w, C)
    weights: Tensor  # (weight_count,)
    skip: Optional[Tensor] = None  # (B, 3, h, w)
    coord: Optional[Tensor] = None  # (B, Q, 2)
    cell: Optional[Tensor] = None  # (B, Q, 2)
    size: Tuple[int, int] = (0, 0)  # (H, W) of the whole output
    window: Tuple[int, int, int, int] = (0, 0, 0, 0)  # (y0, x0, rows, cols) of the output to render
    lr: Tuple[int, int, int, int] = (0, 0, 0, 0)  # (y0, x0) of the fields in the LR map, (h, w) of the map
    grid_cell: Optional[Tuple[float, float]] = None  # grid mode: (cell_y, cell_x); None: the upscale rule
    finish: str = "none"
    dtype: torch.dtype = torch.float32
    layout: str = "nchw"

    @property
    def on_grid(self):
        return self.coord is None

    @property
    def rel_cell(self):
        """Grid mode: cell * (h, w) of the LR map, what the network sees. Worked out when asked for: while torch traces,
        sizes are symbols and their ratios would tie a graph to them."""
        return _rel_cell(self.grid_cell, self.lr[2:], self.size)

    def output_shape(self):
        """Shape of the result: (B, 3, rows, cols), (B, rows, cols, 3) or (B, Q, 3)."""
        batch, channels = self.fields.shape[0], self.spec.out_dim
        if not self.on_grid:
            return (batch, self.coord.shape[1], channels)
        rows, cols = self.window[2:]
        return (batch, channels, rows, cols) if self.layout == "nchw" else (batch, rows, cols, channels)

    def tensors(self):
        """Every tensor by name, absent ones left out."""
        named = {"fields": self.fields, "weights": self.weights}
        if self.skip is not None:
            named["skip"] = self.skip
        if self.coord is not None:
            named["coord"], named["cell"] = self.coord, self.cell
        return named


@lru_cache(maxsize=1024)
def _rel_cell(cell, lr_size, size):
    if cell is None:
        cell = [upscale_cell(n, out) for n, out in zip(lr_size, size)]
    return tuple(float(c) * n for c, n in zip(cell, lr_size))


def validate(call):
    """Raise InputError with one sentence where shapes, devices or options do not fit together."""
    spec, fields, shape = call.spec, call.fields, call.fields.shape
    channels, count = _lengths(call.family, spec)
    if len(shape) != 4 or shape[3] != channels:
        raise InputError(f"fields of shape {tuple(shape)} do not fit {call.family} with {spec}: "
                         f"pass (B, h, w, {channels}).")
    if call.weights.shape != (count,):
        raise InputError(f"weights of shape {tuple(call.weights.shape)} do not fit {call.family} with {spec}: "
                         f"pass ({count},) as pack_weights makes them.")
    batch, h, w, _ = shape
    if call.skip is not None and call.skip.shape != (batch, spec.out_dim, h, w):
        raise InputError(f"skip of shape {tuple(call.skip.shape)} does not fit fields of shape {tuple(shape)}: "
                         f"pass ({batch}, {spec.out_dim}, {h}, {w}), the normalised LR image.")
    if h < 1 or w < 1:
        raise InputError(f"fields of shape {tuple(shape)} have no LR cells: pass at least a 1 x 1 map.")
    for name, tensor in call.tensors().items():
        if tensor.dtype not in FLOATS:
            raise InputError(f"{name} is {tensor.dtype}: pass float32, float64, float16 or bfloat16.")
    validate_devices(call)
    if call.coord is None:
        _validate_grid(call.lr, (h, w), call.size, call.window, call.grid_cell)
        _validate_store(call.finish, call.dtype, call.layout)
    else:
        _validate_points(call)


@lru_cache(maxsize=None)
def _lengths(family, spec):
    """(channels of the fields, length of the weights) of a spec, which is checked."""
    validate_spec(family, spec)
    return field_channels(family, spec), weight_count(family, spec)


def validate_words(finish, layout):
    """Raise InputError unless both options are known."""
    if finish in FINISHES and layout in LAYOUTS:  # nearly always
        return
    for option, value, allowed in (("finish", finish, FINISHES), ("layout", layout, LAYOUTS)):
        if value not in allowed:
            raise InputError(f"{option}={value!r:.40}: use one of {', '.join(map(repr, allowed))}.")


def validate_devices(call):
    """Raise InputError unless all tensors are on one device."""
    device = call.fields.device
    for name, tensor in call.tensors().items():
        if tensor.device != device:
            raise InputError(f"{name} is on {tensor.device} but fields are on {device}: "
                             "move them together.")


def _validate_points(call):
    for name in ("coord", "cell"):
        tensor = getattr(call, name)
        if tensor.dim() != 3 or tensor.shape[0] != call.fields.shape[0] or tensor.shape[2] != 2:
            raise InputError(f"{name} of shape {tuple(tensor.shape)} does not fit a batch of {call.fields.shape[0]}: "
                             f"pass ({call.fields.shape[0]}, Q, 2), y before x.")
    if call.coord.shape != call.cell.shape:
        raise InputError(f"coord {tuple(call.coord.shape)} and cell {tuple(call.cell.shape)} differ: "
                         "pass one cell a query.")


@lru_cache(maxsize=1024)  # a video asks the same of every frame, tiles of every picture
def _validate_grid(
    lr,  # (y0, x0, h, w) as in RenderCall
    held,  # (h, w) of the fields
    size,  # (H, W)
    window,  # (y0, x0, rows, cols)
    cell,  # (cell_y, cell_x) or None
):
    height, width = size
    if height < 1 or width < 1:
        raise InputError(f"output size {height} x {width}: both sides must be 1 or more.")
    y0, x0, rows, cols = window
    if min(y0, x0, rows, cols) < 0 or y0 + rows > height or x0 + cols > width:
        raise InputError(f"window (y0, x0, rows, cols) = {window} must lie inside the {height} x {width} output.")
    if cell is not None and not all(0.0 < c < float("inf") for c in cell):
        raise InputError(f"cell must be two positive finite numbers, got {cell}.")
    for axis, name in enumerate(("rows", "columns")):  # the fields must hold every cell that the window's pixels read
        n_in, n_out, first, have = lr[2 + axis], size[axis], lr[axis], held[axis]
        if first < 0 or first + have > n_in:
            raise InputError(f"fields hold LR {name} {first} to {first + have - 1} of a map with {n_in}: "
                             "pass lr_size of the whole map and lr_origin inside it.")
        start, count = window[axis], window[2 + axis]
        if count == 0:
            continue
        need_first, need_last = (min(max(((2 * pos + 1) * n_in - n_out) // (2 * n_out) + corner, 0), n_in - 1)
                                 for pos, corner in ((start, 0), (start + count - 1, 1)))
        if need_first < first or need_last >= first + have:
            raise InputError(f"the window reads LR {name} {need_first} to {need_last} but the fields hold {first} to "
                             f"{first + have - 1}: render fewer pixels or pass more of the map.")


@lru_cache(maxsize=None)
def _validate_store(finish, dtype, layout):
    validate_words(finish, layout)
    if dtype == torch.uint8:
        if finish != "unit":
            raise InputError('dtype=torch.uint8 needs finish="unit", which brings values to [0, 1].')
    elif dtype not in FLOATS:
        raise InputError(f"dtype={dtype}: use a floating-point dtype or torch.uint8.")
