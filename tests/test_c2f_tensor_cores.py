"""The coarse-to-fine family's tensor-core kernels, on a GPU and in the emulator: numbers, stores, windows, refusals."""

import random

import emulator
import golden_cases
import lmf_kernels as lmf
import pytest
import random_slices
import torch
from every_backend import needs_compiler, placed, poisoned
from half_errors import check_bytes, check_error
from lmf_kernels import ops
from lmf_kernels.backends import RenderCall
from lmf_kernels.backends.cuda import c2f_mlp as kernel
from lmf_kernels.families import C2F_MLP, C2FSpec
from lmf_kernels.selfcheck import cases, measure
from tensor_cores import over_backends, over_backends_group_slow, over_halves, running
from test_golden_renders import Rounded

PAPERS = {"diif": C2FSpec("linear", 0, (256, 256), (256, 256)),
          "dlte": C2FSpec("fourier", 256, (256, 256), (256, 256), limit_cell=False)}
# How fine layer 0 reaches a pixel: from the two ends of a slice, from four vertices, from the slice alone. With the
# fewest layers, more than the papers have, and padded widths.
VARIED = {"constant": C2FSpec("linear", 0, (256, 256), (256, 256), "constant"),
          "centre": C2FSpec("linear", 0, (72, 100), (64, 90, 250), "linear", False),
          "constant centre": C2FSpec("linear", 0, (248, 3), (120, 64), "constant", False),
          "shallow": C2FSpec("linear", 0, (80,), (72,)),
          "shallow constant waves": C2FSpec("fourier", 48, (66,), (96,), "constant"),
          "deep waves": C2FSpec("fourier", 16, (70, 64, 64), (96, 64, 64))}
SMALL = {name: C2FSpec("linear", 0, (64,), (64,), *options) for name, options in {
    "ends": ("linear", True), "vertices": ("constant", True), "centres": ("linear", False)}.items()}
over_small = pytest.mark.parametrize("spec", SMALL.values(), ids=SMALL)


class Drawn:
    """A picture to render: fields, weights and skip of a half type."""

    def __init__(self, spec, lr, size, dtype, batch=1, skip=True):
        self.spec, self.lr, self.size = spec, lr, size
        self.tensors = [t if t is None else t.to(dtype)
                        for t in random_slices.draw_tensors(spec, lr, batch=batch, skip=skip)]

    def render(self, backend, precision=None, tensors=None, **options):
        """The pixels, on the CPU. precision: of all inputs and the output."""
        fields, weights, skip = (placed(t if t is None or precision is None else t.to(precision), backend)
                                 for t in tensors or self.tensors)
        if precision is not None:
            options["dtype"] = precision
        return ops.c2f_mlp(fields, weights, self.spec, self.size, lr_size=self.lr, skip=skip, backend=backend,
                           **options).cpu()

    def check(self, backend):
        with running(backend) as name, poisoned():
            got = self.render(name)
        check_error(got, self.render("reference", torch.float64), self.render("reference"))


@over_backends
@over_halves
@pytest.mark.parametrize("spec", [*PAPERS.values(), *VARIED.values()], ids=[*PAPERS, *VARIED])
def test_as_good_as_eager_torch(backend, dtype, spec, seed):
    Drawn(spec, (2, 5), (5, 18), dtype).check(backend)


