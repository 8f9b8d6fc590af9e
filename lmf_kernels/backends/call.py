"""One render call, as every backend receives it."""

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from python_ref.geometry import upscale_cell
from torch import Tensor

from ..errors import InputError
from ..families import Family

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
EPILOGUES = ("none", "unit")
LAYOUTS = ("nchw", "nhwc")


class RenderCall(NamedTuple):
    """Fields to pixels. Grid mode where `coord` is None, else points mode."""

    family: Family
    spec: Any  # of family.spec_type
    fields: Tensor  # (B, rows, cols, C), a window of the family's map
    weights: Tensor  # (weight_count,)
    skip: Tensor | None = None  # (B, 3, h, w)
    coord: Tensor | None = None  # (B, Q, 2)
    cell: Tensor | None = None  # (B, Q, 2)
    size: tuple[int, int] = (0, 0)  # (H, W) of the whole output
    window: tuple[int, int, int, int] = (0, 0, 0, 0)  # (y0, x0, rows, cols) of the output to render
    lr: tuple[int, int, int, int] = (0, 0, 0, 0)  # (y0, x0) of the fields in their map, (h, w) of the LR picture
    grid_cell: tuple[float, float] | None = None  # grid mode: (cell_y, cell_x); None: the upscale rule
    epilogue: str = "none"
    dtype: torch.dtype = torch.float32
    layout: str = "nchw"
    # Grid mode, for backends with a cell mask: only pixels whose owner, the cell (floor(y * h / H), floor(x * w / W)),
    # is not 0 in the mask are rendered, into `out`; the others keep their values there.
    mask: Tensor | None = None  # (B, rows, cols) uint8, contiguous, over the window of the fields
    out: Tensor | None = None  # of output_shape() and dtype

    @property
    def on_grid(self):
        return self.coord is None

    @property
    def rel_cell(self):
        """Grid mode: cell * (h, w) of the LR picture, what the network sees. Computed when it is read: while torch
        traces, sizes are symbols, and their ratios would tie a graph to them."""
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


def smallest_call(family, spec, like, *, points=False, epilogue="none", dtype=torch.float32):
    """A RenderCall of one LR cell, or one point, with zeros in the type and on the device of the tensor `like`."""
    rows = family.map_of(spec).size(1)
    queries = {"coord": like.new_zeros(1, 1, 2), "cell": like.new_zeros(1, 1, 2)} if points else {}
    return RenderCall(
        family, spec, like.new_zeros(1, rows, rows, family.field_channels(spec)),
        like.new_zeros(family.weight_count(spec)), size=(1, 1), window=(0, 0, 1, 1), lr=(0, 0, 1, 1),
        epilogue=epilogue, dtype=like.dtype if points else dtype, **queries)


@lru_cache(maxsize=1024)
def _rel_cell(cell, lr_size, size):
    if cell is None:
        cell = [upscale_cell(n, out) for n, out in zip(lr_size, size)]
    return tuple(float(c) * n for c, n in zip(cell, lr_size))


def validate(call):
    """Raise InputError with one sentence where shapes, devices or options do not fit together; else return the shape of
    the result."""
    family, spec = call.family, call.spec
    shape, name = call.fields.shape, family.name
    family.validate_spec(spec)
    channels, count = family.field_channels(spec), family.weight_count(spec)
    if len(shape) != 4 or shape[3] != channels:
        raise InputError(f"fields of shape {tuple(shape)} do not fit {name} with {spec}: "
                         f"pass (B, h, w, {channels}).")
    if call.weights.shape != (count,):
        raise InputError(f"weights of shape {tuple(call.weights.shape)} do not fit {name} with {spec}: "
                         f"pass ({count},) as pack_weights makes them.")
    _, h, w, _ = shape
    if h < 1 or w < 1:
        raise InputError(f"fields of shape {tuple(shape)} have no LR cells: pass at least a 1 x 1 map.")
    for name, tensor in call.tensors().items():
        if tensor.dtype not in FLOATS:
            raise InputError(f"{name} is {tensor.dtype}: pass float32, float64, float16 or bfloat16.")
    validate_devices(call)
    if call.coord is None:
        _validate_grid(family.map_of(spec), call.lr, (h, w), call.size, call.window, call.grid_cell)
        _validate_store(call.epilogue, call.dtype, call.layout)
    else:
        _validate_points(call)
    if call.skip is not None:
        _validate_skip(call)
    return call.output_shape()


def _validate_skip(call):
    """The skip holds the LR pixels over which the fields lie."""
    fields, on = call.fields.shape, call.family.map_of(call.spec)
    origin, picture = (call.lr[:2], call.lr[2:]) if call.on_grid else ((0, 0), fields[1:3])
    sides = []
    for first, held, n_in in zip(origin, fields[1:3], picture):
        start, stop = on.cells(first, first + held)
        sides.append(min(stop, n_in) - max(start, 0))
    expected = (fields[0], call.spec.out_dim, *sides)
    if call.skip.shape != expected:
        raise InputError(f"skip of shape {tuple(call.skip.shape)} does not fit fields of shape {tuple(fields)}: "
                         f"pass {tuple(map(int, expected))}, the normalised LR image.")


def validate_options(epilogue, layout):
    """Raise InputError unless both options are known."""
    if epilogue in EPILOGUES and layout in LAYOUTS:  # nearly always
        return
    for option, value, allowed in (("epilogue", epilogue, EPILOGUES), ("layout", layout, LAYOUTS)):
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
        if len(tensor.shape) != 3 or tensor.shape[0] != call.fields.shape[0] or tensor.shape[2] != 2:
            raise InputError(f"{name} of shape {tuple(tensor.shape)} does not fit a batch of {call.fields.shape[0]}: "
                             f"pass ({call.fields.shape[0]}, Q, 2), y before x.")
    if call.coord.shape != call.cell.shape:
        raise InputError(f"coord {tuple(call.coord.shape)} and cell {tuple(call.cell.shape)} differ: "
                         "pass one cell a query.")


def _validate_grid(
    on,  # families.maps.FieldMap of the fields
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
    for axis, name in enumerate(("rows", "columns")):  # the fields must hold all that the window's pixels read
        n_in, n_out, first, have = lr[2 + axis], size[axis], lr[axis], held[axis]
        if first < 0 or first + have > on.size(n_in):
            raise InputError(f"fields hold LR {name} {first} to {first + have - 1} of a map with {on.size(n_in)}: "
                             "pass lr_size of the whole map and lr_origin inside it.")
        start, count = window[axis], window[2 + axis]
        if count == 0:
            continue
        need_first, need_end = on.read(start, start + count, n_in, n_out)
        if need_first < first or need_end > first + have:
            raise InputError(f"the window reads LR {name} {need_first} to {need_end - 1} but the fields hold {first} "
                             f"to {first + have - 1}: render fewer pixels or pass more of the map.")


def _validate_store(epilogue, dtype, layout):
    validate_options(epilogue, layout)
    if dtype == torch.uint8:
        if epilogue != "unit":
            raise InputError('dtype=torch.uint8 needs epilogue="unit", which brings values to [0, 1].')
    elif dtype not in FLOATS:
        raise InputError(f"dtype={dtype}: use a floating-point dtype or torch.uint8.")
