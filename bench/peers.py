"""What a render is compared with, each doing the whole render stage of the same model.

- published: `python_ref`'s published way, as users of the papers' code have it today: per pixel and corner gather,
  concatenate, layer by layer, in eager torch.
- compiled-published: `torch.compile` of it.
- tuned-published: the same maths as fast as we know to write it in eager torch: rows gathered by index in place of
  `grid_sample`, in chunks that stay in the caches. The published code has neither.
- reference: the restructured maths in eager torch, what backend="reference" runs.
- compiled-reference: `torch.compile` of it: what algebra and a compiler give without a kernel.
- bicubic: `F.interpolate`, no network at all.
"""

import os
import shutil
from dataclasses import dataclass

import torch
import torch.nn.functional as F

import python_ref
from lmf_kernels import ops
from lmf_kernels.families import MODULATED_MLP, PLAIN_MLP
from python_ref import geometry, published
from python_ref.decoding import published_queries

from . import cases, checks

WAYS = ("published", "compiled-published", "tuned-published", "reference", "compiled-reference", "bicubic")
PLAIN_CHUNK = 30000  # queries at a time in the published evaluation of LIIF and LTE
BLOCK = 1 << 14  # queries: the widest tensors of a chunk are 4 MB


@dataclass(frozen=True)
class Peer:
    """Called as a `cases.Render` is: run(*inputs[i]). `expected` gives our own pixels for the same inputs."""

    run: object
    inputs: tuple
    lr: tuple
    size: tuple  # (H, W); (B, Q) of points
    expected: object  # (*inputs) -> (B, 3, H, W) or (B, Q, 3); None: it does other work

    @property
    def pixels(self):
        return self.size[0] * self.size[1]

    def check(self, out, *inputs):
        """The peer must do the same work: its pixels are the kernels'."""
        if self.expected is None:
            return
        expected = self.expected(*inputs)
        if expected.dim() == 4 and out.shape[-1] == 3:  # (B, H, W, 3), or (B, Q, 3) row by row
            out = out.view(out.shape[0], *self.size, 3).permute(0, 3, 1, 2)
        checks.close(out, expected, checks.PUBLISHED, f"peer at {self.lr} to {self.size}")


def make(way, model_name, scale, lr):
    """The peer `way` of a model at LR size `lr`."""
    if way == "bicubic":
        return _bicubic(scale, lr)
    return (_reference if way.endswith("reference") else _published)(way, model_name, scale, lr)


def points(model_name):
    """The published way on the queries of `cases.training_case`."""
    case = cases.training_case(model_name)
    model, module = cases.model(model_name), getattr(python_ref, model_name)
    inputs = []
    for (inp, coord, cell), given in zip(cases.training_queries(), case.inputs):
        features = model.encode(inp)
        rel_cell = cell[:, 0] * cell.new_tensor(case.lr)
        latents = module.latent_published(features, model.state_dict(), rel_cell, options_of(model))
        inputs.append((inp, features, latents, coord, cell, given))
    render = published_render(model)
    shape = tuple(inputs[0][3].shape[:2])
    return Peer(lambda *given: render(*given[:-1]), tuple(inputs), case.lr, shape, lambda *given: case.run(*given[-1]))


def why_not(way):
    """Why a way cannot run here, or None: torch.compile needs a C++ compiler at run time."""
    compilers = [os.environ.get("CXX"), "g++", "clang++"]
    if way.startswith("compiled") and not any(c and shutil.which(c.split()[0]) for c in compilers):
        return "torch.compile needs a C++ compiler: neither $CXX nor g++ nor clang++ was found"
    return None


def published_inputs(model_name, lr, size, mirrored=False):
    """`published_start` on the picture."""
    return published_start(cases.model(model_name), *cases.features(model_name, lr, mirrored), size)


def published_start(
    model,
    inp,  # (B, 3, h, w), the image as 2 * image - 1
    features,  # (B, C, h, w)
    size,
):
    """(inp, features, latents, coord, cell): what the published render stage starts from."""
    rel_cell = torch.tensor(model.rel_cell_of(inp.shape[-2:], size), device=inp.device)
    latents = getattr(python_ref, model.name).latent_published(features, model.state_dict(), rel_cell,
                                                               options_of(model))
    return inp, features, latents, *published_queries(features, size, None, None)


def published_render(model, **how):
    """The published render stage of a model as a function of `published_start`'s values."""
    sd, options = model.state_dict(), options_of(model)
    if model.name == "lmliif":
        return lambda inp, features, latents, coord, cell: python_ref.lmliif.render_published(
            features, latents, sd, coord, cell, options, **how)
    render = getattr(python_ref, model.name).render_published
    if model.family is PLAIN_MLP:
        how.setdefault("chunk", PLAIN_CHUNK)
    return lambda inp, features, latents, coord, cell: render(
        latents, sd, coord, cell, options, **({"skip": inp} if model.has_skip else {}), **how)


def options_of(model):
    """python_ref's options of a loaded model."""
    return python_ref.Options.from_args(model.spec["args"])


def _published(way, model_name, scale, lr):
    size = cases.size_of(lr, scale)
    inputs = tuple(published_inputs(model_name, lr, size, mirrored) for mirrored in (False, True))
    how = {"chunk": BLOCK, "reader": published.indexed} if way.startswith("tuned") else {}
    run = published_render(cases.model(model_name), **how)
    if way.startswith("compiled"):
        run = torch.compile(run, dynamic=False)
    model = cases.model(model_name)

    def expected(inp, features, *_):
        return model.render_grid(inp, size, fields=model.fields(features, model.rel_cell_of(lr, size)))

    return Peer(run, inputs, lr, size, expected)


def _reference(way, model_name, scale, lr):
    case = cases.checkpoint_case(model_name, scale, lr=lr)
    if way == "reference":
        def run(fields, skip):
            return ops.modulated_mlp(fields, case.weights, case.spec, case.size, skip=skip, backend="reference")
    else:
        head, layers, out = MODULATED_MLP.matrices(case.spec, case.weights)
        queries = geometry.grid_queries(lr, case.size)
        compiled = torch.compile(python_ref.modulated_mlp.render, dynamic=False)

        def run(fields, skip):
            return compiled(fields, head, layers, out, queries, skip=skip)
    return Peer(run, case.inputs, lr, case.size, case.run)


def _bicubic(scale, lr):
    size = cases.size_of(lr, scale)
    inputs = tuple((cases.picture(lr, mirrored),) for mirrored in (False, True))
    return Peer(lambda image: F.interpolate(image, size, mode="bicubic"), inputs, lr, size, None)
