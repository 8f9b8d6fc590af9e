"""Tests of the Triton kernel that need its interpreter; test_triton_interpreted.py runs them in a process of their own,
where TRITON_INTERPRET=1."""

import pytest
import torch
import triton
import triton.language as tl
from every_backend import poisoned
from lmf_kernels.backends import RenderCall, explain
from lmf_kernels.backends.triton import arguments, availability, configurations, modulated_backward
from lmf_kernels.backends.triton import modulated_columns
from lmf_kernels.backends.triton import modulated_mlp as face
from lmf_kernels.backends.triton.arithmetic import round_to_byte, rounded, sincospi
from lmf_kernels.ops import RenderSpec, modulated_mlp
from lmf_kernels.families import MODULATED_MLP
from networks import PAPERS
from random_renders import draw
from test_modulated_backward import assert_close, gradients, truth

HALVES = (torch.float16, torch.bfloat16)
SHIPPED = sorted({r.configuration for elements in configurations.TABLE.values() for ranges in elements.values()
                  for r in ranges})

over_papers = pytest.mark.parametrize("spec", PAPERS.values(), ids=PAPERS)


def small(seed, spec, dtype=torch.float32, scales=(2.5,)):
    call = draw(seed, points=False, spec=spec, lr_size=(3, 5), scales=scales, skip=True)
    return call._replace(fields=call.fields.to(dtype))


def render_call(call):
    """What a backend gets of the whole picture."""
    (h, w), (height, width) = call.fields.shape[1:3], call.size
    return RenderCall(MODULATED_MLP, call.spec, call.fields, call.weights, size=call.size,
                      window=(0, 0, height, width), lr=(0, 0, h, w))


@over_papers
@pytest.mark.parametrize("dtype", [torch.float32, *HALVES], ids=str)
def test_shipped_tiles_give_the_same_bits(spec, dtype, seed, monkeypatch):
    """The other tests run in large tiles, because the interpreter's time goes by programs; nothing hangs on it."""
    monkeypatch.setattr(modulated_columns, "fits", lambda call: False)
    call = small(seed, spec, dtype)
    whole = call.run("triton")
    for configuration in SHIPPED:
        monkeypatch.setattr(configurations, "choose", lambda *case, it=configuration: it)
        with poisoned():
            assert torch.equal(call.run("triton"), whole), configuration
    assert len(SHIPPED) >= 3 and min(c.rows * c.cols for c in SHIPPED) == 64


@pytest.mark.parametrize("name, dtype, scale", [("lm-liif", torch.float16, 2.5), ("lm-lte", torch.bfloat16, 1)])
def test_columns_by_any_division_give_the_same_bits(name, dtype, scale, seed, monkeypatch):
    """Columns of a program, LR rows of a program, corners at a time: a pixel's value depends on none of them."""
    call = small(seed, PAPERS[name], dtype, scales=(scale,))
    assert modulated_columns.fits(render_call(call))
    whole = call.run("triton")
    monkeypatch.setattr(modulated_columns, "INTERPRETED_COLUMNS", modulated_columns.COLUMNS)
    monkeypatch.setattr(modulated_columns, "PROGRAMS", 1)
    monkeypatch.setattr(modulated_columns, "unrolled", lambda tiles, head: 4)
    with poisoned():
        assert torch.equal(call.run("triton"), whole)


def test_columns_and_pixels_agree(seed, monkeypatch):
    """The two kernels round at different places: no further apart than halves are wide."""
    call = small(seed, PAPERS["lm-lte"], torch.float16)
    columns = call.run("triton")
    monkeypatch.setattr(modulated_columns, "fits", lambda call: False)
    pixels = call.run("triton")
    difference = (columns - pixels).abs().max()
    assert 0 < difference < 4e-3 * pixels.abs().max()


def test_fields_that_wide_loads_cannot_read(seed):
    """Records that begin anywhere are copied first."""
    call = small(seed, PAPERS["lm-liif"], torch.float16)
    odd = torch.cat([call.fields[..., :1], call.fields], 3)[..., 1:]
    assert odd.stride(2) % 16 and torch.equal(call._replace(fields=odd).run("triton"), call.run("triton"))


