"""What a render family is: the one object that the rest of the package asks, whichever family it is."""

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple, get_origin, get_type_hints

import torch

from .dense import random_pixels
from .maps import CELLS, FieldMap

_SCHEMA_TYPES = {str: "str", int: "int", bool: "bool", float: "float", tuple: "int[]"}


class Example(NamedTuple):
    """Members of a family that stand for one variant in a self-check."""

    network: Any  # spec as the papers' models have it
    other: Any  # spec of widths that are not multiples of 16
    seed: int  # of the random numbers: one with which no ReLU's argument is so near 0 that float32 flips its sign


class Family(ABC):
    """A render family: how a pixel is computed from the fields around it.

    A family has one instance, which holds no state. `families.register` makes it known, and `ops.register_family` also
    makes its operators. Models name their family, and backends bring kernels for it.

    Attributes:
        name: of the operators, and of the files that hold the family's kernels.
        spec_type: a NamedTuple class of str, int, bool, float and tuples of int, which describes one member of the
            family. It has a field `out_dim`, the channels of a pixel.
        map: the `maps.FieldMap` on which the fields live, and what a window of the output reads of it; `map_of` where
            that depends on the spec.
        no_points: None if the family renders free query points, else the reason why it does not.
        plain_torch: name of a renderer in plain torch operators, for what the operators cannot do (second derivatives),
            or None.
        whole_numbers: names of the spec's fields that hold ints or tuples of ints; read from `spec_type`.
    """

    name: str
    spec_type: type
    map: FieldMap = CELLS
    no_points: str | None = None
    plain_torch: str | None = None
    whole_numbers: tuple[str, ...] = ()

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if hasattr(cls, "spec_type"):
            kinds = get_type_hints(cls.spec_type).items()
            cls.whole_numbers = tuple(name for name, kind in kinds if (get_origin(kind) or kind) in (int, tuple))

    @abstractmethod
    def validate_spec(self, spec: Any) -> None:
        """Raise InputError unless `spec` (of `spec_type`, with values of the right types) is a member."""

    @abstractmethod
    def field_channels(self, spec: Any) -> int:
        """Number of channels C of the fields (B, rows, cols, C)."""

    @abstractmethod
    def weight_shapes(self, spec: Any) -> list[tuple[int, ...]]:
        """Shapes of the pieces of the flat weight vector, in order."""

    def map_of(self, spec: Any):
        """The `maps.FieldMap` of one member of the family."""
        return self.map

    def variant(self, spec: Any) -> str:
        """A short name for members of the family that run different code and are measured separately."""
        return "all"

    def examples(self):
        """{variant: Example}: members that the self-check on a user's GPU runs."""
        return {}

    def dense(
        self,
        spec,
        fields,  # (B, rows, cols, C) float
        weights,  # (weight_count,) float
        coord,  # (B, Q, 2) float
        cell,  # (B, Q, 2) float
        skip=None,  # (B, out_dim, h, w) float, or None
    ):
        """Render query points with plain torch operators that are fast to differentiate: (B, Q, out_dim).

        It keeps every activation, so it is for training, where there are few pixels. The reference keeps none and is
        slow to differentiate. A family without points may take only those that training draws: pixels of a grid, with
        one size of grid for each image.
        """
        raise NotImplementedError(f"{self.name} has no dense form.")

    def training_pixels(
        self,
        spec: Any,
        rng,  # numpy.random.Generator
        n_in: int,
        n_out: int,
        count: int,
    ):
        """The pixels of a square HR patch that a training step renders: sorted indices, (count,) int64.

        Args:
            n_in, n_out: sides of the LR and the HR patch.
            count: how many; more than the patch has are drawn with repetition.
        """
        return random_pixels(rng, n_in, n_out, count)

    def weight_count(self, spec: Any) -> int:
        """Length of the flat weight vector."""
        return sum(map(math.prod, self.weight_shapes(spec)))

    def flatten_weights(
        self,
        spec,
        pieces,  # tensors with the shapes of `weight_shapes`, in order
    ):
        """The flat weight vector, (weight_count,). Differentiable. Raises ValueError if a piece does not fit."""
        shapes = [tuple(piece.shape) for piece in pieces]
        if shapes != self.weight_shapes(spec):
            raise ValueError(f"Render weights of shapes {shapes} do not fit {spec}: expected "
                             f"{self.weight_shapes(spec)}.")
        return torch.cat([piece.reshape(-1) for piece in pieces])

    def unpack_weights(
        self,
        spec,
        weights,  # (weight_count,)
    ):
        """Views of the pieces of the flat weight vector, in the order of `weight_shapes`."""
        shapes = self.weight_shapes(spec)
        return [piece.view(shape) for piece, shape in zip(weights.split([*map(math.prod, shapes)]), shapes)]

    def instead(self):
        """What to do where the operators have no derivatives: the end of an error message."""
        return f"call {self.plain_torch} itself" if self.plain_torch else "write the formula in torch operators"

    def spec_schema(self):
        """The fields of `spec_type` as arguments of a torch operator schema."""
        kinds = get_type_hints(self.spec_type)
        return ", ".join(f"{_SCHEMA_TYPES[get_origin(kind) or kind]} {name}" for name, kind in kinds.items())

    def spec_of(self, values):
        """A spec from the values of an operator's arguments: torch hands over tuples as lists."""
        return self.spec_type(*[tuple(value) if isinstance(value, list) else value for value in values])

    def __repr__(self):
        return f"<render family {self.name}>"

    def __deepcopy__(self, memo):
        return self  # a family is compared by identity

    def __reduce__(self):
        return _by_name, (self.name,)


def _by_name(name):
    from . import FAMILIES

    return FAMILIES[name]


