"""New methods for the authors' LM-LIIF, LM-LTE and LM-CiaoSR.

`forward` goes from the encoder's features straight to fields. The authors' other methods pass maps on: codes and raw
modulations, from which fields are made and kept until other maps come.
"""

import inspect
from functools import wraps

import torch
from torch.nn import functional as F

from . import original as originals
from .queries import render


def methods(fields_of, maps, *, own=(), skip=True):
    """{name: function that makes the new method from the original}.

    fields_of(twin, *maps): fields, see below. maps: names of the leading arguments of `query_rgb` and its relatives.
    own: further maps, which are attributes of the object. skip: these methods add the LR skip if the model has one.
    """

    def query(original):
        """query_rgb, query_rgb_fast, batched_query_rgb: (*maps, coord, cell[, batched or bsize]), all at once."""
        signature = inspect.signature(original)

        @wraps(original)
        def method(self, *args, **kwargs):
            if self.training:
                return originals.run(original, self, *args, **kwargs)
            given = signature.bind(self, *args, **kwargs).arguments
            twin = self._lmf_twin.of(self)
            read = (*(given[name] for name in maps), *(getattr(self, name) for name in own))
            fields = self._lmf_twin.fields.get((*read, *_render_mlp(twin).parameters()),
                                               lambda: fields_of(twin, *read))
            added = self.inp if skip and twin.has_skip and not given.get("batched") else None
            return render(twin, fields, read[0], given["coord"], given.get("cell", given.get("scale")), added)

        return method

    return {"forward": forward, "gen_modulations": gen_modulations,
            **dict.fromkeys(("query_rgb", "query_rgb_fast", "batched_query_rgb"), query),
            **dict.fromkeys(("gen_feats", "query_latent", "query_rgb_cmsr", "update_scale2mean"), theirs)}


def theirs(original):
    """The authors' own, on any device."""

    @wraps(original)
    def method(self, *args, **kwargs):
        return originals.run(original, self, *args, **kwargs)

    return method


def gen_modulations(original):
    """The authors' own, on any device, and also for fewer queries than LR pixels: all cells are the first one's."""
    signature = inspect.signature(original)

    @wraps(original)
    def method(self, *args, **kwargs):
        given = signature.bind(self, *args, **kwargs).arguments
        del given["self"]
        maps, cell = next(iter(given.values())), given.get("cell")
        pixels = maps.shape[-2] * maps.shape[-1]
        if cell is not None and cell.shape[1] < pixels:
            given["cell"] = cell[:, :1].expand(-1, pixels, -1)
        return originals.run(original, self, **given)

    return method


def forward(original):
    """From the image to pixels; the kernels need no `bsize`. With `inp_coord`, or CMSR, the authors' own runs."""
    signature = inspect.signature(original)

    @wraps(original)
    def method(self, *args, **kwargs):
        given = signature.bind(self, *args, **kwargs).arguments
        coord, inp = given.get("coord"), given["inp"]
        if self.training or coord is None or given.get("inp_coord") is not None or self.cmsr:
            return originals.run(original, self, *args, **kwargs)
        self.inp = inp
        twin = self._lmf_twin.of(self)
        coord, cell = twin.check_queries(inp, coord, given.get("cell"))
        if coord.shape[1] == 0:
            return inp.new_zeros(inp.shape[0], 0, 3)
        features = self.encoder(inp)
        fields = twin.fields(features, twin.first_rel_cell(inp, cell))
        return render(twin, fields, features, coord, cell, inp if twin.has_skip else None)

    return method


def lmliif_fields(
    twin,
    feat,  # (B, code, h, w)
    mod,  # (B, mod_dim and more, h, w)
):
    """[scale | shift with the bias | first layer's base], (B, h, w, C), of the authors' maps."""
    base = F.linear(_rows(feat), _render_mlp(twin).linears[0].weight[:, :feat.shape[1]])
    return torch.cat((*_modulations(twin, mod), base), dim=-1)


lmciaosr_fields = lmliif_fields  # the same, but for where the authors' methods find the modulations


def lmlte_fields(
    twin,
    coef,  # (B, in_dim, h, w)
    freq,  # (B, in_dim, h, w)
    mod,  # (B, mod_dim and more, h, w)
):
    """[scale | shift with the bias | coef | freq], (B, h, w, C), of the authors' maps."""
    return torch.cat((*_modulations(twin, mod), _rows(coef), _rows(freq)), dim=-1)


def _render_mlp(twin):
    return twin.imnet_q if hasattr(twin, "imnet_q") else twin.imnet


def _modulations(twin, mod):
    """(scale, shift with the bias) as rows, zero where the model has none."""
    mlp = twin.render_mlp
    biases = torch.cat([linear.bias for linear in _render_mlp(twin).linears[:-1]])
    parts = _rows(mod)[..., :mlp.mod_dim].split(len(biases), dim=-1)
    scale = parts[0] if mlp.mod_scale else torch.zeros_like(parts[0])
    shift = torch.addcmul(biases, biases, scale)
    return scale, shift + parts[-1] if mlp.mod_shift else shift


def _rows(maps):
    return maps.permute(0, 2, 3, 1)