@pytest.mark.parametrize("head", ["linear", "fourier"])
def test_tiles_that_cost_least(head):
    """As few chunks of rows as possible, and no tile too many."""
    tiles = [modulated_columns.tiles_of(scale, head) for scale in (1, 2, 2.5, 3, 4, 6, 8, 12, 16, 24)]
    assert tiles == [1, 1, 2, 2, 2, 3, 4, 6, 4, 6]


@over_papers
@pytest.mark.parametrize("points", [False, True], ids=["grid", "points"])
def test_int64_positions_and_several_launches(spec, points, seed, monkeypatch):
    call = draw(seed, points=points, spec=spec, lr_size=(3, 5), scales=(2.5,), skip=True)
    before = call.run("triton")
    monkeypatch.setattr(configurations, "choose", lambda *case: configurations.Configuration(4, 8, 4))
    monkeypatch.setattr(arguments, "INT32", 0)
    monkeypatch.setattr(face, "PROGRAMS", 2)
    with poisoned():
        assert torch.equal(call.run("triton"), before)


@over_papers
@pytest.mark.parametrize("points", [False, True], ids=["grid", "points"])
def test_gradients_with_int64_positions_and_several_tiles_a_program(spec, points, seed, monkeypatch):
    call = draw(seed, points=points, spec=spec, lr_size=(3, 5), scales=(2.5,), skip=True)
    grad = torch.randn(call.run("reference").shape)
    monkeypatch.setattr(modulated_backward, "tile_size", lambda spec: (32, 8))
    before = gradients(call, "triton", grad)
    monkeypatch.setattr(arguments, "INT32", 0)
    monkeypatch.setattr(modulated_backward, "PROGRAMS", 2)
    with poisoned():
        fields, weights, skip = gradients(call, "triton", grad)
    assert torch.equal(fields, before[0]) and torch.equal(skip, before[2])
    assert (weights - before[1]).abs().max() < 1e-5 * before[1].abs().max()  # summed in another order


@pytest.mark.parametrize("ensemble", [True, False])
def test_the_gradients_of_an_immense_picture(ensemble, seed):
    """As below: int32 would give the far end's pixels to other cells, or to none."""
    width, lr_w, last, spec = 2 ** 31 - 1, 40_001, 3, RenderSpec("linear", 0, (2,), ensemble)
    call = draw(seed, points=False, spec=spec, lr_size=(2, last), scales=(2,), skip=True)
    options = dict(size=(3, width), window=(0, width - 90_000, 3, 90), lr_size=(2, lr_w), lr_origin=(0, lr_w - last),
                   cell=(1.0, 1e-5))
    call = call._replace(size=options.pop("size"))
    grad, expected = truth(call, seed, **options)
    assert_close(gradients(call, "triton", grad, **options), expected, call)


@pytest.mark.parametrize("spec", [PAPERS["lm-liif"], PAPERS["lm-liif"]._replace(ensemble=False)])
def test_the_far_end_of_an_immense_picture(spec, seed):
    """Two thousand million pixels wide: float32, or a product in int32, would be somewhere else."""
    width, lr_w, last = 2 ** 31 - 1, 40_001, 3
    call = draw(seed, points=False, spec=spec, lr_size=(2, last), scales=(2,), skip=True)
    options = dict(size=(3, width), window=(0, width - 90_000, 3, 90), lr_size=(2, lr_w), lr_origin=(0, lr_w - last),
                   cell=(1.0, 1e-5), backend="triton")
    got = modulated_mlp(call.fields, call.weights, spec, skip=call.skip, **options)
    options.update(backend="reference", dtype=torch.float64)
    truth = modulated_mlp(call.fields.double(), call.weights.double(), spec, skip=call.skip.double(), **options)
    assert ((got - truth).abs().max() / truth.abs().max()) < 1e-5


