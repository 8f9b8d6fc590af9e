"""The truth in plain PyTorch: every decoder written to be read, with which everything faster is compared.

It imports only torch, takes encoder features rather than images, and runs in float64 when its inputs are float64.

- `geometry`: where a query falls on the low-resolution (LR) map; `published`: how the papers' code says the same.
- `modulated_mlp`, `plain_mlp`: one file a render family. `lmliif`, `lmlte`, `liif`, `lte`: one file a model.
- `heads`, `mlp`, `skip`, `options`, `decoding`: the small parts that they share.

Each family and each model has two forms. `render` / `decode` is restructured by exact algebra (convolutions instead of
unfolds, biases and codes folded into the fields, separable geometry): this is what the kernels compute.
`render_published` / `decode_published` is the way of the papers' code (gather, concatenate, layer by layer): the honest
peer in benchmarks, and a second opinion on the first form.
"""

from . import geometry, heads, liif, lmliif, lmlte, lte, mlp, modulated_mlp, plain_mlp, published, skip
from .options import Options

__all__ = [
    "Options", "geometry", "heads", "liif", "lmliif", "lmlte", "lte", "mlp", "modulated_mlp", "plain_mlp", "published",
    "skip",
]
