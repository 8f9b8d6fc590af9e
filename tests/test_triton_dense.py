"""The Triton kernels of the families with dense layers, plain_mlp and c2f_mlp: numbers, stores, windows, refusals.

On a GPU, or in a process of Triton's interpreter (test_triton_interpreted.py).
"""

import random

import golden_cases
import pytest
import random_slices
import torch
from every_backend import INTERPRETED, marked, poisoned, running
from half_errors import DTYPES, check_error
from lmf_kernels import load_model
from lmf_kernels.backends.triton import arguments, c2f_mlp, dense_launch, plain_mlp
from lmf_kernels.backends.triton.configurations import Configuration
from lmf_kernels.families import C2F_MLP, FAMILIES, C2FSpec, RenderSpec
from lmf_kernels.selfcheck import cases, measure
from random_renders import Render, difference, draw_weights
from test_golden_renders import Rounded

KERNELS = {"plain_mlp": plain_mlp, "c2f_mlp": c2f_mlp}
PLAIN = {"linear": RenderSpec("linear", 0, (16, 16)), "uneven": RenderSpec("linear", 0, (40, 7, 33), False),
         "one layer": RenderSpec("linear", 0, (5,)), "fourier": RenderSpec("fourier", 20, (24, 17)),
         "nearest": RenderSpec("fourier", 64, (16,), False)}
C2F = {name: random_slices.draw_spec(kind, 3) for name, kind in zip(random_slices.IDS, random_slices.KINDS)}
C2F["no more layers"] = C2FSpec("linear", 0, (16,), (24,))
SPECS = {**PLAIN, **C2F}
FEW = {name: SPECS[name] for name in ("linear", "fourier", "diif-linear-ensemble", "dlte-linear-ensemble")}
ONE = {name: SPECS[name] for name in ("linear", "diif-linear-ensemble")}  # of each family
PAPERS = {"liif": RenderSpec("linear", 0, (256,) * 4), "lte": RenderSpec("fourier", 256, (256,) * 3),
          "diif": C2FSpec("linear", 0, (256, 256), (256, 256)),
          "dlte": C2FSpec("fourier", 256, (256, 256), (256, 256), limit_cell=False)}

over_triton = pytest.mark.parametrize("backend", marked(["triton"]))


def over(specs):
    return pytest.mark.parametrize("spec", specs.values(), ids=specs)


class Call(Render):
    """A Render of either family: that of slices is given the size of the LR picture."""

    def run(self, backend, precision=None, **options):
        if self.family == C2F_MLP.name:
            extra = C2F_MLP.map_of(self.spec).size(0)
            options.setdefault("lr_size", tuple(n - extra for n in self.fields.shape[1:3]))
        return super().run(backend, precision, **options)

    def rounded(self, dtype):
        return self._replace(fields=self.fields.to(dtype), weights=self.weights.to(dtype),
                             skip=None if self.skip is None else self.skip.to(dtype))


def drawn(spec, seed, lr=(3, 4), size=None, *, points=False, batch=1, skip=True):
    """A call with fresh numbers; the size follows from the seed where none is given."""
    torch.manual_seed(seed)
    family = FAMILIES["c2f_mlp" if isinstance(spec, C2FSpec) else "plain_mlp"]
    choose = random.Random(seed)
    rows = [family.map_of(spec).size(n) for n in lr]
    fields = torch.randn(batch, *rows, family.field_channels(spec)) * 0.5
    image = torch.rand(batch, 3, *lr) * 2 - 1 if skip else None
    where = {"size": size or tuple(max(1, int(n * choose.choice((0.6, 1, 2, 2.5, 3.7, 5)))) for n in lr)}
    if points:
        where = {"coord": torch.rand(batch, 30, 2) * 2.2 - 1.1, "cell": torch.rand(batch, 30, 2) * 0.1}
    return Call(spec, fields, draw_weights(family, spec), image, **where, family=family.name)


