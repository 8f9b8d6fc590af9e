"""Freshly drawn render networks as matrices: the form that python_ref takes, and from which the operators' are packed.

Gradients are compared matrix by matrix, so that a small one that is lost shows.
"""

import random
from contextlib import contextmanager
from typing import NamedTuple

import pytest
import python_ref
import torch
from lmf_kernels.families import FAMILIES, RenderSpec

NEAR = 1e-5  # of a layer's largest argument: closer to 0 than this, another precision may see the ReLU's other side


class Network(NamedTuple):
    """A member of a family. Names in `matrices`: rel, cell; weight0, bias0, weight1, ... of the layers after the head,
    the output layer last (the modulated family's hidden layers have no bias)."""

    family: str
    spec: RenderSpec
    matrices: dict

    def apply(self, change):
        """The network with change(matrix) in place of each matrix."""
        return self._replace(matrices={name: change(matrix) for name, matrix in self.matrices.items()})

    def weights(self):
        """The operators' flat vector, (weight_count,). Differentiable."""
        layers = self._layers()
        head = self.matrices.get("rel"), self.matrices["cell"]
        if self.family == "modulated_mlp":
            layers = [weight for weight, _ in layers[:-1]], layers[-1]
        else:
            layers = (layers,)
        return FAMILIES[self.family].pack_weights(self.spec, *head, *layers)

    def render(
        self,
        fields,  # (B, h, w, C)
        queries,  # python_ref.geometry.Queries
        skip=None,  # (B, 3, h, w) or None
    ):
        """What python_ref renders, in one piece: (B, rows, cols, 3) or (B, Q, 3)."""
        layers = self._layers()
        hidden, out = layers[:-1], layers[-1] if layers else None
        if self.family == "modulated_mlp":
            hidden = [weight for weight, _ in hidden]
        if self.spec.head == "linear":
            head = python_ref.heads.LinearHead(self.matrices["rel"], self.matrices["cell"])
        else:
            head = python_ref.heads.FourierHead(self.matrices["cell"])
        return getattr(python_ref, self.family).render(fields, head, hidden, out, queries, skip=skip)

    def _layers(self):
        count = sum(name.startswith("weight") for name in self.matrices)
        return [(self.matrices[f"weight{k}"], self.matrices.get(f"bias{k}")) for k in range(count)]

    def __str__(self):
        return f"{self.family} {self.spec}"


def draw(family, head, seed, *, ensemble=None, widths=None):
    """A network in float64. Without `widths` up to 4 hidden layers of up to 12 channels, at least 1 where the family
    needs one."""
    choose = random.Random(seed)
    torch.manual_seed(seed)
    if widths is None:
        depth = choose.randint(1 if family == "modulated_mlp" else 0, 4)
        widths = [choose.randint(4, 12) for _ in range(depth)]
        widths = widths[:1] * depth if family == "modulated_mlp" else widths
    in_dim = 0 if head == "linear" else 2 * choose.randint(1, 6)
    spec = RenderSpec(head, in_dim, tuple(widths), choose.random() < 0.5 if ensemble is None else ensemble)
    sizes = [*widths, 3] if head == "linear" else [in_dim, *widths, 3]
    matrices = {"rel": torch.randn(sizes[0], 2), "cell": torch.randn(sizes[0], 2)}
    if head == "fourier":
        matrices = {"cell": torch.randn(in_dim // 2, 2)}
    last = len(sizes) - 2
    for k, (n_in, n_out) in enumerate(zip(sizes, sizes[1:])):
        matrices[f"weight{k}"] = torch.randn(n_out, n_in) * (2 / n_in) ** 0.5
        if family == "plain_mlp" or k == last:
            matrices[f"bias{k}"] = torch.randn(n_out)
    return Network(family, spec, {name: matrix.double() for name, matrix in matrices.items()})


def draw_inputs(
    network,
    lr_size,
    batch=2,
    skip=True,
):
    """fields (B, h, w, C) and skip (B, 3, h, w) or None, in float64. Scales, where fields have them, lie around 0."""
    channels = FAMILIES[network.family].field_channels(network.spec)
    fields = torch.randn(batch, *lr_size, channels, dtype=torch.float64) * 0.5
    return fields, torch.rand(batch, 3, *lr_size, dtype=torch.float64) * 2 - 1 if skip else None


@contextmanager
def noting_kinks():
    """Gives a function () -> bool, one per query: where no ReLU that python_ref ran inside the block is near its kink.

    A ReLU's derivative jumps at 0: a value on the other side of it changes a gradient by far more than rounding does.
    """
    near, relu = [], torch.relu

    def noting(z):
        near.append((z.abs() < NEAR * z.abs().max()).any(-1))
        return relu(z)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "relu", noting)
        yield lambda: ~torch.stack(near or [torch.tensor(False)]).any(0)


def gradients(
    values,
    grad,  # like values
    leaves,  # {name: tensor}
):
    """{name: gradient}, of those that have one."""
    found = torch.autograd.grad(values, list(leaves.values()), grad.to(values.dtype), allow_unused=True)
    return {name: gradient for name, gradient in zip(leaves, found) if gradient is not None}


def assert_each_close(
    found,  # {name: gradient}
    expected,  # {name: gradient}
    bound,
    note: object | None = None,
):
    """No gradient is zero, and each lies within `bound` of its own norm."""
    assert found.keys() == expected.keys(), note
    for name, true in expected.items():
        got = found[name].double()
        assert got.shape == true.shape and true.any(), f"the gradient of {name} is zero: {note}"
        off = ((got - true).norm() / true.norm()).item()
        assert off <= bound, f"the gradient of {name} is {off:.1e} of its norm off: {note}"
