"""Resizing by area, against footprints worked out by dividing pixels into small ones."""

import math

import numpy as np
import pytest

from lmf_kernels.area import overlaps, resized_by_area


@pytest.mark.parametrize("count, side", [(5, 5), (4, 12), (12, 4), (7, 10), (10, 7), (1, 6), (6, 1), (48, 177)])
def test_against_small_pieces(count, side, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(256, size=(count, count + 2, 3)).astype(np.uint8)
    size = (side, side + 3)
    pieces = image.astype(float)
    for axis, (old, new) in enumerate(zip(image.shape, size)):  # every pixel into `new / gcd` parts, then their means
        common = math.gcd(old, new)
        pieces = np.repeat(pieces, new // common, axis=axis)
        shape = list(pieces.shape)
        shape[axis:axis + 1] = new, old // common
        pieces = pieces.reshape(shape).mean(axis=axis + 1)
    got = resized_by_area(image, size)
    assert got.shape == (*size, 3)
    np.testing.assert_allclose(got, pieces, rtol=0, atol=1e-9)
    np.testing.assert_allclose(got.mean(axis=(0, 1)), image.mean(axis=(0, 1)), atol=1e-9)


def test_shares_add_up(seed):
    count, side = np.random.default_rng(seed).integers(1, 60, size=2)
    shares = overlaps(count, side)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_allclose(shares.sum(axis=0), side / count)
