"""New methods for the authors' LIIF and LTE: `gen_feat(inp)` keeps an image's features, `query_rgb` renders them.

`gen_feat` stays theirs. What it leaves in `feat`, or in `coeff` and `freqq`, is turned into fields at the first query
and kept for the following ones.
"""

import inspect
from contextlib import nullcontext
from functools import wraps

import torch

from . import original as originals
from .queries import render


def methods(fields_of):
    """{name: function that makes the new method from the original}. fields_of(twin, module): (sources, build) as
    `Kept.get` takes them, from what the original `gen_feat` has left."""

    def query_rgb(original):
        @wraps(original)
        def method(self, coord, cell=None):
            if self.training:
                return originals.run(original, self, coord, cell)
            twin = self._lmf_twin.of(self)
            fields = self._lmf_twin.fields.get(*fields_of(twin, self))
            return render(twin, fields, self.feat, coord, cell, self.inp if twin.has_skip else None)

        return method

    return {"forward": forward, "gen_feat": gen_feat, "query_rgb": query_rgb, "batched_predict": batched_predict}


def gen_feat(original):
    """The authors' own, on any device; the last image's fields are let go before it runs."""

    @wraps(original)
    def method(self, *args, **kwargs):
        self._lmf_twin.fields.clear()
        return originals.run(original, self, *args, **kwargs)

    return method


def forward(original):
    """Features and all queries in one; the kernels need no `bsize`."""
    signature = inspect.signature(original)

    @wraps(original)
    def method(self, *args, **kwargs):
        given = signature.bind(self, *args, **kwargs).arguments
        if self.training or given.get("coord") is None:
            return originals.run(original, self, *args, **kwargs)
        with nullcontext() if given.get("bsize") is None else torch.no_grad():  # as their batched_predict
            self.gen_feat(given["inp"])
            return self.query_rgb(given["coord"], given.get("cell"))

    return method


def batched_predict(original):
    """The same without gradients."""

    @wraps(original)
    def method(self, inp, coord, cell, bsize):
        if self.training or coord is None:
            return originals.run(original, self, inp, coord, cell, bsize)
        with torch.no_grad():
            self.gen_feat(inp)
            return self.query_rgb(coord, cell)

    return method


def liif_fields(twin, module):
    """The first layer on the unfolded features."""
    return (module.feat, *twin.imnet.linears[0].parameters()), lambda: twin.fields(module.feat, None)


def lte_fields(twin, module):
    """Coefficients and frequencies as rows."""

    def build():
        return torch.cat((module.coeff, module.freqq), dim=1).permute(0, 2, 3, 1).contiguous()

    return (module.coeff, module.freqq), build