@over_triton
@over(SPECS)
@pytest.mark.parametrize("draw", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_float32_is_the_float64_reference(backend, spec, draw, seed):
    call = drawn(spec, seed, batch=1 + draw, skip=not draw)
    with running(backend) as name, poisoned():
        got = call.run(name)
    assert difference(got, call.run("reference", torch.float64)) < 1e-5, call


@over_triton
@over(PLAIN)
def test_points_are_the_float64_reference(backend, spec, seed):
    call = drawn(spec, seed, points=True, batch=2)
    with running(backend) as name, poisoned():
        got = call.run(name)
    assert difference(got, call.run("reference", torch.float64)) < 1e-5, call


@over_triton
@pytest.mark.parametrize("spec", [pytest.param(spec, id=name, marks=() if name in FEW else pytest.mark.slow)
                                  for name, spec in SPECS.items()])
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_half_types_are_as_good_as_eager_torch(backend, spec, dtype, seed):
    call = drawn(spec, seed, (4, 5), (11, 17)).rounded(dtype)
    with running(backend) as name, poisoned():
        got = call.run(name)
    check_error(got, call.run("reference", torch.float64), call.run("reference"))


@over_triton
@pytest.mark.slow
@over(PAPERS)
def test_the_papers_networks(backend, spec, seed):
    """Without more than a few pixels: of as many blocks of channels as there are."""
    call = drawn(spec, seed, (2, 3), (3, 5))
    half = call.rounded(torch.float16)
    with running(backend) as name, poisoned():
        check_error(half.run(name), half.run("reference", torch.float64), half.run("reference"))
        if backend in INTERPRETED:  # a GPU has too few registers
            assert difference(call.run(name), call.run("reference", torch.float64)) < 1e-5


@over_triton
@over(ONE)
@pytest.mark.parametrize("dtype", [pytest.param(torch.float32, marks=pytest.mark.slow), torch.float16], ids=str)
def test_finished_stores(backend, spec, dtype, seed):
    """Every layout, epilogue and type of the output: the float32 values finished by torch, bit for bit."""
    call = drawn(spec, seed, (2, 3), (5, 7)).rounded(dtype)
    with running(backend) as name, poisoned():
        for epilogue in ("none", "unit"):
            plain = call.run(name, epilogue=epilogue)
            stored = {kind: plain.to(kind) for kind in (torch.float32, torch.float16, torch.bfloat16)}
            if epilogue == "unit":
                stored[torch.uint8] = (plain * 255).round().to(torch.uint8)
                torch.testing.assert_close(plain, (call.run(name) * 0.5 + 0.5).clamp(0, 1), rtol=0, atol=1.2e-7)
            for kind, expected in stored.items():
                for layout, order in (("nchw", (0, 1, 2, 3)), ("nhwc", (0, 2, 3, 1))):
                    got = call.run(name, epilogue=epilogue, dtype=kind, layout=layout)
                    assert torch.equal(got, expected.permute(order)), (call, epilogue, kind, layout)


@over_triton
@over(FEW)
def test_a_window_of_a_part_of_the_map_has_the_bits_of_the_whole(backend, spec, seed):
    call, lr, rng = drawn(spec, seed, (5, 6), (14, 21), batch=2), (5, 6), random.Random(seed)
    on = FAMILIES[call.family].map_of(spec)
    with running(backend) as name, poisoned():
        whole = call.run(name)
        for _ in range(2):
            window, held, pixels = [], [], []
            for n_in, n_out in zip(lr, call.size):
                start = rng.randrange(n_out)
                count = rng.randint(1, n_out - start)
                first, stop = on.read(start, start + count, n_in, n_out)
                low, high = on.cells(first, stop)
                window.append((start, count))
                held.append(slice(first, stop))
                pixels.append(slice(max(low, 0), min(high, n_in)))
            (y0, rows), (x0, cols) = window
            part = call._replace(fields=call.fields[:, held[0], held[1]], skip=call.skip[:, :, pixels[0], pixels[1]])
            got = part.run(name, lr_size=lr, lr_origin=(held[0].start, held[1].start), window=(y0, x0, rows, cols))
            assert torch.equal(got, whole[:, :, y0:y0 + rows, x0:x0 + cols]), (call, window)


@over_triton
@over(ONE)
def test_other_tiles_int64_and_several_launches_give_the_same_bits(backend, spec, seed, monkeypatch):
    call = drawn(spec, seed, (3, 5), (7, 12), batch=2)
    with running(backend) as name, poisoned():
        before = call.run(name)
        monkeypatch.setattr(dense_launch, "configuration", lambda *given: Configuration(4, 8, 4))
        monkeypatch.setattr(c2f_mlp, "configuration_of", lambda call: Configuration(1, 16, 4))
        assert torch.equal(call.run(name), before)
        for module in (plain_mlp, c2f_mlp, arguments):
            monkeypatch.setattr(module, "INT32", 0)
        monkeypatch.setattr(dense_launch, "PROGRAMS", 2)
        assert torch.equal(call.run(name), before)


@over_triton
@over(ONE)
def test_the_far_end_of_an_immense_picture(backend, spec, seed):
    """Two thousand million pixels wide: float32, or a product in int32, would be somewhere else."""
    width, lr_w, last = 2 ** 31 - 1, 40_001, 3
    call = drawn(spec, seed, (2, last), (3, width), skip=False)
    options = dict(window=(0, width - 9, 3, 9), lr_size=(2, lr_w), lr_origin=(0, lr_w - last), cell=(1.0, 1e-5))
    with running(backend) as name, poisoned():
        got = call.run(name, **options)
    assert difference(got, call.run("reference", torch.float64, **options)) < 1e-5


@over_triton
@over(ONE)
def test_nan_and_infinity_stay_in_their_pixels(backend, spec):
    call = drawn(spec, 5, (8, 8), (16, 16), skip=False)
    for value in (float("nan"), float("inf")):
        fields = call.fields.clone()
        fields[:, 3, 4] = value
        with running(backend) as name:
            clean, got = call.run(name), call._replace(fields=fields).run(name)
        changed = (got != clean).any(1).any(0)
        assert changed.any() and not got[:, :, changed].isfinite().all(1).any()
        touched = torch.zeros(16, 16, dtype=torch.bool)
        touched[4:10, 6:12] = True
        assert not (changed & ~touched).any()


@over_triton
@over(ONE)
def test_inputs_need_not_be_contiguous(backend, spec, seed):
    call = drawn(spec, seed, (3, 4), (7, 9)).rounded(torch.float16)
    rows, cols = call.fields.shape[1:3]
    strided = call._replace(fields=call.fields.permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1),
                            weights=torch.stack([call.weights, call.weights], 1)[:, 0],
                            skip=torch.cat([call.skip, call.skip], 3)[..., :4])
    wide = call._replace(fields=torch.cat([call.fields, call.fields], 2)[:, :, :cols])  # read in place
    wider = call._replace(weights=call.weights.float())  # rounded to the fields' type once
    with running(backend) as name, poisoned():
        expected = call.run(name)
        for other in (strided, wide, wider):
            assert torch.equal(other.run(name), expected)


