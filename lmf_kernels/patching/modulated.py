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


def methods(fields_of, maps):
    """{name: function that makes the new method from the original}.

    fields_of(twin, *maps, modulations): fields, see below. maps: names of the leading arguments of `query_rgb` and its
    relatives.
    """

    def query(original):
        """query_rgb, query_rgb_fast: (*maps, coord, cell[, batched])."""
        signature = inspect.signature(original)

        @wraps(original)
        def method(self, *args, **kwargs):
            if self.training:
                return originals.run(original, self, *args, **kwargs)
            given = signature.bind(self, *args, **kwargs).arguments
            skip = not given.get("batched", False)
            return rendered(self, [given[name] for name in maps], given["coord"], given.get("cell"), skip)

        return method

    def batched_query(original):
        """batched_query_rgb: (*maps, coord, cell, bsize), all at once."""
        signature = inspect.signature(original)

        @wraps(original)
        def method(self, *args, **kwargs):
            if self.training:
                return originals.run(original, self, *args, **kwargs)
            given = signature.bind(self, *args, **kwargs).arguments
            return rendered(self, [given[name] for name in maps], given["coord"], given.get("cell"), True)

        return method

    def rendered(self, given, coord, cell, skip):
        twin = self._lmf_twin.of(self)
        sources = (*given, *twin.imnet.parameters())
        fields = self._lmf_twin.fields.get(sources, lambda: fields_of(twin, *given))
        return render(twin, fields, given[0], coord, cell, self.inp if skip and twin.has_skip else None)

    return {"forward": forward, "gen_feats": theirs, "gen_modulations": gen_modulations, "query_rgb": query,
            "query_rgb_fast": query, "batched_query_rgb": batched_query, "query_rgb_cmsr": theirs,
            "update_scale2mean": theirs}


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
    base = F.linear(_rows(feat), twin.imnet.linears[0].weight[:, :feat.shape[1]])
    return torch.cat((*_modulations(twin, twin.imnet, mod), base), dim=-1)


def lmlte_fields(
    twin,
    coef,  # (B, in_dim, h, w)
    freq,  # (B, in_dim, h, w)
    mod,  # (B, mod_dim and more, h, w)
):
    """[scale | shift with the bias | coef | freq], (B, h, w, C), of the authors' maps."""
    return torch.cat((*_modulations(twin, twin.imnet, mod), _rows(coef), _rows(freq)), dim=-1)


def _modulations(twin, imnet, mod):
    """(scale, shift with the bias) as rows, zero where the model has none."""
    mlp = twin.render_mlp
    biases = torch.cat([linear.bias for linear in imnet.linears[:-1]])
    parts = _rows(mod)[..., :mlp.mod_dim].split(len(biases), dim=-1)
    scale = parts[0] if mlp.mod_scale else torch.zeros_like(parts[0])
    shift = torch.addcmul(biases, biases, scale)
    return scale, shift + parts[-1] if mlp.mod_shift else shift


def _rows(maps):
    return maps.permute(0, 2, 3, 1)
