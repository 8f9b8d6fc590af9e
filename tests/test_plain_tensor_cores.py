"""The plain family's tensor-core kernels, on a GPU and in the emulator: numbers, stores, refusals, packed weights."""

import random

import emulator
import golden_cases
import lmf_kernels as lmf
import pytest
import torch
from every_backend import needs_compiler, poisoned
from half_errors import DTYPES, check_bytes, check_error
from lmf_kernels.backends import RenderCall
from lmf_kernels.backends.cuda import plain_mlp as kernel
from lmf_kernels.families import PLAIN_MLP
from lmf_kernels.ops import RenderSpec
from lmf_kernels.selfcheck import cases, measure
from random_renders import assert_windows_are_equal, draw
from tensor_cores import over_backends, over_backends_group_slow, over_halves, running
from test_golden_renders import Rounded

PAPERS = {"liif": RenderSpec("linear", 0, (256,) * 4), "lte": RenderSpec("fourier", 256, (256,) * 3)}
# Passes of the 256-wide machine: none, one, and more than the papers have. Widths that are padded, in every place.
VARIED = {"no pass": RenderSpec("linear", 0, (72,)), "padded": RenderSpec("linear", 0, (248, 100, 256), False),
          "narrow last": RenderSpec("linear", 0, (64, 3)), "one layer": RenderSpec("fourier", 256, (256,)),
          "padded angles": RenderSpec("fourier", 48, (70, 130)), "five": RenderSpec("fourier", 16, (96,) * 5, False)}

over_modes = pytest.mark.parametrize("points", [False, True], ids=["grid", "points"])


def drawn(seed, spec, dtype, **options):
    """A call of the family whose tensors are of a half type, small enough for the emulator."""
    options = {"lr_size": (4, 5), "scales": (1, 1.5, 2, 3.7), "pixels": 400, **options}
    call = draw(seed, spec=spec, family="plain_mlp", **options)
    return call._replace(fields=call.fields.to(dtype), weights=call.weights.to(dtype),
                         skip=None if call.skip is None else call.skip.to(dtype))


def compare(call, backend):
    with running(backend) as name, poisoned():
        got = call.run(name)
        if call.coord is not None and call.coord.shape[1] < 15:  # the error of a few values is a matter of luck
            alone, call = got, call._replace(coord=among_others(call.coord), cell=among_others(call.cell))
            got = call.run(name)
            assert torch.equal(got[:, :alone.shape[1]], alone)
    check_error(got, call.run("reference", torch.float64), call.run("reference"))


def among_others(
    values,  # (B, Q, 2)
):
    """The values of some points, and those of 30 others after them."""
    return torch.cat([values, values.new_empty(len(values), 30, 2).uniform_(0, 0.9)], dim=1)


@over_backends
@over_halves
@over_modes
@pytest.mark.parametrize("spec", [*PAPERS.values(), *VARIED.values()], ids=[*PAPERS, *VARIED])
def test_as_good_as_eager_torch(backend, dtype, points, spec, seed):
    compare(drawn(seed, spec, dtype, points=points), backend)


