"""LIIF's calls in two steps, for scripts written around it: an image's features first, then queries on them."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from .kept import Kept
from .pack_cache import parameters_of


class QueryInterface:
    """Part of every `Decoder`: what `test.py` and `demo.py` of the LIIF, LTE and LMF repositories call.

    Attributes:
        feat: features of the last image, as in the authors' models; None before `gen_feat`.
    """

    @staticmethod
    def _no_image():
        """The attributes of a model that holds no image's features: a new one, a copy, one that has been moved."""
        return {"feat": None, "_image": None, "_rel_cell": None, "_fields": Kept()}

    def gen_feat(
        self,
        inp: Tensor,  # (B, 3, h, w), the image as 2 * image - 1
    ) -> Tensor:
        """Encode an image, (B, out_dim, h, w), and keep it for `query_rgb`."""
        self._fields.clear()
        self.feat = self.encode(inp)
        self._image = inp
        return self.feat

    def query_rgb(
        self,
        coord: Tensor,  # (B, Q, 2), query centres (y, x) in [-1, 1]
        cell: Tensor | None = None,  # (B, Q, 2) or broadcastable to it, as for `forward`
    ) -> Tensor:
        """Values (B, Q, 3) of the image last given to `gen_feat`, as `forward` gives them.

        The fields are kept while the image, the weights and the first cell stay the same, so that queries may come in
        pieces. On a GPU, comparing the cells waits for it.

        Raises:
            InputError: there was no `gen_feat`, or a shape, dtype or device does not fit.
        """
        if self.feat is None:
            raise InputError("query_rgb needs an image's features; call gen_feat(inp) first.")
        coord, cell = self.check_queries(self._image, coord, cell)
        if coord.shape[1] == 0:
            return self._image.new_zeros(coord.shape[0], 0, 3)
        rel_cell = self.first_rel_cell(self._image, cell)
        if self._rel_cell is None or self._rel_cell.device != rel_cell.device or not torch.equal(self._rel_cell,
                                                                                                rel_cell):
            self._rel_cell = rel_cell.detach()
        modules = [part for name, part in self.named_children() if name != "encoder"]
        sources = (self.feat, self._rel_cell, *parameters_of(*modules))
        fields = self._fields.get(sources, lambda: self.fields(self.feat, rel_cell))
        return self._render_points(self._image, fields, coord, cell)

    def batched_query_rgb(
        self,
        coord: Tensor,  # (B, Q, 2)
        cell: Tensor | None = None,  # (B, Q, 2) or broadcastable to it
        bsize: int | None = None,
    ) -> Tensor:
        """`query_rgb`. Whatever bsize says, all queries run at once: nothing per query is stored but the result."""
        return self.query_rgb(coord, cell)

    @torch.no_grad()
    def batched_predict(
        self,
        inp: Tensor,  # (B, 3, h, w), the image as 2 * image - 1
        coord: Tensor,  # (B, Q, 2)
        cell: Tensor | None = None,  # (B, Q, 2) or broadcastable to it
        bsize: int | None = None,
    ) -> Tensor:
        """`gen_feat` and `query_rgb` without gradients. bsize plays no part, as for `batched_query_rgb`."""
        self.gen_feat(inp)
        return self.query_rgb(coord, cell)