@over_papers
@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("weights", [torch.float32, None], ids=["weights float32", "weights half"])
def test_half_fields(spec, dtype, weights, seed):
    """At most twice the error of the same maths in eager torch of that type, both fed the rounded inputs."""
    call = small(seed, spec, dtype)
    call = call._replace(weights=call.weights.to(dtype).to(weights or dtype), skip=call.skip.to(dtype))
    truth = call.run("reference", torch.float64)
    with poisoned():
        got = call.run("triton")
    eager = call.run("reference", dtype)
    assert (got - truth).abs().max() <= 2 * (eager.double() - truth).abs().max()


@pytest.mark.parametrize("dtype", HALVES, ids=str)
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_half_stores(dtype, layout, seed):
    call = small(seed, PAPERS["lm-liif"])
    with poisoned():
        got = call.run("triton", dtype=dtype, layout=layout, epilogue="unit")
    assert torch.equal(got, call.run("triton", layout=layout, epilogue="unit").to(dtype))


def test_auto_leaves_it_out(seed):
    call = render_call(small(seed, PAPERS["lm-liif"]))
    told = explain(call)
    assert told["runs"] in ("cpu", "reference") and "triton" not in told["refusals"]
    assert explain(call, "triton")["runs"] == "triton"


@pytest.mark.parametrize("spec, reason", [
    (RenderSpec("linear", 0, (65,)), "65 wide"),
    (RenderSpec("fourier", 66, (16,)), "66 wide"),
    (RenderSpec("linear", 0, (16,), True, 4), "3 channels"),
])
def test_refusals(spec, reason):
    call = draw(1, points=False, spec=spec._replace(out_dim=3), lr_size=(2, 2), scales=(1,), skip=False)
    weights = torch.randn(MODULATED_MLP.weight_count(spec))
    with pytest.raises(RuntimeError, match=reason):
        modulated_mlp(call.fields, weights, spec, (2, 2), backend="triton")


def test_status():
    available, detail = availability.status()
    assert available and "interpreter" in detail


@triton.jit
def _apply(x, y, COUNT: tl.constexpr, FUNCTION: tl.constexpr):
    place = tl.arange(0, COUNT)
    value = tl.load(x + place)
    if FUNCTION == "byte":
        tl.store(y + place, round_to_byte(value))
    elif FUNCTION == "bf16":
        tl.store(y + place, rounded(value, tl.bfloat16, True))
    else:
        cos, sin = sincospi(value)
        tl.store(y + place, cos)
        tl.store(y + COUNT + place, sin)


def test_emulated_bfloat16_is_torch_s(seed):
    """Random bit patterns, ties, NaN with any payload, infinities, and the overflow to them."""
    x = torch.randint(-2 ** 31, 2 ** 31, (4096,)).to(torch.int32)
    x[:512] = (x[:512] & ~0xFFFF) | 0x8000
    x[512:516] = torch.tensor([0x7F800000, 0x7F7FFFFF, 0x7FFFFFFF, 0x7F800001])
    x = x.view(torch.float32)
    y = torch.empty_like(x)
    _apply[(1,)](x, y, 4096, "bf16")
    expected = x.bfloat16().float()
    assert x.isnan().any() and torch.equal(y.isnan(), x.isnan())
    assert torch.equal(y[~x.isnan()], expected[~x.isnan()])


def test_round_to_byte():
    x = torch.cat([torch.arange(511) / 2, torch.tensor([float("nan")])])
    y = torch.empty(512, dtype=torch.uint8)
    _apply[(1,)](x, y, 512, "byte")
    assert torch.equal(y[:511], x[:511].round().to(torch.uint8)) and y[511] == 0


def test_sincospi(seed):
    q = torch.cat([torch.randn(2048) * 3, torch.randn(1024) * 1000, torch.arange(-512, 512) / 4])
    y = torch.empty(2, 4096)
    _apply[(1,)](q, y, 4096, "sincos")
    angle = torch.pi * q.double()
    assert (y.double() - torch.stack([angle.cos(), angle.sin()])).abs().max() < 3e-7
