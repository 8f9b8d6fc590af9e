"""DIIF and DLTE in python_ref: the restructured form is the published one, and slices are what their page says."""

import pytest
import python_ref
import torch
from python_ref import slices

import random_slices

SIZES = [((4, 5), (8, 10)), ((4, 5), (13, 19)), ((3, 7), (36, 21)), ((5, 4), (5, 4)), ((6, 5), (4, 3)),
         ((1, 1), (5, 3)), ((2, 3), (61, 90))]


@pytest.mark.parametrize("lr, size", SIZES)
@pytest.mark.parametrize("kind", random_slices.KINDS, ids=random_slices.IDS)
def test_the_two_forms_agree_in_float64(kind, lr, size, seed):
    drawn = random_slices.draw(kind, seed, lr, batch=2)
    if kind[0] == "dlte" and (size[0] < lr[0] or size[1] < lr[1]):
        pytest.skip("the published skip is antialiased below x1")
    module = getattr(python_ref, kind[0])
    given = {"size": size, "options": drawn.options, **drawn.skip}
    with torch.no_grad():
        got = module.decode(drawn.features, drawn.sd, **given)
        expected = module.decode_published(drawn.features, drawn.sd, **given)
        in_parts = module.decode_published(drawn.features, drawn.sd, **given, chunk=1)
    assert got.shape == (2, 3, *size)
    largest = expected.abs().max()
    assert (got - expected).abs().max() <= 1e-11 * largest
    assert (in_parts - expected).abs().max() <= 1e-12 * largest


@pytest.mark.parametrize("kind", random_slices.KINDS, ids=random_slices.IDS)
def test_a_cell_of_ones_own(kind, seed):
    drawn = random_slices.draw(kind, seed, (4, 5))
    module = getattr(python_ref, kind[0])
    given = {"size": (11, 9), "options": drawn.options, **drawn.skip}
    with torch.no_grad():
        got, expected = (decode(drawn.features, drawn.sd, cell=(0.3, 0.07), **given)
                         for decode in (module.decode, module.decode_published))
        usual = module.decode(drawn.features, drawn.sd, **given)
    assert (got - expected).abs().max() <= 1e-11 * expected.abs().max()
    assert not torch.equal(got, usual)


@pytest.mark.parametrize("n_in, n_out", [(3, 7), (7, 3), (5, 20), (4, 4), (6, 100), (1, 9)])
def test_cells_own_what_the_page_says(n_in, n_out):
    positions = torch.arange(n_out)
    u = (positions.double() + 0.5) * n_in / n_out - 0.5
    owners = slices.owner(positions, n_in, n_out)
    assert torch.equal(owners, (u + 0.5 + 1e-12).floor().long()), "the nearest cell, the second one at a tie"
    assert [slices.first_position(cell, n_in, n_out) for cell in (0, n_in)] == [0, n_out]
    counts = [slices.first_position(cell + 1, n_in, n_out) - slices.first_position(cell, n_in, n_out)
              for cell in range(n_in)]
    assert counts == torch.bincount(owners, minlength=n_in).tolist()
    assert max(counts) == slices.largest_count(n_in, n_out)
    torch.testing.assert_close(slices.rel(positions, owners, n_in, n_out), 2 * (u - owners))


def test_the_paper_s_parameter_counts():
    """arXiv 2306.12321, table 3 and the ablation: (count / 1000) * 1.024 is what is printed."""
    encoder = {"name": "edsr-baseline", "args": {"no_upsampling": True, "n_resblocks": 1}}

    def count(name, **args):
        model = python_ref_model(name, {"encoder_spec": encoder, **args})
        return sum(p.numel() for key, p in model.named_parameters() if not key.startswith("encoder."))

    assert count("diif") == count("diif", slicing="constant") == 462595
    assert count("diif", slice_ensemble=False) == 347907
    assert count("dlte") == 338563
    assert count("diif", coarse=[256] * 4) == count("diif", fine=[256] * 4) == 594179


def python_ref_model(name, args):
    from lmf_kernels.models import build_model

    with torch.device("meta"):
        return build_model({"name": name, "args": args})
