"""Stand-ins for the authors' model classes: their attributes, signatures and `.cuda()`, computing with `python_ref`."""

import copy

import torch
from torch import nn

import python_ref
from lmf_kernels.models import build_model
from python_ref.geometry import grid_coord
from random_models import draw_spec, options


class _MLP(nn.Module):
    """As the authors' "mlp" and "lmmlp" hold their layers."""

    def __init__(self, layers, **modulation):
        super().__init__()
        self.layers = layers
        self.__dict__.update(modulation)


class _Model(nn.Module):
    """Parameters and options of one of our models, under the attributes of the authors' classes."""

    def __init__(self, ours):
        super().__init__()
        self._ours, self.options = [ours], options(ours)
        for name, child in ours.named_children():
            modulation = {}
            if name == "imnet" and ours.name.startswith("lm"):
                modulation = {key: ours.spec["args"]["imnet_spec"]["args"][key] for key in ("mod_scale", "mod_shift")}
            setattr(self, name, _MLP(child.layers, **modulation) if hasattr(child, "layers") else child)
        for name in ("local_ensemble", "feat_unfold", "cell_decode", "mod_input"):
            if name in ours.spec["args"]:
                setattr(self, name, ours.spec["args"][name])

    @property
    def weights(self):
        return dict(self.named_parameters())

    def _coordinates(self, inp):
        self.feat_coord = grid_coord(inp.shape[-2:], dtype=inp.dtype).cuda()  # fails on machines without CUDA


class LIIF(_Model):
    def gen_feat(self, inp):
        self._coordinates(inp)
        self.feat = self.encoder(inp)
        return self.feat

    def query_rgb(self, coord, cell=None):
        codes = python_ref.liif.latent_published(self.feat, options=self.options)
        return python_ref.liif.render_published(codes, self.weights, coord, cell, self.options)

    def forward(self, inp, coord, cell):
        self.gen_feat(inp)
        return self.query_rgb(coord, cell)


class LTE(_Model):
    def gen_feat(self, inp):
        self.inp = inp
        self._coordinates(inp)
        self.feat = self.encoder(inp)
        self.coeff, self.freqq = self.coef(self.feat), self.freq(self.feat)
        return self.feat

    def query_rgb(self, coord, cell=None):
        return python_ref.lte.render_published((self.coeff, self.freqq), self.weights, coord, cell, skip=self.inp)

    def batched_predict(self, inp, coord, cell, bsize):
        with torch.no_grad():
            self.gen_feat(inp)
            return torch.cat([self.query_rgb(*part) for part in zip(coord.split(bsize, 1), cell.split(bsize, 1))], 1)

    def forward(self, inp, coord, cell, bsize=None):
        if bsize is not None:
            return self.batched_predict(inp, coord, cell, bsize)
        self.gen_feat(inp)
        return self.query_rgb(coord, cell)


class _Modulated(_Model):
    def __init__(self, ours):
        super().__init__(ours)
        self.cmsr, self.mod_dim = False, ours.render_mlp.mod_dim

    def _batched(self, maps, coord, cell, bsize):
        return torch.cat([self.query_rgb_fast(*maps, *part)
                          for part in zip(coord.split(bsize, 1), cell.split(bsize, 1))], 1)

    def _rel_cell(self, maps, cell):
        pixels = maps.shape[-2] * maps.shape[-1]
        assert cell.shape[1] >= pixels, "the authors' code reads a cell per LR pixel"
        return torch.stack((cell[:, 0, 0] * maps.shape[-2], cell[:, 0, 1] * maps.shape[-1]), dim=-1)


