"""The operators as torch sees them: schema, fake, autograd, autocast, compile."""

import pytest
import random_networks
import torch
import torch.utils.flop_counter
from lmf_kernels.backends.reference import pieces
from lmf_kernels.errors import InputError
from lmf_kernels.ops import (
    RenderSpec, modulated_mlp, modulated_mlp_points, plain_mlp, plain_mlp_points)
from lmf_kernels.families import FAMILIES, MODULATED_MLP
from python_ref import geometry
from torch import library as torch_library

SPECS = {
    ("modulated_mlp", "linear"): RenderSpec("linear", 0, (4,) * 3),
    ("modulated_mlp", "fourier"): RenderSpec("fourier", 6, (4,) * 2),
    ("plain_mlp", "linear"): RenderSpec("linear", 0, (6, 5)),
    ("plain_mlp", "fourier"): RenderSpec("fourier", 8, (5, 7)),
}
GRID = {"modulated_mlp": modulated_mlp, "plain_mlp": plain_mlp}
POINTS = {"modulated_mlp": modulated_mlp_points, "plain_mlp": plain_mlp_points}
over_specs = pytest.mark.parametrize("family, spec", [(f, s) for (f, _), s in SPECS.items()], ids=map("-".join, SPECS))


def inputs(family, spec, dtype=torch.float32, grad=True):
    """fields, weights, skip, coord, cell: (2, 3, 4, C), (P,), (2, 3, 3, 4), (2, 5, 2), (2, 5, 2)."""
    torch.manual_seed(len(spec.widths))
    made = (torch.randn(2, 3, 4, FAMILIES[family].field_channels(spec), dtype=dtype) * 0.5,
            torch.randn(FAMILIES[family].weight_count(spec), dtype=dtype) * 0.4,
            torch.rand(2, 3, 3, 4, dtype=dtype) * 2 - 1,
            torch.rand(2, 5, 2, dtype=dtype) * 1.8 - 0.9,
            torch.rand(2, 5, 2, dtype=dtype) * 0.1 + 0.1)
    return [t.requires_grad_(grad) for t in made]


def grid_arguments(family, spec, tensors, backend="auto"):
    fields, weights, skip = tensors[:3]
    return (fields, weights, skip, [7, 9], [0, 0, 7, 9], [0, 0, 3, 4], None, spec.head, spec.in_dim, list(spec.widths),
            True, 3, "none", fields.dtype, "nchw", backend)


@over_specs
@pytest.mark.parametrize("kind", ["grid", "points"])
def test_opcheck(family, spec, kind):
    tensors = inputs(family, spec)
    if kind == "grid":
        operator, arguments = getattr(torch.ops.lmf_kernels, family).default, grid_arguments(family, spec, tensors)
    else:
        operator = getattr(torch.ops.lmf_kernels, f"{family}_points").default
        arguments = (*tensors, spec.head, spec.in_dim, list(spec.widths), True, 3, "auto")
    torch_library.opcheck(operator, arguments)
    backward = getattr(torch.ops.lmf_kernels, operator._schema.name.split("::")[1] + "_backward").default
    detached = [t.detach() if isinstance(t, torch.Tensor) else t for t in arguments]
    grad = torch.randn_like(operator(*arguments)).detach()
    count = 3 if kind == "grid" else 5
    for wanted in ([True] * count, [True, True] + [False] * (count - 2)):
        torch_library.opcheck(backward, (grad, wanted, *detached))


@over_specs
def test_gradcheck_grid(family, spec):
    tensors = inputs(family, spec, torch.float64)[:3]

    def render(fields, weights, skip):
        return GRID[family](fields, weights, spec, (5, 9), skip=skip, dtype=torch.float64, layout="nhwc")

    assert torch.autograd.gradcheck(render, tensors)


