"""The golden cases on every compiled backend: in float32, and as half-precision pictures."""

import emulator
import golden_cases
import pytest
import torch
from every_backend import over_compiled, over_halves, over_plain_kernels, placed, running
from half_errors import DTYPES, check_bytes, check_error
from lmf_kernels import load_model, ops

# LM-CiaoSR renders like LM-LIIF, with a linear head and the skip: a few cases of it will do.
CASES = golden_cases.ids(("lmliif", "lmlte")) + [
    ("lmciaosr", name) for name in ("image0-48x40", "image1-72x60", "image1-points")]
PLAIN_CASES = golden_cases.ids(("liif", "lte"))
PLAIN_HALF_CASES = [pytest.param(*ids, marks=() if ids[1] in ("image0-24x20", "image0-points") else pytest.mark.slow)
                    for ids in PLAIN_CASES]  # eager torch takes seconds for the others
HALF_CASES = [pytest.param(*ids, marks=pytest.mark.slow if "175x146" in ids[1] else ()) for ids in CASES]


@over_compiled
@pytest.mark.parametrize("model, name", CASES)
@torch.no_grad()
def test_golden_values(backend, model, name):
    with running(backend) as runs:
        got = Rounded(model, name, torch.float32).render(runs)
    golden_cases.check(got, golden_cases.case(model, name))


@over_plain_kernels
@pytest.mark.parametrize("model, name", PLAIN_CASES)
@torch.no_grad()
def test_golden_values_of_the_plain_family(backend, model, name):
    with running(backend) as runs:
        got = Rounded(model, name, torch.float32).render(runs)
    golden_cases.check(got, golden_cases.case(model, name))


@over_plain_kernels
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("model, name", PLAIN_HALF_CASES)
@torch.no_grad()
def test_golden_values_of_the_plain_family_in_half_precision(backend, model, name, dtype):
    rounded = Rounded(model, name, dtype)
    with running(backend) as runs:
        got = rounded.render(runs)
    check_error(got, rounded.render("reference", torch.float64), rounded.render("reference"), largest=True)


class Rounded:
    """A golden case whose fields, weights and skip are rounded to a type before anything is rendered."""

    def __init__(self, model, name, dtype):
        self.case = golden_cases.case(model, name)
        loaded = load_model(golden_cases.path(model))
        image, (h, w) = self.case.image, self.case.image.shape[-2:]
        if self.case.size:
            rel_cell = loaded.rel_cell_of((h, w), self.case.size)
        else:
            rel_cell = self.case.cell[:, 0] * torch.tensor([h, w])
        skip = image.to(dtype) if loaded.has_skip else None
        fields = loaded.fields(loaded.encode(image), rel_cell)
        self.tensors = (fields.to(dtype), loaded.render_weights().to(dtype), skip)
        self.spec, self.family = loaded.render_spec, loaded.family.name

    def render(self, backend, precision=None, **options):
        """The picture or the points' values, on the CPU; precision: of all inputs, else that type."""
        fields, weights, skip = (placed(t if t is None or precision is None else t.to(precision), backend)
                                 for t in self.tensors)
        if self.case.size:
            grid = getattr(ops, self.family)
            return grid(fields, weights, self.spec, self.case.size, lr_size=self.case.image.shape[-2:], skip=skip,
                        backend=backend, **options).cpu()
        where = placed(self.case.coord, backend), placed(self.case.cell, backend)
        points = getattr(ops, f"{self.family}_points")
        return points(fields, weights, self.spec, *where, skip=skip, backend=backend).cpu()


@over_halves
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("model, name", HALF_CASES)
@torch.no_grad()
def test_golden_values_in_half_precision(backend, model, name, dtype):
    rounded = Rounded(model, name, dtype)
    with running(backend) as runs:
        got = rounded.render(runs)
    truth, eager = rounded.render("reference", torch.float64), rounded.render("reference")
    check_error(got, truth, eager, largest=True)


@over_halves
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("model, name", [ids for ids in CASES if ids[1].endswith(("48x40", "72x60"))])
@torch.no_grad()
def test_golden_pictures_in_bytes(backend, model, name, dtype):
    rounded = Rounded(model, name, dtype)
    with running(backend) as runs:
        got = rounded.render(runs, epilogue="unit", dtype=torch.uint8)
    check_bytes(got, rounded.render("reference", torch.float64, epilogue="unit", dtype=torch.float64), dtype)


@pytest.mark.skipif(not emulator.COMPILER, reason="there is no C++ compiler")
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("model", ["lmliif", "lmlte"])
@pytest.mark.parametrize("name", ["image0-48x40", "image0-72x60", "image0-points"])
@torch.no_grad()
def test_a_wrong_fragment_layout_would_be_seen(model, name, dtype):
    """The emulator with two registers of the A fragment in each other's place, as a wrong index would put them."""
    rounded = Rounded(model, name, dtype)
    truth, eager = rounded.render("reference", torch.float64), rounded.render("reference")
    with emulator.registered(wrong_fragment=True):
        wrong = rounded.render("emulator")
    with pytest.raises(AssertionError, match="error .*, that of eager torch is"):
        check_error(wrong, truth, eager)
    assert (wrong - truth).abs().max() > 0.1, "not only rounding: the picture is another one"
