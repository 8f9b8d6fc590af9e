"""The reference in plain PyTorch: every decoder, written to be read. Everything faster is compared with it.

It imports only torch, takes encoder features rather than images, and runs in float64 when its inputs are float64.

- `geometry`: where a query falls on the low-resolution (LR) map; `published`: the same as in the papers' code.
- `modulated_mlp`, `plain_mlp`, `c2f_mlp`: one file per render family; `slices` is the geometry of the last.
- `lmliif`, `lmlte`, `lmciaosr`, `liif`, `lte`, `diif`, `dlte`: one file per model.
- `cmsr`: multi-scale rendering with any model of the modulated family.
- `heads`, `mlp`, `skip`, `options`, `decoding`: small parts that they have in common. `cross_scale`: the non-local
  attention of `lmciaosr`.

Each family and each model has two forms. `render` / `decode` is restructured by exact algebra (convolutions instead of
unfolds, biases and codes folded into the fields, separable geometry): this is what the kernels compute.
`render_published` / `decode_published` follows the papers' code (gather, concatenate, layer by layer): the peer in
benchmarks, and an independent check of the first form.
"""

from . import (c2f_mlp, cmsr, cross_scale, diif, dlte, geometry, heads, liif, lmciaosr, lmliif, lmlte, lte, mlp,
               modulated_mlp, plain_mlp, published, skip, slices)
from .options import Options, SliceOptions

__all__ = [
    "Options", "SliceOptions", "c2f_mlp", "cmsr", "cross_scale", "diif", "dlte", "geometry", "heads", "liif",
    "lmciaosr", "lmliif", "lmlte", "lte", "mlp", "modulated_mlp", "plain_mlp", "published", "skip", "slices",
]