@over_backends
@pytest.mark.parametrize("draw_number", range(4))
def test_random_networks(backend, draw_number, seed):
    choose = random.Random(seed)
    spec = random_slices.draw_spec(choose.choice(random_slices.KINDS), seed)
    coarse, fine = ([choose.randint(1, 256) for _ in widths] for widths in (spec.coarse, spec.fine))
    choose.choice((coarse, fine))[-1] = choose.choice([64, 120, 200, 256])  # one is wide enough
    if spec.head == "linear":
        coarse[0] = -(-coarse[0] // 8) * 8
    else:
        spec = spec._replace(in_dim=16 * choose.randint(1, 16))
    size = (choose.randint(1, 12), choose.randint(1, 30))
    batch = 2 + 40 // (size[0] * size[1])  # of a few values alone the error says little
    Drawn(spec._replace(coarse=tuple(coarse), fine=tuple(fine)), (choose.randint(1, 4), choose.randint(1, 20)), size,
          choose.choice([torch.float16, torch.bfloat16]), batch=batch, skip=choose.random() < 0.5).check(backend)


@over_backends_group_slow
@over_small
@pytest.mark.parametrize("scale, lr", [((1, 1), (5, 9)), ((0.6, 0.4), (10, 20)), ((2.3, 12), (2, 5))], ids=str)
def test_scales(backend, spec, scale, lr, seed):
    Drawn(spec, lr, tuple(max(1, int(n * s)) for n, s in zip(lr, scale)), torch.float16).check(backend)


@over_backends_group_slow
@over_small
def test_a_window_has_the_bits_of_the_whole(backend, spec, seed):
    """Also from the part of the map that the window reads, and from fields and skip that are not contiguous."""
    choose = random.Random(seed)
    drawn = Drawn(spec, (3, 21), (7, 50), torch.float16)
    fields, weights, skip = drawn.tensors
    reach = C2F_MLP.map_of(spec)
    with running(backend) as name, poisoned():
        whole = drawn.render(name)
        for _ in range(2):
            y0, x0 = (choose.randrange(n) for n in drawn.size)
            rows, cols = choose.randint(1, 7 - y0), choose.randint(1, 50 - x0)
            window = whole[:, :, y0:y0 + rows, x0:x0 + cols]
            assert torch.equal(drawn.render(name, window=(y0, x0, rows, cols)), window)
            held = [reach.read(start, start + count, n_in, n_out) for start, count, n_in, n_out
                    in zip((y0, x0), (rows, cols), drawn.lr, drawn.size)]
            (top, bottom), (left, right) = held
            around = [slice(max(first, 0), last) for first, last in (reach.cells(*part) for part in held)]
            parts = fields[:, top:bottom, left:right], weights, skip[:, :, around[0], around[1]]
            got = drawn.render(name, tensors=parts, window=(y0, x0, rows, cols), lr_origin=(top, left))
            assert torch.equal(got, window)
        strided = fields.permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1), torch.stack([weights] * 2, 1)[:, 0], skip
        assert torch.equal(drawn.render(name, tensors=strided), whole)


@over_backends_group_slow
def test_finished_stores(backend, seed):
    """Every layout, epilogue and type of the output: the float32 values finished by torch, bit for bit."""
    drawn = Drawn(SMALL["ends"], (1, 3), (3, 7), torch.bfloat16)
    with running(backend) as name, poisoned():
        for epilogue in ("none", "unit"):
            plain = drawn.render(name, epilogue=epilogue)
            stored = {kind: plain.to(kind) for kind in (torch.float32, torch.float16, torch.bfloat16)}
            if epilogue == "unit":
                stored[torch.uint8] = (plain * 255).round().to(torch.uint8)
                torch.testing.assert_close(plain, (drawn.render(name) * 0.5 + 0.5).clamp(0, 1), rtol=0, atol=1.2e-7)
            for kind, expected in stored.items():
                for layout, order in (("nchw", (0, 1, 2, 3)), ("nhwc", (0, 2, 3, 1))):
                    got = drawn.render(name, epilogue=epilogue, dtype=kind, layout=layout)
                    assert torch.equal(got, expected.permute(order)), (epilogue, kind, layout)


@over_backends
@over_small
def test_nan_stays_in_its_cells(backend, spec):
    torch.manual_seed(5)
    drawn = Drawn(spec, (4, 6), (8, 12), torch.bfloat16, skip=False)
    fields, weights, _ = drawn.tensors
    broken = fields.clone()
    broken[:, 2, 3] = float("nan")
    with running(backend) as name:
        clean, got = drawn.render(name), drawn.render(name, tensors=(broken, weights, None))
    touched = torch.zeros(8, 12, dtype=torch.bool)
    before = 2 if spec.slice_ensemble else 0  # a vertex touches the cells on both sides
    touched[4 - before:6, 6 - before:8] = True
    assert got[:, :, touched].isnan().all()
    assert torch.equal(got[:, :, ~touched], clean[:, :, ~touched])


@over_backends
def test_empty_windows_and_batches(backend):
    drawn = Drawn(SMALL["ends"], (4, 4), (8, 8), torch.float16, skip=False)
    fields, weights, _ = drawn.tensors
    with running(backend) as name:
        assert drawn.render(name, window=(3, 0, 0, 8)).shape == (1, 3, 0, 8)
        assert drawn.render(name, tensors=(fields[:0], weights, None)).shape == (0, 3, 8, 8)


@over_backends_group_slow
@over_halves
@pytest.mark.parametrize("model", golden_cases.SLICED)
@torch.no_grad()
def test_golden_values_in_a_window(backend, dtype, model):
    """x6.8 by x1.5."""
    rounded, window = Rounded(model, "image1-61x47", dtype), {"window": (21, 0, 9, 47)}
    with running(backend) as runs:
        got = rounded.render(runs, **window)
    truth = rounded.render("reference", torch.float64, dtype=torch.float64, **window)
    check_error(got, truth, rounded.render("reference", **window), largest=True)


