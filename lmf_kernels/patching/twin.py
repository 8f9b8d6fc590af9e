"""The twin of a model of the authors: one of our models on the same parameters, made from what the object shows."""

from functools import reduce

import torch
from torch import nn

from ..errors import InputError
from ..models import build_model
from ..models.kept import Kept


class _Encoder(nn.Module):
    """Stands in for the authors' encoder, which they run themselves."""

    receptive_field, window = 0, 1

    def __init__(self, out_dim):
        super().__init__()
        self.out_dim = out_dim


class Twin:
    """Belongs to one module of a recognised kind; made when it is first needed, and again after a copy.

    kind: a `recognise.Kind`. backend: the name of a backend, or "auto". fields: a Kept with the fields of the last
    image.
    """

    def __init__(self, kind, backend):
        self.kind, self.backend, self.fields = kind, backend, Kept()
        self._model = self._flags = self._slots = None

    def __deepcopy__(self, memo):
        return self.fresh()

    def fresh(self):
        """Another of the same kind, for a copy of the module."""
        return Twin(self.kind, self.backend)

    def of(self, module):
        """The twin model of `module`, its parameters those of the module as it is now.

        Raises:
            InputError: the module has been changed into something that is not of its kind.
        """
        flags = self.kind.flags(module)
        if self._model is None or flags != self._flags:
            self._model = self._build(module)
            self._flags = flags
        for own, leaf, path in self._slots:
            own[leaf] = reduce(getattr, path, module)  # the module may have been given other parameters
        return self._model

    def _build(self, module):
        spec = {"name": self.kind.name, "args": self.kind.args(module, _Encoder(module.encoder.out_dim))}
        with torch.device("meta"):  # neither memory nor random numbers
            model = build_model(spec)
        if not getattr(module, "_is_replica", False):  # torch hides the parameters of DataParallel's replicas
            _compare(model, module)
        model.backend = self.backend
        self._slots = []
        for name in (name for named in (model.named_parameters(), model.named_buffers()) for name, _ in named):
            *path, leaf = name.split(".")
            holder = reduce(getattr, path, model)
            own = holder._parameters if leaf in holder._parameters else holder._buffers
            self._slots.append((own, leaf, (*path, leaf)))
        return model.train(False)


def _compare(model, module):
    """Raise InputError unless both have the same parameters, by name and shape, but for the encoder's."""
    ours = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    theirs = {name: tuple(value.shape) for name, value in module.state_dict().items()
              if not name.startswith("encoder.")}
    for name in {**ours, **theirs}:
        if ours.get(name) != theirs.get(name):
            said = [f"{shape}" if shape else "none" for shape in (theirs.get(name), ours.get(name))]
            raise InputError(f"its parameter {name} has the shape {said[0]}, a {model.name} would have {said[1]}.")