@over_backends
@over_modes
@pytest.mark.parametrize("draw_number", range(6))
def test_random_networks(backend, points, draw_number, seed):
    choose = random.Random(seed)
    head = choose.choice(["linear", "fourier"])
    widths = [choose.randint(1, 256) for _ in range(choose.randint(1, 3))]
    widths[choose.randrange(len(widths))] = choose.choice([64, 120, 200, 256])  # one is wide enough
    widths[0] = -(-widths[0] // 8) * 8 if head == "linear" else widths[0]
    spec = RenderSpec(head, 0 if head == "linear" else 16 * choose.randint(1, 16), tuple(widths),
                      choose.random() < 0.7)
    compare(drawn(seed, spec, choose.choice([*DTYPES.values()]), points=points), backend)


@over_backends_group_slow
@pytest.mark.parametrize("scale", [1, 2, 5.3, 12, 30, 0.6], ids=str)
def test_scales(backend, scale, seed):
    lr_size = (2, 3) if scale > 1 else (8, 12)  # of a few values alone the error says little
    compare(drawn(seed, VARIED["narrow last"], torch.float16, lr_size=lr_size, scales=(scale,), pixels=None,
                  points=False, skip=True), backend)


@over_backends
def test_weights_of_another_type(backend, seed):
    """float32 and the other half type are rounded to the fields' type once."""
    call = drawn(seed, VARIED["padded angles"], torch.float16, points=False, skip=True)
    with running(backend) as name:
        expected = call.run(name)
        for other in (torch.float32, torch.bfloat16):
            weights = call.weights.float() if other == torch.float32 else call.weights.to(other)
            same = call._replace(weights=weights.half())
            got = call._replace(weights=weights).run(name)
            if other == torch.float32:
                assert torch.equal(got, expected)
            torch.testing.assert_close(got, same.run(name), rtol=0, atol=5e-3)  # biases stay float32


@over_backends
@over_halves
def test_finished_stores(backend, dtype, seed):
    """Every layout, epilogue and type of the output: the float32 values finished by torch, bit for bit."""
    call = drawn(seed, VARIED["no pass"], dtype, points=False, skip=True)
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


@over_backends
@pytest.mark.parametrize("spec", [PAPERS["liif"], VARIED["padded angles"]], ids=str)
def test_a_window_has_the_bits_of_the_whole(backend, spec, seed):
    call = drawn(seed, spec, torch.float16, points=False, lr_size=(3, 9), scales=(2, 3.7), pixels=300)
    with running(backend) as name, poisoned():
        assert_windows_are_equal(call, name, call.run(name), random.Random(seed), 3)


@over_backends
def test_a_part_of_the_lr_map_serves_a_window(backend, seed):
    call = drawn(seed, VARIED["no pass"], torch.bfloat16, points=False, lr_size=(9, 20), scales=(3,), skip=True,
                 pixels=None)
    with running(backend) as name, poisoned():
        window = call.run(name)[:, :, 12:18, 24:48]
        part = call._replace(fields=call.fields[:, 3:7, 7:17], skip=call.skip[:, :, 3:7, 7:17]).run(
            name, window=(12, 24, 6, 24), lr_size=(9, 20), lr_origin=(3, 7))
        assert torch.equal(part, window)


@over_backends
@over_modes
def test_inputs_need_not_be_contiguous(backend, points, seed):
    call = drawn(seed, VARIED["narrow last"], torch.float16, points=points, skip=True)
    width = call.fields.shape[2]
    strided = call._replace(
        fields=call.fields.permute(0, 3, 2, 1).contiguous().permute(0, 3, 2, 1),
        weights=torch.stack([call.weights, call.weights], 1)[:, 0],
        skip=torch.cat([call.skip, call.skip], 3)[..., :width])
    if points:
        strided = strided._replace(coord=call.coord.transpose(0, 1).contiguous().transpose(0, 1),
                                   cell=call.cell.flip(2).contiguous().flip(2))
    wide = call._replace(fields=torch.cat([call.fields, call.fields], 2)[:, :, :width])  # read in place
    shifted = torch.empty(call.fields.numel() + 1, dtype=torch.float16)[1:].view_as(call.fields).copy_(call.fields)
    with running(backend) as name, poisoned():
        expected = call.run(name)
        for other in (strided, wide, call._replace(fields=shifted)):
            assert torch.equal(other.run(name), expected)


@over_backends
def test_nan_stays_in_its_pixels(backend):
    call = drawn(5, VARIED["narrow last"], torch.bfloat16, points=False, lr_size=(8, 8), scales=(2,), skip=False,
                 pixels=None)
    fields = call.fields.clone()
    fields[:, 3, 4] = float("nan")
    with running(backend) as name:
        clean, got = call.run(name), call._replace(fields=fields).run(name)
    touched = torch.zeros(16, 16, dtype=torch.bool)
    touched[5:9, 7:11] = True  # the pixels whose ensemble reads the cell
    assert got[:, :, touched].isnan().all()
    assert torch.equal(got[:, :, ~touched], clean[:, :, ~touched])


@over_backends
def test_empty_windows_and_batches(backend):
    call = drawn(6, VARIED["no pass"], torch.float16, points=False, lr_size=(4, 4), scales=(2,), skip=False)
    with running(backend) as name:
        assert call.run(name, window=(3, 0, 0, 8)).shape == (len(call.fields), 3, 0, 8)
        assert call._replace(fields=call.fields[:0]).run(name).shape == (0, 3, 8, 8)


CASES = [pytest.param(*ids, marks=pytest.mark.slow if "48x40" not in ids[1] and "points" not in ids[1] else ())
         for ids in golden_cases.ids(("liif", "lte"))]


@over_backends
@over_halves
@pytest.mark.parametrize("model, name", CASES)
@torch.no_grad()
def test_golden_values(backend, dtype, model, name):
    rounded = Rounded(model, name, dtype)
    with running(backend) as runs:
        got = rounded.render(runs)
    check_error(got, rounded.render("reference", torch.float64), rounded.render("reference"), largest=True)


@over_backends_group_slow
@pytest.mark.parametrize("model", ["liif", "lte"])
@torch.no_grad()
def test_golden_pictures_in_bytes(backend, model):
    rounded = Rounded(model, "image0-48x40", torch.float16)
    with running(backend) as runs:
        got = rounded.render(runs, epilogue="unit", dtype=torch.uint8)
    check_bytes(got, rounded.render("reference", torch.float64, epilogue="unit", dtype=torch.float64), torch.float16)


@pytest.mark.skipif(not emulator.COMPILER, reason="there is no C++ compiler")
def test_both_kernels_of_the_emulator_give_the_same_bits(seed):
    """They round sums at the same places. A pixel's result depends on no other pixel."""
    call = drawn(seed, VARIED["five"], torch.float16, points=False)
    with running("emulator") as name:
        expected = call.run(name)
    with running("emulator-wgmma") as name:
        assert torch.equal(call.run(name), expected)


@pytest.mark.skipif(not emulator.COMPILER, reason="there is no C++ compiler")
@over_halves
def test_a_wrong_fragment_layout_would_be_seen(dtype, seed):
    """The emulator with two registers of the A fragment in each other's place, as a wrong index would put them."""
    call = drawn(seed, PAPERS["liif"], dtype, points=False)
    with emulator.registered(wrong_fragment=True):
        wrong = call.run("emulator")
    with pytest.raises(AssertionError, match="error .*, that of eager torch is"):
        check_error(wrong, call.run("reference", torch.float64), call.run("reference"))


@over_backends_group_slow
@pytest.mark.parametrize("head", ["linear", "fourier"])
@over_halves
def test_the_self_check_passes(backend, head, dtype):
    kind = cases.Kind("render", "plain_mlp", f"{head} head", str(dtype).removeprefix("torch."))
    device = torch.device("cuda", 0) if backend == "cuda" else torch.device("cpu")
    with running(backend) as name:
        assert measure.wrong_numbers(name, kind, device) is None


REFUSED = {
    "the network has no hidden layer": RenderSpec("linear", 0, ()),
    "the widest hidden layer has 40 channels, the kernel is built for 64 to 256": RenderSpec("fourier", 16, (40, 24)),
    "the widest hidden layer has 264 channels": RenderSpec("linear", 0, (256, 264)),
    "the first hidden layer has 100 channels, the kernel is built for multiples of 8": RenderSpec("linear", 0, (100,)),
    "the Fourier head is 24 wide, the kernel is built for multiples of 16 up to 256": RenderSpec("fourier", 24, (64,)),
    "the Fourier head is 272 wide": RenderSpec("fourier", 272, (256,)),
    "it has 13 layers between the head and the output, the kernel is built for up to 12":
        RenderSpec("linear", 0, (64,) * 14),
}


@pytest.mark.parametrize("reason, spec", REFUSED.items(), ids=REFUSED)
def test_what_the_kernel_is_not_built_for(reason, spec):
    assert reason in kernel.refuse_shape(spec)


@needs_compiler
def test_the_deepest_network_that_it_takes(seed):
    spec = RenderSpec("linear", 0, (64,) * 13)
    assert kernel.refuse_shape(spec) is None
    call = drawn(seed, spec, torch.bfloat16, points=False, lr_size=(1, 2), scales=(2,), pixels=None)
    for backend in ("emulator", "emulator-wgmma"):
        compare(call, backend)


@needs_compiler
def test_float32_is_refused_with_the_reason():
    call = drawn(1, PAPERS["liif"], torch.float32, points=False, lr_size=(2, 2), scales=(1,))
    with emulator.registered(), pytest.raises(lmf.BackendError, match="float32 runs on the reference"):
        call.run("emulator")


def test_tensors_on_the_cpu_are_refused_with_the_reason():
    spec = PAPERS["liif"]
    fields = torch.zeros(1, 2, 2, PLAIN_MLP.field_channels(spec), dtype=torch.float16)
    weights = torch.zeros(PLAIN_MLP.weight_count(spec), dtype=torch.float16)
    call = RenderCall(PLAIN_MLP, spec, fields, weights, size=(2, 2), window=(0, 0, 2, 2), lr=(0, 0, 2, 2))
    assert kernel.can_run(call) == "tensors are on cpu, the kernel runs on a CUDA device"