def test_gradcheck_through_the_finish_and_over_pieces(monkeypatch):
    """[0, 1] output has the clamp's gradient; a render in several pieces has the sum of theirs."""
    monkeypatch.setattr(pieces, "PIXELS_AT_ONCE", 40)
    family, spec = "modulated_mlp", SPECS["modulated_mlp", "linear"]
    tensors = inputs(family, spec, torch.float64)

    def grid(fields, weights, skip):
        return modulated_mlp(fields, weights, spec, (9, 7), skip=skip, dtype=torch.float64, epilogue="unit")

    values = grid(*tensors[:3])
    assert (values == 0).any() or (values == 1).any(), "nothing is clamped: the case shows nothing"
    assert torch.autograd.gradcheck(grid, tensors[:3])

    def points(*tensors):
        fields, weights, skip, coord, cell = tensors
        return modulated_mlp_points(fields, weights, spec, coord, cell, skip=skip)

    monkeypatch.setattr(pieces, "PIXELS_AT_ONCE", 4)
    assert torch.autograd.gradcheck(points, tensors)


@over_specs
@pytest.mark.parametrize("ensemble", [True, False])
def test_gradcheck_points(family, spec, ensemble):
    """Coordinates and cells have gradients too."""
    tensors = inputs(family, spec, torch.float64)

    def render(fields, weights, skip, coord, cell):
        return POINTS[family](fields, weights, spec._replace(ensemble=ensemble), coord, cell, skip=skip)

    assert torch.autograd.gradcheck(render, tensors)


@pytest.mark.parametrize("ensemble", [True, False], ids=["ensemble", "nearest"])
@pytest.mark.parametrize("family, head", SPECS)
def test_gradients_are_those_of_the_float64_reference(family, head, ensemble, seed):
    """Whichever backend runs: float32 against autograd through python_ref on the whole grid, matrix by matrix."""
    network = random_networks.draw(family, head, seed, ensemble=ensemble)
    size = (11, 13)
    fields, skip = random_networks.draw_inputs(network, (4, 5))
    # Both sides start from float32's numbers.
    fields, skip = fields.float().double().requires_grad_(), skip.float().double().requires_grad_()
    network = network.apply(lambda matrix: matrix.float().double().requires_grad_())
    with random_networks.noting_kinks() as clear:
        queries = geometry.grid_queries((4, 5), size, ensemble=ensemble, dtype=torch.float64)
        values = network.render(fields, queries, skip)
    grad = torch.randn_like(values) * clear()[..., None]  # (B, rows, cols, 3)
    assert grad.count_nonzero() > 0.9 * grad.numel()
    expected = random_networks.gradients(values, grad, {"fields": fields, "skip": skip, **network.matrices})

    fields, skip = (tensor.detach().float().requires_grad_() for tensor in (fields, skip))
    network = network.apply(lambda matrix: matrix.detach().float().requires_grad_())
    values = GRID[family](fields, network.weights(), network.spec, size, skip=skip, layout="nhwc")
    found = random_networks.gradients(values, grad, {"fields": fields, "skip": skip, **network.matrices})
    random_networks.assert_each_close(found, expected, bound=1e-5, note=network)


def small_case():
    family, spec = "modulated_mlp", SPECS["modulated_mlp", "linear"]
    return (*inputs(family, spec)[:2], spec, (6, 6))


def test_second_derivatives_are_refused():
    """torch would take them for zero."""
    call = small_case()
    (grad,) = torch.autograd.grad(modulated_mlp(*call).square().sum(), call[1], create_graph=True)
    with pytest.raises(InputError, match="no second derivatives"):
        grad.square().sum().backward()


def test_gradients_under_a_dispatch_mode_and_autocast():
    """A FLOP counter around backward, or a backward inside an autocast block, changes nothing."""
    call = small_case()
    plain = torch.autograd.grad(modulated_mlp(*call).square().sum(), call[:2])
    loss = modulated_mlp(*call).square().sum()
    with torch.utils.flop_counter.FlopCounterMode(display=False):
        counted = torch.autograd.grad(loss, call[:2])
    with torch.autocast("cpu", torch.bfloat16):
        mixed = torch.autograd.grad(modulated_mlp(*call).square().sum(), call[:2])
    for found in (counted, mixed):
        assert all(torch.equal(a, b) for a, b in zip(found, plain))


def test_gradient_only_where_asked():
    family, spec = "modulated_mlp", SPECS["modulated_mlp", "linear"]
    fields, weights, skip, *_ = inputs(family, spec, grad=False)
    fields.requires_grad_()
    modulated_mlp(fields, weights, spec, (6, 6), skip=skip).sum().backward()
    assert fields.grad is not None and weights.grad is None and skip.grad is None
    assert not modulated_mlp(fields, weights, spec, (6, 6), epilogue="unit", dtype=torch.uint8).requires_grad


