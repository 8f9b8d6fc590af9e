"""Which of the authors' models an object is, told from its attributes and shapes. Their code is never imported."""

from collections.abc import Callable
from typing import NamedTuple

from torch import nn

from ..errors import InputError
from . import modulated, plain


class Kind(NamedTuple):
    """One of the authors' classes.

    name: of our model. needs: attributes that its objects have. lacks: attributes of its relatives, which they do not
    have. options: attributes that are passed on to our model. specs: {argument of our model: function of the object}.
    methods: {method name: function that makes the new one from the original}. encoder: name of the argument that is the
    encoder.
    """

    name: str
    needs: tuple[str, ...]
    lacks: tuple[str, ...]
    options: tuple[str, ...]
    specs: dict[str, Callable]
    methods: dict[str, Callable]
    encoder: str = "encoder_spec"

    def flags(self, module):
        """The present values of the options."""
        return tuple(getattr(module, name) for name in self.options)

    def args(self, module, encoder):
        """Arguments of our model's class.

        Raises:
            InputError: the object is not quite one of this kind; the message says what differs.
        """
        options = dict(zip(self.options, self.flags(module)))
        return {self.encoder: encoder, **{name: spec(module) for name, spec in self.specs.items()}, **options}


def plain_spec(attribute):
    """The spec of the plain MLP that an object has under that name."""

    def spec(module):
        layers = _linears(module, attribute)
        return {"name": "mlp", "args": {"hidden_list": [layer.weight.shape[0] for layer in layers[:-1]]}}

    return spec


def modulated_spec(attribute):
    """The spec of the modulated render MLP that an object has under that name."""

    def spec(module):
        layers, mlp = _linears(module, attribute), getattr(module, attribute)
        missing = [name for name in ("mod_scale", "mod_shift") if not hasattr(mlp, name)]
        if missing or len(layers) < 2:
            raise InputError(f"its {attribute} is no modulated MLP: it lacks {missing or 'hidden layers'}.")
        return {"name": "lmmlp", "args": {
            "hidden_dim": layers[0].weight.shape[0], "hidden_depth": len(layers) - 1,
            "mod_scale": bool(mlp.mod_scale), "mod_shift": bool(mlp.mod_shift),
            "mod_up_merge": bool(getattr(mlp, "mod_up_merge", False))}}

    return spec


def _linears(module, attribute):
    """The linear layers of an MLP: `layers` of it is Linear, ReLU, Linear, ..., Linear."""
    layers = getattr(getattr(module, attribute), "layers", None)
    layers = list(layers) if isinstance(layers, nn.Sequential) else []
    wanted = [nn.Linear if index % 2 == 0 else nn.ReLU for index in range(len(layers))]
    if len(layers) % 2 == 0 or not all(map(isinstance, layers, wanted)):
        raise InputError(f"its {attribute} is no stack of linear layers with ReLU between them.")
    return layers[::2]


def _width(module):
    return module.coef.weight.shape[0]


KINDS = (
    Kind("lmliif", ("encoder", "hypernet", "imnet", "feat_unfold", "gen_feats", "gen_modulations", "query_rgb_fast"),
         ("coef", "hypernet_q"), ("local_ensemble", "feat_unfold", "cell_decode", "mod_input"),
         {"imnet_spec": modulated_spec("imnet"), "hypernet_spec": plain_spec("hypernet")},
         modulated.methods(modulated.lmliif_fields, ("feat", "mod"))),
    Kind("lmlte", ("encoder", "hypernet", "imnet", "coef", "freq", "phase", "gen_feats", "gen_modulations",
                   "query_rgb_fast"),
         ("hypernet_q",), ("local_ensemble", "cell_decode", "mod_input"),
         {"imnet_spec": modulated_spec("imnet"), "hypernet_spec": plain_spec("hypernet"), "hidden_dim": _width},
         modulated.methods(modulated.lmlte_fields, ("coef", "freq", "mod"))),
    Kind("lmciaosr", ("encoder", "imnet_q", "imnet_k", "imnet_v", "prenet_q", "hypernet_q", "gen_feats",
                      "query_latent", "query_rgb_fast"),
         (), ("local_size", "feat_unfold", "non_local_attn", "multi_scale", "softmax_scale", "mod_input"),
         {"imnet_q": modulated_spec("imnet_q"),
          **{name: plain_spec(name) for name in ("prenet_q", "hypernet_q", "imnet_k", "imnet_v")}},
         modulated.methods(modulated.lmciaosr_fields, ("feat",), own=("mod",), skip=False), encoder="encoder"),
    Kind("liif", ("encoder", "imnet", "feat_unfold", "gen_feat", "query_rgb"), ("coef", "hypernet", "imnet_q"),
         ("local_ensemble", "feat_unfold", "cell_decode"), {"imnet_spec": plain_spec("imnet")},
         plain.methods(plain.liif_fields)),
    Kind("lte", ("encoder", "imnet", "coef", "freq", "phase", "gen_feat", "query_rgb"), ("hypernet",), (),
         {"imnet_spec": plain_spec("imnet"), "hidden_dim": _width}, plain.methods(plain.lte_fields)),
)


def is_decoder(module):
    """Whether an object has the interface that LIIF introduced, recognised or not."""
    return isinstance(module, nn.Module) and callable(getattr(module, "query_rgb", None)) and hasattr(module, "encoder")


def kind_of(module):
    """The Kind of an object.

    Raises:
        InputError: it is none of these; the message says why.
    """
    for kind in KINDS:
        if all(hasattr(module, name) for name in (*kind.needs, *kind.options)) and not any(
                hasattr(module, name) for name in kind.lacks):
            absent = [name for name in kind.needs if getattr(module, name) is None]
            if absent:
                raise InputError(f"its {absent[0]} is None, so there is nothing to speed up.")
            if not isinstance(getattr(module.encoder, "out_dim", None), int):
                raise InputError("its encoder has no out_dim, the width of its features.")
            if getattr(module, "updating_cmsr", False):
                raise InputError("it is building a CMSR table; patch it when that is done.")
            return kind
    raise InputError(f"its attributes are not those of {', '.join(kind.name for kind in KINDS)}.")
