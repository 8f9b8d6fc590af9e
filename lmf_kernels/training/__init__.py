"""Training of our models, bounded in time: what `lmf-kernels train` runs.

`data` draws patches, from photographs and by `graphics` and `patterns`; `degradations` makes their LR side. `objective`
is the loss of a batch, `loop` takes the steps, `run_folder` keeps what a run needs to go on, `distributed` lets several
processes share a step. The recipe is the papers' (LIIF, arXiv 2012.09161, section 4.1; LMF, arXiv 2404.16451, section
4), except for what the patches show, and that the learning rate follows elapsed time: see `Recipe`.
"""

from .blend import blend
from .models import shipping_spec
from .recipe import Recipe
from .run import train

__all__ = ["Recipe", "blend", "shipping_spec", "train"]