@over_triton
@over(ONE)
def test_empty_windows_and_batches(backend, spec):
    call = drawn(spec, 6, (4, 4), (8, 8), skip=False)
    with running(backend) as name:
        assert call.run(name, window=(3, 0, 0, 8)).shape == (1, 3, 0, 8)
        assert call._replace(fields=call.fields[:0]).run(name).shape == (0, 3, 8, 8)


@over_triton
@over(ONE)
def test_gradients_come_from_the_reference(backend, spec, seed):
    call = drawn(spec, seed, (3, 4), (5, 9))
    with running(backend) as name:
        found = []
        for choice in (name, "reference"):
            fields = call.fields.clone().requires_grad_()
            weights = call.weights.clone().requires_grad_()
            call._replace(fields=fields, weights=weights).run(choice).square().sum().backward()
            found.append((fields.grad, weights.grad))
    for got, expected in zip(*found):
        assert difference(got, expected.double()) < 1e-4


GOLDEN = [("liif", "image0-24x20"), ("lte", "image0-24x20"), ("liif", "image0-points"), ("lte", "image0-points"),
          ("diif", "image0-48x40"), ("dlte", "image0-48x40"), ("diif", "image1-61x47"), ("dlte", "image1-61x47")]
GOLDEN = [pytest.param(*ids, marks=() if ids in (GOLDEN[1], GOLDEN[4]) else pytest.mark.slow) for ids in GOLDEN]


@over_triton
@pytest.mark.skipif(not INTERPRETED, reason="a GPU has too few registers for 256 channels of float32")
@pytest.mark.parametrize("model, name", GOLDEN)
@torch.no_grad()
def test_golden_values(backend, model, name):
    case = golden_cases.case(model, name)
    with running(backend) as runs:
        if model in golden_cases.SLICED:
            loaded = load_model(golden_cases.path(model))
            loaded.backend = runs
            got = loaded.render_grid(case.image, case.size)
        else:
            got = Rounded(model, name, torch.float32).render(runs)
    golden_cases.check(got, case)


@over_triton
@pytest.mark.slow
@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("kind", [(family, variant) for family in KERNELS for variant in FAMILIES[family].examples()],
                         ids=" ".join)
def test_the_self_check_passes(backend, kind, dtype):
    device = torch.device("cpu" if backend in INTERPRETED else "cuda")
    with running(backend) as name:
        assert measure.wrong_numbers(name, cases.Kind("render", *kind, dtype), device) is None


REFUSED = {
    "the network has no hidden layer": RenderSpec("fourier", 16, ()),
    "a layer is 264 wide, the kernel is built for widths up to 256": RenderSpec("linear", 0, (256, 264)),
    "a layer is 258 wide": RenderSpec("fourier", 258, (16,)),
    "a layer is 257 wide": C2FSpec("linear", 0, (16,), (257, 16)),
}


@pytest.mark.parametrize("reason, spec", REFUSED.items(), ids=REFUSED)
def test_what_the_kernels_are_not_built_for(reason, spec):
    face = c2f_mlp if isinstance(spec, C2FSpec) else plain_mlp
    assert reason in face.refuse_shape(spec)
