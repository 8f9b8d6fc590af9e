"""Models of random shape and options, small enough for float64, and the reference's view of them."""

import random

import torch

import python_ref
from lmf_kernels.models import build_model

NAMES = ("lmliif", "lmlte", "lmciaosr", "liif", "lte")
_SWITCHES = {
    "lmliif": ("local_ensemble", "feat_unfold", "cell_decode", "mod_input"),
    "lmlte": ("local_ensemble", "cell_decode", "mod_input"),
    "lmciaosr": ("non_local_attn", "mod_input"),
    "liif": ("local_ensemble", "feat_unfold", "cell_decode"),
    "lte": (),
}


def draw_spec(name, rng=random, **fixed):
    """A model spec with random widths, depths and options; `fixed` settles some of its args."""
    args = {_named(name, "encoder_spec"): {"name": "edsr-baseline", "args": {
        "no_upsampling": True, "n_resblocks": rng.randint(0, 1), "n_feats": rng.randint(3, 9)}}}
    if name.startswith("lm"):
        mod_scale, mod_shift = rng.choice([(True, True), (True, True), (True, False), (False, True)])
        args[_named(name, "imnet_spec")] = {"name": "lmmlp", "args": {
            "out_dim": 3, "hidden_dim": 2 * rng.randint(1, 6), "hidden_depth": rng.randint(1, 4),
            "mod_scale": mod_scale, "mod_shift": mod_shift}}
        args[_named(name, "hypernet_spec")] = {"name": "mlp", "args": {"out_dim": 1, "hidden_list": _widths(rng, 0, 2)}}
    else:
        args["imnet_spec"] = {"name": "mlp", "args": {"out_dim": 3, "hidden_list": _widths(rng, 0, 3)}}
    if name == "lmciaosr":
        args.update({mlp: {"name": "mlp", "args": {"hidden_list": _widths(rng, 0, 2)}}
                     for mlp in ("prenet_q", "imnet_k", "imnet_v")})
        args.update(local_size=rng.choice([1, 2, 2]), softmax_scale=rng.choice([1, 0.6]),
                    multi_scale=rng.choice([[2], [2], [3], [1, 4]]))
    if name.endswith("lte"):
        args["hidden_dim"] = 2 * rng.randint(1, 7)
    args.update({switch: rng.random() < 0.6 for switch in _SWITCHES[name]})
    return {"name": name, "args": {**args, **fixed}}


def draw_model(name, seed, **fixed):
    """A float64 model of a spec drawn with `seed`, in evaluation mode, weights large enough to matter."""
    return _enlarged(build_model(draw_spec(name, random.Random(seed), **fixed)))


def _enlarged(model):
    model = model.double().eval()
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(1.5)
    return model


def draw_roomy_model(name, seed):
    """As `draw_model`, every parameter in use and every layer so wide that not all of its ReLUs are ever dead."""
    rng = random.Random(seed)
    spec = draw_spec(name, rng, cell_decode=True)
    args = spec["args"]
    args[_named(name, "encoder_spec")]["args"].update(n_resblocks=1, n_feats=8)
    if name.startswith("lm"):
        args[_named(name, "imnet_spec")]["args"]["hidden_dim"] = 12
        args[_named(name, "hypernet_spec")]["args"]["hidden_list"] = [16] * rng.randint(0, 2)
    else:
        args["imnet_spec"]["args"]["hidden_list"] = [16] * rng.randint(0, 3)
    if name.endswith("lte"):
        args["hidden_dim"] = 12
    if name in ("lte", "lmciaosr"):
        del args["cell_decode"]  # it has no such option
    if name == "lmciaosr":
        args.update({mlp: {"name": "mlp", "args": {"hidden_list": [16]}} for mlp in ("prenet_q", "imnet_k", "imnet_v")},
                    multi_scale=[2], non_local_attn=True, local_size=2)
    return _enlarged(build_model(spec))


def render_mlp(model):
    """The module with the render MLP's parameters."""
    return model.imnet_q if model.name == "lmciaosr" else model.imnet


def reference(name):
    """The module of python_ref that decodes this model."""
    return getattr(python_ref, name)


def options(model):
    """python_ref's options of a model."""
    return python_ref.Options.from_args(model.spec["args"])


def decode(model, inp, sd=None, **where):
    """The reference's decoding of a model's own features; `where` is size, or coord and cell."""
    sd = dict(model.named_parameters()) if sd is None else sd
    skip = {"skip": inp} if model.has_skip else {}
    return reference(model.name).decode(model.encode(inp), sd, options=options(model), **skip, **where)


def _named(name, option):
    """LM-CiaoSR's name of an option that the other models have too."""
    own = {"encoder_spec": "encoder", "imnet_spec": "imnet_q", "hypernet_spec": "hypernet_q"}
    return own[option] if name == "lmciaosr" else option


def _widths(rng, least, most):
    return [rng.randint(1, 13) for _ in range(rng.randint(least, most))]