def test_autocast_keeps_float32():
    family, spec = "modulated_mlp", SPECS["modulated_mlp", "linear"]
    fields, weights, *_ = inputs(family, spec, grad=False)
    plain = modulated_mlp(fields, weights, spec, (6, 6))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(modulated_mlp(fields, weights, spec, (6, 6)), plain)
        half = modulated_mlp(fields.bfloat16(), weights, spec, (6, 6))
    assert half.dtype == torch.float32
    assert torch.equal(half, modulated_mlp(fields.bfloat16().float(), weights, spec, (6, 6)))


def test_meta_tensors_give_shapes():
    spec = SPECS["modulated_mlp", "linear"]
    fields = torch.empty(2, 3, 4, MODULATED_MLP.field_channels(spec), device="meta")
    weights = torch.empty(MODULATED_MLP.weight_count(spec), device="meta")
    assert modulated_mlp(fields, weights, spec, (7, 9), layout="nhwc").shape == (2, 7, 9, 3)


@over_specs
def test_packing_round_trip(family, spec):
    """Each piece comes back where the layout says, transposed to (in, out)."""
    flat = torch.arange(float(FAMILIES[family].weight_count(spec)))
    pieces = FAMILIES[family].unpack_weights(spec, flat)
    assert [tuple(p.shape) for p in pieces] == FAMILIES[family].weight_shapes(spec)
    assert torch.equal(torch.cat([p.reshape(-1) for p in pieces]), flat)
    family = FAMILIES[family]
    heads = [p.t() for p in pieces[:2 if spec.head == "linear" else 1]]
    rest = list(pieces[len(heads):])
    if family is MODULATED_MLP:
        layers = [([p.t() for p in rest[:-2]]), (rest[-2].t(), rest[-1])]
    else:
        layers = [[(w.t(), b) for w, b in zip(rest[::2], rest[1::2])]]
    rel, cell = heads if spec.head == "linear" else (None, heads[0])
    assert torch.equal(family.pack_weights(spec, rel, cell, *layers), flat)
    without_cell = family.pack_weights(spec, rel, None, *layers)
    assert not family.unpack_weights(spec, without_cell)[len(heads) - 1].any()


