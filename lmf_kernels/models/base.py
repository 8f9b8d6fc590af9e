"""What all models share: the way from an image to fields, from fields to pixels, and the checks on both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from python_ref.geometry import upscale_cell

from .. import ops, threads
from ..backends.dispatch import check_name
from ..encoders import make_encoder
from ..errors import InputError
from ..families import Family
from ..ops.arguments import cell_pair, whole_numbers
from .latent import published_shift
from .pack_cache import PackCache, autocast_is_on, parameters_of
from .query_interface import QueryInterface


class Decoder(QueryInterface, nn.Module):
    """An arbitrary-scale super-resolution model: encoder, latent stage, render stage.

    The parameters carry the authors' names, so `state_dict()` is theirs. A subclass sets the class attributes below and
    `render_spec` (of the family's `spec_type`) and `spec` (`{"name", "args"}`, what `build_model` needs to build its
    twin), and gives `fields` and `_pack_render`.

    Attributes:
        receptive_field: how many LR pixels away an input pixel still reaches a cell's fields.
            Where `tile_starts` gives blocks, the latent stage sees the whole block besides; it is then counted from
            the block's border.
        latent_at_once: how many LR pixels the latent stage works on at a time, or None: all of them.
    """

    name: str  # the official name
    family: Family  # the render family
    has_skip: bool = False  # add the bilinearly sampled input to the rendering
    uses_cell: bool = True  # False: neither stage looks at the cell
    built_in: str | None = None  # the name under which it ships, if it does
    largest_intensity: float = 0.5  # of `modulation_intensity`, where the thresholds of CMSR tables end
    latent_at_once: int | None = None

    def __init__(self, encoder_spec: Any) -> None:
        super().__init__()
        threads.spin_briefly(torch.get_num_threads())
        self.encoder = encoder_spec if isinstance(encoder_spec, nn.Module) else make_encoder(encoder_spec)
        self.backend = "auto"
        self._packed = PackCache()
        self.__dict__.update(self._no_image())

    @property
    def backend(self) -> str:
        """Which backend renders: "auto" or a name that `lmf_kernels.backends()` lists; may be set at any time."""
        return self._backend

    @backend.setter
    def backend(self, name: str) -> None:
        self._backend = check_name(name)

    # The way through

    def forward(
        self,
        inp: Tensor,  # (B, 3, h, w), the image as 2 * image - 1
        coord: Tensor,  # (B, Q, 2), query centres (y, x) in [-1, 1]
        cell: Tensor | None = None,  # (B, Q, 2), query extents (y, x) in the same units; None if the model ignores it
        bsize: int | None = None,
    ) -> Tensor:
        """The papers' contract: values (B, Q, 3) in [-1, 1] by convention, not clamped, at free query points.

        The latent stage uses each image's first cell, the render stage each query's own. cell may also be broadcastable
        to coord's shape, such as (1, 1, 2). Differentiable. bsize, which bounds the authors' memory, plays no part.

        Raises:
            InputError: a shape, dtype or device does not fit.
        """
        self._check_input(inp)
        coord, cell = self.check_queries(inp, coord, cell)
        if coord.shape[1] == 0:
            return inp.new_zeros(inp.shape[0], 0, 3)
        fields = self.fields(self.encode(inp), self.first_rel_cell(inp, cell))
        return self._render_points(inp, fields, coord, cell)

    def encode(
        self,
        inp: Tensor,  # (B, 3, h, w), the image as 2 * image - 1
    ) -> Tensor:
        """Encoder features (B, out_dim, h, w), channels last in memory."""
        self._check_input(inp)
        return self.encoder(inp.contiguous(memory_format=torch.channels_last))

    def fields(
        self,
        features: Tensor,  # (B, out_dim, h, w), from encode
        rel_cell: Any,  # pair of floats, or (2,), or (B, 2): size of an output pixel in LR pixels times two, y then x
    ) -> Tensor:
        """The latent stage: one row of render parameters per LR cell, (B, h, w, C), contiguous."""
        raise NotImplementedError

    def window_fields(
        self,
        features: Tensor,  # (B, out_dim, rows, cols), of a window of the picture
        rel_cell: Any,  # as in `fields`
        lr_size: tuple[int, int],  # (h, w) of the picture
        origin: tuple[int, int],  # (y, x) where the window begins
    ) -> Tensor:
        """The latent stage on a window of a picture, (B, rows, cols, C), contiguous.

        Fields are those of the whole picture where the window reaches as far as the latent stage sees.
        """
        return self.fields(features, rel_cell)

    def tile_starts(
        self, lr_size: tuple[int, int]  # (h, w) of the picture
    ) -> tuple[Sequence[int], Sequence[int]] | None:
        """Rows and columns where the blocks begin that the latent stage sees as a whole, from 0 on; None: no blocks."""
        return None

    def render_weights(self) -> Tensor:
        """The render MLP's shared matrices as one flat vector (1-D), packed once and kept while they do not change."""
        return self._packed.get("render", tuple(self._render_parameters()), self._pack_render)

    def render_grid(
        self,
        inp: Tensor,  # (B, 3, h, w), the image as 2 * image - 1
        size: tuple[int, int],  # (H, W) of the whole output
        *,
        fields: Tensor | None = None,  # (B, h, w, C), from `fields`, if they exist already
        lr_size: tuple[int, int] | None = None,  # (h, w) of the picture that inp and fields are a window of, or None
        fields_origin: tuple[int, int] = (0, 0),  # (y, x) where that window begins
        cell: tuple[float, float] | None = None,  # (cell_y, cell_x), or None: the upscaling rule of `rel_cell_of`
        window: tuple[int, int, int, int] | None = None,  # (y0, x0, rows, cols) of the output, or None: all of it
        epilogue: str = "none",
        dtype: torch.dtype | None = None,
        layout: str = "nchw",
    ) -> Tensor:
        """Render a regular grid: (B, 3, rows, cols), or (B, rows, cols, 3) in layout "nhwc".

        Args:
            epilogue: "none": values as the network gives them; "unit": brought to [0, 1] and clamped.
            dtype: of the result; None: the input's, float32 at least. torch.uint8 needs epilogue="unit".

        Raises:
            InputError: a shape, dtype, size or option does not fit.
            BackendError: the backend asked for cannot run this.
        """
        self._check_input(inp)
        size = whole_numbers("size", size, 2)
        if not torch.compiler.is_compiling() and min(size) < 1:
            raise InputError(f"output size {size[0]} x {size[1]}: both sides must be 1 or more.")
        cell = cell_pair(cell)
        dtype = torch.promote_types(inp.dtype, torch.float32) if dtype is None else dtype
        if fields is None:
            if lr_size is not None:
                raise InputError("lr_size goes with fields: give the fields of that window.")
            rel_cell = self.rel_cell_of(inp.shape[-2:], size, cell)
            fields = self.fields(self.encode(inp), rel_cell)
        lr_size = inp.shape[-2:] if lr_size is None else lr_size
        return ops.render_grid(
            self.family, fields, self.render_weights(), self.render_spec, size, skip=inp if self.has_skip else None,
            cell=cell, window=window, lr_size=lr_size, lr_origin=fields_origin, epilogue=epilogue, dtype=dtype,
            layout=layout, backend=self.backend)

    def _render_points(self, inp, fields, coord, cell):
        return ops.render_points(self.family, fields, self.render_weights(), self.render_spec, coord, cell,
                                 skip=inp if self.has_skip else None, backend=self.backend)

    @staticmethod
    def first_rel_cell(
        inp: Tensor,  # (B, any, h, w)
        cell: Tensor,  # (B, Q, 2), Q at least 1
    ) -> Tensor:
        """The relative cell of each image's first query, (B, 2): what the latent stage uses for queries at points."""
        h, w = inp.shape[-2:]
        return torch.stack((cell[:, 0, 0] * h, cell[:, 0, 1] * w), dim=-1)

    @staticmethod
    def rel_cell_of(
        lr_size: tuple[int, int], size: tuple[int, int], cell: tuple[float, float] | None = None
    ) -> tuple[float, float]:
        """The relative cell (y, x) that the networks see when lr_size (h, w) is rendered at size (H, W).

        It stops falling above x4, the largest scale in training: cell = 2 / out * max(out / in / 4, 1) per axis.
        """
        if cell is None:
            cell = tuple(upscale_cell(n_in, n_out) for n_in, n_out in zip(lr_size, size))
        return cell[0] * lr_size[0], cell[1] * lr_size[1]

    def modulation_intensity(
        self,
        fields: Tensor,  # (B, h, w, C), from `fields`, or a part of them
    ) -> Tensor:
        """How much detail each cell has: the mean of |t| over the shift modulations of all layers, (B, h, w).

        In float32 at least (LMF, arXiv 2404.16451, section 3.4). Raises InputError if the model has no shifts.
        """
        mlp = getattr(self, "render_mlp", None)
        if mlp is None or not mlp.mod_shift:
            raise InputError(f"CMSR needs shift modulations, as LM-LIIF, LM-LTE and LM-CiaoSR have them; this model is "
                             f"{self.name}{' without them' * (mlp is not None)}. Leave cmsr out.")
        render = self.imnet if hasattr(self, "imnet") else self.imnet_q  # LM-CiaoSR has the authors' other name
        return published_shift(fields, [linear.bias for linear in render.linears[:-1]]).abs_().mean(dim=-1)

    # For subclasses

    def _pack_render(self):
        """Flat render weights from the parameters."""
        raise NotImplementedError

    def _render_parameters(self):
        """The parameters that `_pack_render` reads."""
        return parameters_of(self.imnet)

    # Packed weights follow the parameters, never the module

    def repack(self) -> None:
        """Drop the packed weights: needed only after writing through `parameter.data`, which torch does not count."""
        self._packed.clear()

    def __getstate__(self):
        return {**self.__dict__, "_packed": PackCache(), **self._no_image()}

    def _replicate_for_data_parallel(self):
        replica = super()._replicate_for_data_parallel()
        replica._packed = PackCache()
        replica.__dict__.update(self._no_image())
        return replica

    def _apply(self, fn, recurse=True):
        self._packed.clear()
        self.__dict__.update(self._no_image())
        return super()._apply(fn, recurse)

    # Checks

    def _check_input(self, inp):
        """One sentence for each way in which an image can be wrong."""
        if not torch.is_tensor(inp) or inp.dim() != 4 or inp.shape[1] != 3:
            got = tuple(inp.shape) if torch.is_tensor(inp) else type(inp).__name__
            raise InputError(f"The input is a tensor (B, 3, h, w), got {got}.")
        if 0 in inp.shape:
            raise InputError(f"The input is empty: its shape is {tuple(inp.shape)}.")
        weight = next(parameters_of(self))
        if inp.device != weight.device:
            raise InputError(f"The input is on {inp.device}, the model on {weight.device}; move one of them.")
        mixed = inp.is_floating_point() and autocast_is_on(inp.device.type)
        if inp.dtype != weight.dtype and not mixed:
            raise InputError(f"The input is {inp.dtype}, the model {weight.dtype}; convert one of them.")

    def check_queries(
        self,
        inp: Tensor,  # (B, any, h, w), on the device of the queries
        coord: Tensor,  # (B, Q, 2)
        cell: Tensor | None,  # (B, Q, 2) or broadcastable to it
    ) -> tuple[Tensor, Tensor]:
        """coord and cell as float32 at least, both (B, Q, 2).

        Raises:
            InputError: a shape, dtype or device does not fit.
        """
        if cell is None and not self.uses_cell and torch.is_tensor(coord):
            cell = torch.zeros_like(coord)
        if torch.is_tensor(coord) and torch.is_tensor(cell) and _broadcasts(cell.shape, coord.shape):
            cell = cell.expand(coord.shape)
        for what, value in (("coord", coord), ("cell", cell)):
            if not torch.is_tensor(value) or value.dim() != 3 or value.shape[-1] != 2:
                got = tuple(value.shape) if torch.is_tensor(value) else type(value).__name__
                raise InputError(f"{what} is a tensor (B, Q, 2), got {got}.")
            if value.shape[0] != inp.shape[0]:
                raise InputError(f"{what} is for {value.shape[0]} images, the input has {inp.shape[0]}.")
            if value.device != inp.device or not value.is_floating_point():
                raise InputError(f"{what} is floating point on the input's device, {inp.device}; "
                                 f"got {value.dtype} on {value.device}.")
        if coord.shape != cell.shape:
            raise InputError(f"coord and cell have one shape, got {tuple(coord.shape)} and {tuple(cell.shape)}.")
        dtype = torch.promote_types(torch.promote_types(coord.dtype, cell.dtype), torch.float32)
        return coord.to(dtype), cell.to(dtype)


def _broadcasts(shape, target):
    """Whether a tensor of that shape can be expanded to target without more dimensions than it has."""
    return len(shape) <= len(target) and all(n in (1, m) for n, m in zip(shape[::-1], target[::-1]))