class LMLIIF(_Modulated):
    def gen_feats(self, inp, inp_coord=None):
        self._coordinates(inp)
        feat = self.encoder(inp)
        return feat, python_ref.liif.latent_published(feat, options=self.options)

    def gen_modulations(self, feat, cell=None):
        rows = feat.permute(0, 2, 3, 1)
        if self.cell_decode:
            seen = self._rel_cell(feat, cell)[:, None, None].expand(*rows.shape[:3], 2)
            rows = torch.cat((rows, seen), dim=-1)
        return self.hypernet.layers(rows).permute(0, 3, 1, 2)

    def query_rgb(self, feat, mod, coord, cell=None):
        codes = None if self.mod_input else feat
        return python_ref.lmliif.render_published(codes, mod, self.weights, coord, cell, self.options)

    def query_rgb_fast(self, feat, mod, coord, cell=None):
        return self.query_rgb(feat, mod, coord, cell)

    def batched_query_rgb(self, feat, mod, coord, cell, bsize):
        return self._batched((feat, mod), coord, cell, bsize)

    def forward(self, inp, coord=None, cell=None, inp_coord=None, bsize=None):
        self.inp = inp
        if coord is None and cell is None:
            self.encoder(inp)
            return None
        feat, rich = self.gen_feats(inp, inp_coord)
        mod = self.gen_modulations(rich, cell)
        feat = mod[:, self.mod_dim:] if self.mod_input else feat
        if self.training or inp_coord is not None:
            return self.query_rgb(feat, mod, coord, cell)
        return self.batched_query_rgb(feat, mod, coord, cell, bsize or 1000)


class LMLTE(_Modulated):
    def gen_feats(self, inp, inp_coord=None):
        self._coordinates(inp)
        feat = self.encoder(inp)
        return self.coef(feat), self.freq(feat)

    def gen_modulations(self, coef, freq, cell=None):
        sums = freq.permute(0, 2, 3, 1).unflatten(-1, (-1, 2)).sum(dim=-1)
        if self.cell_decode:
            sums = sums + self.phase(self._rel_cell(coef, cell))[:, None, None]
        waves = torch.cat((torch.cos(torch.pi * sums), torch.sin(torch.pi * sums)), dim=-1)
        return self.hypernet.layers(coef.permute(0, 2, 3, 1) * waves).permute(0, 3, 1, 2)

    def query_rgb(self, coef, freq, mod, coord, cell=None, batched=False):
        skip = None if batched else self.inp
        maps = (mod, None, None) if self.mod_input else (mod, coef, freq)
        return python_ref.lmlte.render_published(maps, self.weights, coord, cell, self.options, skip=skip)

    def query_rgb_fast(self, coef, freq, mod, coord, cell=None):
        return self.query_rgb(coef, freq, mod, coord, cell)

    def batched_query_rgb(self, coef, freq, mod, coord, cell, bsize):
        return self._batched((coef, freq, mod), coord, cell, bsize)

    def codes(self, coef, freq, mod):
        """(coef, freq) that the render MLP sees."""
        width = self.imphase.weight.shape[0] * 2 if self.mod_input else 0
        return mod[:, self.mod_dim:].split(width, dim=1) if self.mod_input else (coef, freq)

    def forward(self, inp, coord=None, cell=None, inp_coord=None, bsize=None):
        self.inp = inp
        if coord is None and cell is None:
            self.encoder(inp)
            return None
        maps = self.gen_feats(inp, inp_coord)
        mod = self.gen_modulations(*maps, cell)
        maps = self.codes(*maps, mod)
        if self.training or inp_coord is not None:
            return self.query_rgb(*maps, mod, coord, cell)
        return self.batched_query_rgb(*maps, mod, coord, cell, bsize or 1000)


CLASSES = {"liif": LIIF, "lte": LTE, "lmliif": LMLIIF, "lmlte": LMLTE}


def draw(name, rng, dtype=torch.float32, **fixed):
    """An object of a stand-in class with drawn widths, options and weights, in evaluation mode."""
    torch.manual_seed(rng.randrange(1 << 30))
    spec = draw_spec(name, rng, **fixed)
    return CLASSES[name](copy.deepcopy(build_model(spec))).to(dtype).eval()