WRONG = {
    "fields of the wrong width": (lambda f, w: dict(fields=f[..., 1:]), "do not fit modulated_mlp"),
    "fields without a batch": (lambda f, w: dict(fields=f[0]), "has 3 dimensions: pass 4"),
    "weights of the wrong length": (lambda f, w: dict(weights=w[1:]), "as pack_weights makes them"),
    "integer fields": (lambda f, w: dict(fields=f.int()), "fields is torch.int32"),
    "no LR cells": (lambda f, w: dict(fields=f[:, :0]), "no LR cells"),
    "a skip of another size": (lambda f, w: dict(skip=torch.zeros(2, 3, 5, 5)), "skip of shape"),
    "an empty output": (lambda f, w: dict(size=(0, 4)), "both sides must be 1 or more"),
    "a negative output": (lambda f, w: dict(size=(4, -4)), "both sides must be 1 or more"),
    "a window outside": (lambda f, w: dict(window=(0, 0, 9, 3)), "must lie inside"),
    "a NaN cell": (lambda f, w: dict(cell=(float("nan"), 1.0)), "two positive finite numbers"),
    "a zero cell": (lambda f, w: dict(cell=(0.0, 1.0)), "two positive finite numbers"),
    "bytes without an epilogue": (lambda f, w: dict(dtype=torch.uint8), 'needs epilogue="unit"'),
    "an integer output": (lambda f, w: dict(dtype=torch.int32), "use a floating-point dtype or torch.uint8"),
    "an unknown epilogue": (lambda f, w: dict(epilogue="gamma"), "epilogue='gamma'"),
    "an unknown layout": (lambda f, w: dict(layout="chw"), "layout='chw'"),
    "an unknown backend": (lambda f, w: dict(backend="tpu"), "unknown backend 'tpu'"),
    "too few rows of the map": (lambda f, w: dict(lr_size=(9, 4)), "reads LR rows 0 to 8 but the fields hold"),
    "too few columns of the map": (lambda f, w: dict(lr_size=(3, 9)), "reads LR columns 0 to 8 but the fields hold"),
    "fields off the map": (lambda f, w: dict(lr_origin=(0, -1)), "inside it"),
    "a map smaller than the fields": (lambda f, w: dict(lr_size=(2, 4)), "pass lr_size of the whole map"),
    "flat fields": (lambda f, w: dict(fields=f.flatten()), "pass 4"),
    "no fields": (lambda f, w: dict(fields=None), "fields is a NoneType"),
    "numpy fields": (lambda f, w: dict(fields=f.numpy()), "fields is a ndarray"),
    "weights on another device": (lambda f, w: dict(weights=w.to("meta")), "weights is on meta but fields are on cpu"),
    "a fractional size": (lambda f, w: dict(size=(6.0, 8.0)), "size = (6.0, 8.0): pass 2 whole numbers"),
    "a size of three": (lambda f, w: dict(size=(6, 8, 1)), "pass 2 whole numbers"),
    "a size that is one number": (lambda f, w: dict(size=6), "size = 6: pass 2 whole numbers"),
    "a size beyond all pictures": (lambda f, w: dict(size=(2**61, 8), window=(0, 0, 1, 1)), "no side of a picture"),
    "a window of three": (lambda f, w: dict(window=(0, 0, 1)), "window = (0, 0, 1): pass 4 whole numbers"),
    "an LR size of one": (lambda f, w: dict(lr_size=(3,)), "lr_size = (3,): pass 2 whole numbers"),
    "a cell of one": (lambda f, w: dict(cell=(0.1,)), "two positive finite numbers"),
    "a cell that is a tensor": (lambda f, w: dict(cell=torch.ones(2)), "two positive finite numbers"),
    "a dtype by name": (lambda f, w: dict(dtype="float32"), "pass a torch.dtype"),
    "no epilogue": (lambda f, w: dict(epilogue=None), "epilogue=None: use one of"),
    "a backend that is no name": (lambda f, w: dict(backend=[]), "unknown backend []"),
    "float8 fields": (lambda f, w: dict(fields=f.to(torch.float8_e5m2)), "pass float32, float64"),
    "a spec that is none": (lambda f, w: dict(spec=None), "pass a RenderSpec"),
    "a linear head with in_dim": (lambda f, w: dict(spec=RenderSpec("linear", 2**31 - 1, (4,) * 3)), "has in_dim 0"),
    "fractional widths": (lambda f, w: dict(spec=RenderSpec("linear", 0, (4.5,))), "must be whole numbers"),
    "immense widths": (lambda f, w: dict(spec=RenderSpec("linear", 0, (10**9,))), "must be from 1 to 4096"),
    "an unknown head": (lambda f, w: dict(spec=RenderSpec("cubic", 0, (4, 4, 4))), "unknown head 'cubic'"),
    "unequal widths": (lambda f, w: dict(spec=RenderSpec("linear", 0, (4, 5, 4))), "one hidden width"),
    "an odd Fourier width": (lambda f, w: dict(spec=RenderSpec("fourier", 5, (4, 4))), "even in_dim"),
}


@pytest.mark.parametrize("change, sentence", WRONG.values(), ids=WRONG)
def test_bad_input_gets_one_sentence(change, sentence):
    spec = SPECS["modulated_mlp", "linear"]
    fields, weights, *_ = inputs("modulated_mlp", spec, grad=False)
    options = dict(fields=fields, weights=weights, spec=spec, size=(6, 8))
    options.update(change(fields, weights))
    with pytest.raises(InputError) as raised:
        modulated_mlp(**options)
    text = str(raised.value)
    assert sentence in text and "\n" not in text and text.endswith(".")


def test_bad_points_get_one_sentence():
    spec = SPECS["modulated_mlp", "linear"]
    fields, weights, _, coord, cell = inputs("modulated_mlp", spec, grad=False)
    for wrong in ((coord[0], cell), (coord[..., :1], cell), (coord[:1], cell), (coord, cell[:, :2])):
        with pytest.raises(InputError, match="coord|cell"):
            modulated_mlp_points(fields, weights, spec, *wrong)