@pytest.mark.slow
@over_backends
@over_halves
@pytest.mark.parametrize("model, name", golden_cases.ids(golden_cases.SLICED))
@torch.no_grad()
def test_golden_values(backend, dtype, model, name):
    rounded = Rounded(model, name, dtype)
    with running(backend) as runs:
        got = rounded.render(runs)
    check_error(got, rounded.render("reference", torch.float64), rounded.render("reference"), largest=True)


@pytest.mark.slow
@over_backends
@pytest.mark.parametrize("model", golden_cases.SLICED)
@torch.no_grad()
def test_golden_pictures_in_bytes(backend, model):
    rounded = Rounded(model, "image1-61x47", torch.float16)
    with running(backend) as runs:
        got = rounded.render(runs, epilogue="unit", dtype=torch.uint8)
    check_bytes(got, rounded.render("reference", torch.float64, epilogue="unit", dtype=torch.float64), torch.float16)


@needs_compiler
@pytest.mark.parametrize("spec", [VARIED["shallow"], VARIED["centre"]], ids=["ends", "centres"])
def test_both_kernels_of_the_emulator_give_the_same_bits(spec, seed):
    """They round sums at the same places. A pixel's result depends on no other cell."""
    drawn = Drawn(spec, (2, 5), (5, 18), torch.float16)
    with running("emulator") as name:
        expected = drawn.render(name)
    with running("emulator-wgmma") as name:
        assert torch.equal(drawn.render(name), expected)


@needs_compiler
def test_a_wrong_fragment_layout_would_be_seen(seed):
    """The emulator with two registers of the A fragment in each other's place, as a wrong index would put them."""
    drawn = Drawn(PAPERS["diif"], (2, 5), (4, 10), torch.float16)
    with emulator.registered(wrong_fragment=True):
        wrong = drawn.render("emulator")
    with pytest.raises(AssertionError, match="error .*, that of eager torch is"):
        check_error(wrong, drawn.render("reference", torch.float64), drawn.render("reference"))


@pytest.mark.slow
@over_backends
@pytest.mark.parametrize("variant", C2F_MLP.examples())
@over_halves
def test_the_self_check_passes(backend, variant, dtype):
    kind = cases.Kind("render", "c2f_mlp", variant, str(dtype).removeprefix("torch."))
    device = torch.device("cuda", 0) if backend == "cuda" else torch.device("cpu")
    with running(backend) as name:
        assert measure.wrong_numbers(name, kind, device) is None


REFUSED = {
    "the widest hidden layer has 40 channels, the kernel is built for 64 to 256": C2FSpec("fourier", 16, (40,), (24,)),
    "the widest hidden layer has 264 channels": C2FSpec("linear", 0, (256,), (256, 264)),
    "the first hidden layer has 100 channels, the kernel is built for multiples of 8":
        C2FSpec("linear", 0, (100,), (9,)),
    "the Fourier head is 24 wide, the kernel is built for multiples of 16 up to 256":
        C2FSpec("fourier", 24, (64,), (9,)),
    "it has 13 layers between the head and the output, the kernel is built for up to 12":
        C2FSpec("linear", 0, (64,) * 7, (64,) * 7),
}


@pytest.mark.parametrize("reason, spec", REFUSED.items(), ids=REFUSED)
def test_what_the_kernel_is_not_built_for(reason, spec):
    assert reason in kernel.refuse_shape(spec)


def test_what_the_kernel_cannot_count():
    assert kernel.refuse_size((8, 8), (2 ** 16, 2 ** 16)) is None
    assert kernel.refuse_size((2, 2), (2 ** 15, 2 ** 16)).startswith("an LR cell has 536870912 pixels, ")
    assert kernel.refuse_size((9, 2 ** 25), (9, 2 ** 27)).startswith("the picture has 134217728 rows or columns, ")


@needs_compiler
def test_the_deepest_network_that_it_takes(seed):
    spec = C2FSpec("linear", 0, (64,) * 7, (64,) * 6)
    assert kernel.refuse_shape(spec) is None
    Drawn(spec, (1, 2), (2, 4), torch.bfloat16).check("emulator")


@needs_compiler
def test_float32_is_refused_with_the_reason():
    drawn = Drawn(PAPERS["diif"], (2, 2), (2, 2), torch.float32)
    with emulator.registered(), pytest.raises(lmf.BackendError, match="float32 runs on the reference"):
        drawn.render("emulator")


def test_tensors_on_the_cpu_are_refused_with_the_reason():
    spec = PAPERS["diif"]
    fields = torch.zeros(1, 3, 3, 256, dtype=torch.float16)
    weights = torch.zeros(C2F_MLP.weight_count(spec), dtype=torch.float16)
    call = RenderCall(C2F_MLP, spec, fields, weights, size=(2, 2), window=(0, 0, 2, 2), lr=(0, 0, 2, 2))
    assert kernel.can_run(call) == "tensors are on cpu, the kernel runs on a CUDA device"
