"""The models that ship: their files, and that the default can be trusted on pictures that are no photographs."""

import math
import os

import numpy as np
import pytest
import torch

from lmf_kernels import built_in, evaluation, load_model, upscale
from lmf_kernels.checkpoints import read_metadata
from lmf_kernels.robustness import measures, pictures


PICTURE = os.path.join(os.path.dirname(__file__), "data", "flowers.png")


def test_files():
    assert built_in.default() == "lmliif-edsr10"
    sizes = {name: os.path.getsize(built_in.path_of(name)) for name in built_in.names()}
    assert sum(size for name, size in sizes.items() if name.startswith("lm")) < 6e6 and sum(sizes.values()) < 8.5e6
    for name in built_in.names():
        told = read_metadata(built_in.path_of(name))
        assert told["license"] and told["training_data"]["sources"] and told["recipe"] and "seed" in told


@pytest.fixture(scope="module")
def default():
    return load_model(built_in.default())


def test_patterns_keep_their_mean_colour(default, seed):
    """Any thirty of them; trained on clean photographs alone, the worst of all were off by 0.9 and more."""
    rng = np.random.default_rng(seed)
    drawn = list(pictures.patterns())
    chosen = [drawn[index] for index in rng.choice(len(drawn), 30, replace=False)]
    scale = float(rng.choice((2, 3, 3.7, 4)))
    low = torch.from_numpy(np.stack([low for _, low in chosen])).permute(0, 3, 1, 2).float() / 255
    errors = (upscale(default, low, scale).mean(dim=(2, 3)) - low.mean(dim=(2, 3))).abs().amax(dim=1)
    worst = int(errors.argmax())
    assert errors[worst] < 0.03, f"{chosen[worst][0]} at x{scale:g}"


@pytest.mark.parametrize("name", pictures.SCENES)
def test_text_and_line_art_stay_what_they_are(default, name, seed):
    """Nearer to the input than bicubic interpolation, when reduced again; and to the original, where there is one."""
    scale = float(np.random.default_rng(seed).choice((2, 3, 4)))
    size = (math.floor(scale * pictures.SCENE),) * 2
    high, low = pictures.antialiased(name, scale)
    for given in (pictures.aliased(name), low):
        got, bicubic = evaluation.upscaled(default, given, size), evaluation.bicubic(given, size)
        assert measures.consistency(got, given) > measures.consistency(bicubic, given) + 2
    psnr, plain = (evaluation.score(result, high, scale).psnr for result in (got, bicubic))
    assert psnr > plain


@pytest.fixture(scope="module")
def smoothing():
    return load_model("lmliif-edsr10-compressed")


@pytest.mark.parametrize("quality", [20, 40, 75])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_blocks_of_a_compressed_photograph_show_less(default, smoothing, quality, scale):
    """Nearer to the original than the default comes, and smoother across the borders of blocks."""
    high, low = evaluation.degrade(evaluation.read_hr(PICTURE), scale)
    given = measures.compressed(low, quality)
    smoothed, plain = (evaluation.upscaled(model, given, high.shape[:2]) for model in (smoothing, default))
    assert evaluation.score(smoothed, high, scale).psnr > evaluation.score(plain, high, scale).psnr
    assert measures.block_edges(smoothed, low.shape[:2]) < measures.block_edges(plain, low.shape[:2])


@pytest.mark.parametrize("name", pictures.SCENES)
@pytest.mark.parametrize("quality", [40, 75])
def test_compressed_text_and_line_art(smoothing, name, quality, seed):
    scale = float(np.random.default_rng(seed).choice((2, 3, 4)))
    high, low = pictures.antialiased(name, scale)
    given = measures.compressed(low, quality)
    smoothed, bicubic = (evaluation.score(result, high, scale).psnr for result in (
        evaluation.upscaled(smoothing, given, high.shape[:2]), evaluation.bicubic(given, high.shape[:2])))
    assert smoothed > bicubic + 0.5
