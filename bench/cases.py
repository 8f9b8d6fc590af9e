"""What is rendered: a real picture through real checkpoints, and random networks of other widths and depths."""

import copy
import functools
import math
from dataclasses import dataclass, field

import torch

import lmf_kernels as lmf
from lmf_kernels import ops
from lmf_kernels.backends.call import RenderCall
from lmf_kernels.backends.cpu import native
from lmf_kernels.backends.native_call import addresses
from lmf_kernels.images import read_image
from lmf_kernels.families import MODULATED_MLP
from lmf_kernels.request import output_size

from . import config, operations


@dataclass(frozen=True)
class Render:
    """A grid render through the family's operator, on the compiled CPU kernels.

    The rounds of a case take the inputs in turn, so that no round finds the data of the round before in a cache.
    """

    model: str  # its name, or "random"
    spec: lmf.RenderSpec
    weights: torch.Tensor
    inputs: tuple  # of (fields (1, h, w, C), skip (1, 3, h, w) or None)
    size: tuple  # (H, W)
    options: dict = field(default_factory=dict)  # epilogue, dtype, layout
    family: lmf.families.Family = MODULATED_MLP

    def run(self, fields, skip):
        render = getattr(ops, self.family.name)
        return render(fields, self.weights, self.spec, self.size, skip=skip, backend="cpu", **self.options)

    @property
    def lr(self):
        return tuple(self.inputs[0][0].shape[1:3])

    @property
    def pixels(self):
        return self.size[0] * self.size[1]

    @property
    def flop(self):
        return operations.grid_flop(self.spec, self.lr, self.size, self.family)


@dataclass(frozen=True)
class Points:
    """Free query points through the family's operator, as training asks for them."""

    model: str
    spec: lmf.RenderSpec
    weights: torch.Tensor
    inputs: tuple  # of (fields (B, h, w, C), coord (B, Q, 2), cell (B, Q, 2))
    family: lmf.families.Family = MODULATED_MLP

    def run(self, fields, coord, cell):
        render = getattr(ops, f"{self.family.name}_points")
        return render(fields, self.weights, self.spec, coord, cell, backend="cpu")

    @property
    def lr(self):
        return tuple(self.inputs[0][0].shape[1:3])

    @property
    def pixels(self):
        coord = self.inputs[0][1]
        return coord.shape[0] * coord.shape[1]

    @property
    def flop(self):
        return operations.points_flop(self.spec, self.pixels)


def kernel_alone(case, fields, skip, out):
    """The compiled function on a packed call, writing to `out`: no operator, no allocation."""
    call = RenderCall(MODULATED_MLP, case.spec, fields, case.weights, skip=skip, size=case.size,
                      window=(0, 0, *case.size), lr=(0, 0, *case.lr), **case.options)
    packed, at = native.packer.modulated_mlp(call, out.stride()), addresses(call, out)

    def run():
        native.module.modulated_mlp(packed, at, config.THREADS)
        return out

    run.call = call  # its tensors stay alive
    return run


@functools.cache
def model(name):
    """The golden checkpoint of a model."""
    return lmf.load_model(config.CHECKPOINTS / f"{name}.pth").requires_grad_(False)


def full_model():
    """The golden LM-LIIF with 16 residual blocks."""
    golden = model("lmliif")
    spec = copy.deepcopy(golden.spec)
    spec["args"]["encoder_spec"]["args"]["n_resblocks"] = 16
    torch.manual_seed(0)
    full = lmf.build_model(spec).eval().requires_grad_(False)
    decoder = {name: value for name, value in golden.state_dict().items() if not name.startswith("encoder.")}
    full.load_state_dict(decoder, strict=False)
    return full


@functools.cache
def picture(lr, mirrored=False):
    """The bundled photograph at lr (h, w), in [0, 1]: cut, or continued by its mirror image. (1, 3, h, w)"""
    image = read_image(config.PICTURE)
    for axis, wanted in zip((2, 3), lr):
        have = image.shape[axis]
        place = torch.arange(wanted) % (2 * have)
        image = image.index_select(axis, torch.where(place < have, place, 2 * have - 1 - place))
    return image.flip(3) if mirrored else image


@functools.lru_cache(maxsize=8)
def features(name, lr, mirrored=False):
    """(normalised image, encoder features) of the picture."""
    inp = picture(lr, mirrored) * 2 - 1
    return inp, model(name).encode(inp)


@functools.lru_cache(maxsize=2)  # the kernels of one size follow each other; a pair of fields is 100 MB
def _inputs(name, lr, size):
    found = model(name)
    pairs = []
    for mirrored in (False, True):
        inp, feat = features(name, lr, mirrored)
        pairs.append((found.fields(feat, found.rel_cell_of(lr, size)), inp if found.has_skip else None))
    return tuple(pairs)


def size_of(lr, scale):
    """Output size of a scale's name, (H, W)."""
    return output_size(lr, config.SCALES[scale])


def checkpoint_case(name, scale, *, lr=None, ensemble=True, half=None, **options):
    """The render stage of a golden checkpoint on the picture. half: a type to which everything is rounded, or None."""
    lr = config.LR if lr is None else lr
    found, size = model(name), size_of(lr, scale)
    weights, inputs = found.render_weights(), _inputs(name, lr, size)
    if half is not None:
        weights = weights.to(half)
        inputs = tuple(tuple(None if t is None else t.to(half) for t in pair) for pair in inputs)
    return Render(name, found.render_spec._replace(ensemble=ensemble), weights, inputs, size, options, found.family)


def random_case(hidden, depth, scale):
    """The linear head at another width or depth. Gains as a trained network has them: nothing dies out or overflows."""
    spec = lmf.RenderSpec("linear", 0, (hidden,) * depth)
    generator = torch.Generator().manual_seed(hidden * 100 + depth)

    def randn(*shape):
        return torch.randn(*shape, generator=generator)

    weights = torch.cat([(randn(*shape) * math.sqrt(2 / shape[0])).flatten()
                         for shape in MODULATED_MLP.weight_shapes(spec)])
    inputs = tuple((0.3 * randn(1, *config.LR, MODULATED_MLP.field_channels(spec)), None) for _ in range(2))
    return Render("random", spec, weights, inputs, size_of(config.LR, scale))


@functools.lru_cache(maxsize=1)
def training_queries(batch=16, queries=2304):
    """Two training batches (inp, coord, cell): patches of the picture, random points on each, an own scale each."""
    h, w = config.TILE
    generator = torch.Generator().manual_seed(0)
    source = picture((4 * h, 4 * w)) * 2 - 1
    patches = torch.cat([part for rows in source.split(h, 2) for part in rows.split(w, 3)])[:batch]
    batches = []
    for inp in (patches, patches.flip(3)):
        scales = 1 + 3 * torch.rand(batch, 1, 1, generator=generator)
        cell = (2 / (scales * torch.tensor([float(h), float(w)]))).expand(batch, queries, 2).contiguous()
        batches.append((inp, 2 * torch.rand(batch, queries, 2, generator=generator) - 1, cell))
    return tuple(batches)


def training_case(name):
    """The render stage of a training step's forward pass."""
    found, inputs = model(name), []
    for inp, coord, cell in training_queries():
        fields = found.fields(found.encode(inp), cell[:, 0] * cell.new_tensor(inp.shape[-2:]))
        inputs.append((fields, coord, cell))
    return Points(name, found.render_spec, found.render_weights(), tuple(inputs), found.family)
