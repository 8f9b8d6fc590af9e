"""Drawn training patches and degradations: what they show, how often, and that nothing else decides them."""

import itertools

import numpy as np
import pytest
import torch
import training_pieces as pieces
from PIL import Image, ImageFont

from lmf_kernels import InputError, build_model, load_model, save_model
from lmf_kernels.checkpoints import read_metadata
from lmf_kernels.cli import main
from lmf_kernels.training import Recipe, blend, data, degradations, fonts, graphics, patterns
from lmf_kernels.training.objective import Objective


MODEL = "lmliif-edsr10"


@pytest.fixture
def font_folder(tmp_path):
    """A folder with one font, Pillow's own, and a file that is none."""
    folder = tmp_path / "fonts"
    folder.mkdir()
    (folder / "Some.ttf").write_bytes(ImageFont.load_default(10).font_bytes)
    (folder / "Other.otf").write_text("no font")
    return folder


def photograph(seed, side=96):
    return data.Picture("noise", np.random.default_rng(seed).integers(256, size=(side, side, 3), dtype=np.uint8))


def draws(seed, count):
    """Generators as a run has them."""
    return (np.random.default_rng((seed, step)) for step in range(count))


# What patches show

@pytest.fixture
def no_gratings(monkeypatch):
    flat = np.zeros((1, 1, 3), np.uint8)
    monkeypatch.setattr(patterns, "_grating", lambda rng, patch, side: (
        flat.repeat(patch, axis=0).repeat(patch, axis=1), flat.repeat(side, axis=0).repeat(side, axis=1)))


@pytest.mark.parametrize("side", [16, 37, 48, 59, 64])
def test_patterns_keep_their_mean(side, seed, no_gratings):
    for rng in draws(seed, 60):
        low, high = patterns.draw_pattern(rng, 16, side)
        assert low.shape == (16, 16, 3) and high.shape == (side, side, 3) and low.dtype == high.dtype == np.uint8
        assert np.abs(low.mean(axis=(0, 1)) - high.mean(axis=(0, 1))).max() <= 0.5 + 1e-9  # of 255: rounding


def test_patterns_at_whole_factors_are_repeated_pixels(seed, no_gratings):
    for rng in draws(seed, 40):
        low, high = patterns.draw_pattern(rng, 12, 36)
        assert np.array_equal(high, low.repeat(3, axis=0).repeat(3, axis=1))


def test_gratings_are_one_wave_at_both_resolutions(seed):
    """HR pixels at the LR pixels' centres, which odd factors have, are the LR pixels."""
    same, off = 0, []
    for rng in draws(seed, 60):
        low, high = patterns._grating(rng, 16, 48)
        same += np.array_equal(high[1::3, 1::3], low)
        off.append((high.mean(axis=(0, 1)) - low.mean(axis=(0, 1))) / 255)
    assert same == 60  # of short periods, which are enlarged by area, as well
    assert np.abs(off).max() < 0.1 and np.abs(np.mean(off, axis=0)).max() < 0.02


def test_patterns_hold_single_pixels_in_saturated_colours(seed):
    """Some patch alternates from pixel to pixel by the whole range of a channel, on either axis."""
    found = np.zeros(2, bool)
    for rng in draws(seed, 400):
        low = patterns.draw_pattern(rng, 16, 16)[0].astype(int)
        for axis in (0, 1):
            found[axis] |= (np.abs(np.diff(low, axis=axis)).min(axis=(0, 1)) == 255).any()
    assert found.all()


def test_graphics_are_antialiased_and_differ(seed, font_folder):
    seen, between = [], 0
    for rng in draws(seed, 40):
        high = graphics.draw_graphic(rng, 16, 41, fonts.find_fonts(font_folder))
        assert high.shape == (41, 41, 3) and high.dtype == np.uint8
        seen.append(high.tobytes())
        between += len(np.unique(high.reshape(-1, 3), axis=0)) > 8
    assert len(set(seen)) > 36 and between > 20


def test_a_canvas_has_few_colours_of_its_own(seed):
    """Contrast is as in print: black and white meet often, and so do saturated colours."""
    black_and_white = saturated = 0
    for rng in draws(seed, 150):
        colours = {tuple(colour) for colour in graphics.draw_graphic(rng, 16, 32).reshape(-1, 3)}
        black_and_white += {(0, 0, 0), (255, 255, 255)} <= colours
        saturated += any(max(colour) == 255 and min(colour) == 0 for colour in colours)
    assert black_and_white > 8 and saturated > 30


# Degradations

def test_bicubic_alone_is_pillows(seed):
    recipe = Recipe(**pieces.PHOTOGRAPHS, patch=16)
    high = photograph(seed, 40).pixels
    expected = np.asarray(Image.fromarray(high).resize((16, 16), Image.Resampling.BICUBIC))
    assert np.array_equal(degradations.degrade(np.random.default_rng(seed), high, recipe), expected)


@pytest.mark.parametrize("name", ["box", "bilinear", "lanczos", "nearest"])
def test_every_filter_by_its_share_of_one(name, seed):
    recipe = Recipe(**{**pieces.PHOTOGRAPHS, name: 1.0}, patch=16)
    high = photograph(seed, 41).pixels
    expected = np.asarray(Image.fromarray(high).resize((16, 16), getattr(Image.Resampling, name.upper())))
    got = degradations.degrade(np.random.default_rng(seed), high, recipe)
    assert np.array_equal(got, expected)
    assert not np.array_equal(got, degradations.resized(high, 16))


def test_noise_is_little_and_unbiased(seed):
    recipe, high = Recipe(**{**pieces.PHOTOGRAPHS, "noise": 1.0}, patch=32), np.full((32, 32, 3), 128, np.uint8)
    spread = []
    for rng in draws(seed, 60):
        low = degradations.degrade(rng, high, recipe).astype(float)
        assert abs(low.mean() - 128) < 1.5
        spread.append(low.std())
    assert 0.3 < min(spread) and max(spread) < 4.6 and max(spread) - min(spread) > 1.5


def test_compression_keeps_the_picture_and_moves_its_blocks(seed):
    """Where steps across columns of an 8x8 block's border show, over many draws, is everywhere."""
    recipe = Recipe(**{**pieces.PHOTOGRAPHS, "compression": 1.0}, patch=32)
    ramp = np.linspace(40, 210, 32).round().astype(np.uint8)
    high = np.repeat(np.repeat(ramp[None, :, None], 32, axis=0), 3, axis=2)
    largest = set()
    for rng in draws(seed, 150):
        low = degradations.degrade(rng, high, recipe)
        assert low.shape == high.shape and np.abs(low.astype(int) - high).mean() < 8
        largest.add(int(np.abs(np.diff(low.astype(int).mean(axis=(0, 2)))).argmax()) % 8)
    assert len(largest) >= 6


# Shares

def within(found, count, share):
    """Whether a count of binomial draws is within five standard deviations of what is expected."""
    return abs(found - count * share) <= 5 * np.sqrt(count * share * (1 - share)) + 1e-9


@pytest.mark.parametrize("shares", [{}, {"graphics": 0.5, "patterns": 0.1}, {"graphics": 0, "patterns": 1},
                                    {"graphics": 1, "patterns": 0}, {"graphics": 0.4, "patterns": 0.6}])
def test_kinds_of_patches_have_their_shares(shares, seed, monkeypatch):
    recipe, calls = Recipe(patch=8, queries=4, seed=seed, **shares), []
    flat = np.zeros((8, 8, 3), np.uint8)
    monkeypatch.setattr(data, "draw_pattern", lambda rng, patch, side, fonts: calls.append("patterns") or (flat, flat))
    monkeypatch.setattr(data, "draw_graphic", lambda rng, patch, side, fonts: calls.append("graphics") or flat)
    monkeypatch.setattr(data, "_part_of_photograph", lambda *given: calls.append("photographs") or flat)
    monkeypatch.setattr(data, "degrade", lambda rng, high, recipe: flat)
    monkeypatch.setattr(data, "round", lambda number: 8, raising=False)  # of the side, which is the flat patch's
    for step in range(1500):
        data.draw_patch([], recipe, step, 0)
    for name in ("patterns", "graphics"):
        assert within(calls.count(name), 1500, getattr(recipe, name))
    assert within(calls.count("photographs"), 1500, 1 - recipe.patterns - recipe.graphics)


@pytest.mark.parametrize("shares", [{}, {"box": 0.1, "bilinear": 0.2, "lanczos": 0.3, "nearest": 0.4},
                                    {"box": 0, "bilinear": 0, "lanczos": 0, "nearest": 0, "noise": 0.3}])
def test_degradations_have_their_shares(shares, seed, monkeypatch):
    recipe, calls = Recipe(patch=8, **shares), []
    monkeypatch.setattr(degradations, "resized", lambda high, side, resample: calls.append(resample.name) or high)
    monkeypatch.setattr(degradations, "_noisy", lambda rng, low: calls.append("noise") or low)
    monkeypatch.setattr(degradations, "_compressed", lambda rng, low: calls.append("compression") or low)
    for rng in draws(seed, 2000):
        degradations.degrade(rng, None, recipe)
    others = [recipe.box, recipe.bilinear, recipe.lanczos, recipe.nearest]
    for name, share in zip(("BOX", "BILINEAR", "LANCZOS", "NEAREST", "BICUBIC", "noise", "compression"),
                           (*others, 1 - sum(others), recipe.noise, recipe.compression)):
        assert within(calls.count(name), 2000, share), name


# Purity

def test_patches_depend_on_nothing_but_step_and_place(seed, font_folder):
    recipe = Recipe(patch=8, queries=20, graphics=0.4, patterns=0.4, seed=seed)
    pictures, found = [photograph(seed)], fonts.find_fonts(font_folder)
    there = [data.draw_patch(pictures, recipe, step, 2, found) for step in range(30)]
    np.random.default_rng().random(7), np.random.rand(3), torch.rand(3)
    back = [data.draw_patch(pictures, recipe, step, 2, found) for step in reversed(range(30))][::-1]
    for one, other in zip(there, back):
        assert all(np.array_equal(*pair) for pair in zip(one, other))
    assert len({patch[0].tobytes() for patch in there}) > 25
    with data.Loader(pictures, recipe, 4, range(3), threads=3, fonts=found) as loader:
        for step, batch in zip(range(4, 16), loader):
            assert all(np.array_equal(one[2], other) for one, other in zip(batch, there[step]))


def test_a_resumed_run_with_drawn_patches_is_exact(tmp_path, seed):
    pictures = pieces.make_pictures(tmp_path / "pictures", seed)
    recipe = {"graphics": 0.4, "patterns": 0.3, "box": 0.3, "compression": 0.5, "noise": 0.5, "consistency": 1.0}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert pieces.run(pictures, whole, 14, recipe=recipe).finished
    assert not pieces.run(pictures, parts, 14, recipe=recipe, pause_after=5 / 60).finished
    assert pieces.run(pictures, parts, 14, recipe=recipe, resume=True).finished
    pieces.assert_same(pieces.state_of(whole), pieces.state_of(parts))


def test_a_run_goes_on_with_the_same_fonts_only(tmp_path, seed, font_folder):
    pictures, out = pieces.make_pictures(tmp_path / "pictures", seed), tmp_path / "out"
    options = {"recipe": {"graphics": 0.5}, "fonts": str(font_folder)}
    pieces.run(pictures, out, 6, pause_after=2 / 60, **options)
    assert read_metadata(out / "weights.safetensors")["fonts"] == ["Some.ttf"]
    (font_folder / "Some.ttf").rename(font_folder / "Renamed.ttf")
    with pytest.raises(InputError, match="fonts found are not those"):
        pieces.run(pictures, out, 6, resume=True, **options)
    (font_folder / "Renamed.ttf").rename(font_folder / "Some.ttf")
    assert pieces.run(pictures, out, 6, resume=True, **options).finished


def test_fonts_of_a_folder(font_folder, tmp_path):
    (font_folder / "more").mkdir()
    (font_folder / "more" / "Last.TTF").write_bytes((font_folder / "Some.ttf").read_bytes())
    assert fonts.font_names(fonts.find_fonts(font_folder)) == ["Last.TTF", "Some.ttf"]
    for path in fonts.find_fonts():  # this system's, none or many
        assert fonts.font(path, 12).getbbox("Ag")[2] > 0
    (tmp_path / "none").mkdir()
    for folder, says in ((tmp_path / "none", "holds no font"), (tmp_path / "nowhere", "There is no folder")):
        with pytest.raises(InputError, match=says):
            fonts.find_fonts(folder)


# The loss

def test_consistency_adds_the_error_of_the_mean(seed):
    model = build_model(pieces.SPEC).train()
    inp, coord, cell = torch.rand(3, 3, 8, 8) * 2 - 1, torch.rand(3, 40, 2) * 2 - 1, torch.full((3,), 0.1)
    values = model(inp, coord, cell[:, None, None].expand(3, 40, 2)).detach()
    noise = torch.rand(3, 40, 3) - 0.5
    off = torch.tensor([0.01, -0.03, 0.4])[:, None, None]  # on either side of where the square begins
    batch = (inp, coord, cell, values + noise - noise.mean(dim=1, keepdim=True) + off)
    error = off[:, 0].abs()
    smooth = torch.where(error < 0.05, error ** 2 / 0.1, error - 0.025).mean()
    plain, added = (Objective(model, consistency=weight)(*batch) for weight in (0.0, 3.0))
    torch.testing.assert_close(added - plain, 3 * smooth, rtol=1e-4, atol=1e-5)


# Beginning with given weights

@pytest.fixture
def trained(tmp_path, seed):
    """(pictures, the weights' file) of a short run."""
    pictures = pieces.make_pictures(tmp_path / "pictures", seed)
    pieces.run(pictures, tmp_path / "first", 5, licence="CC0 1.0")
    return pictures, tmp_path / "first" / "weights.safetensors"


def test_a_run_begins_with_given_weights(trained, tmp_path):
    pictures, path = trained
    pieces.run(pictures, tmp_path / "second", 3, initial=str(path), recipe={"lr": 1e-8})
    before, after = load_model(path).state_dict(), load_model(tmp_path / "second" / "weights.safetensors").state_dict()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=1e-6)
    told = read_metadata(tmp_path / "second" / "weights.safetensors")
    assert told["initial_weights"]["name"] == "weights.safetensors" and told["initial_weights"]["license"] == "CC0 1.0"
    assert told["initial_weights"]["training"]["steps"] == 5
    assert "initial_weights" not in read_metadata(path)


def test_a_run_from_given_weights_resumes_exactly(trained, tmp_path):
    pictures, path = trained
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    pieces.run(pictures, whole, 8, initial=str(path))
    pieces.run(pictures, parts, 8, initial=str(path), pause_after=3 / 60)
    path.unlink()  # no longer needed
    pieces.run(pictures, parts, 8, resume=True)
    pieces.assert_same(pieces.state_of(whole), pieces.state_of(parts))
    assert read_metadata(parts / "weights.safetensors")["initial_weights"]["training"]["steps"] == 5


@pytest.mark.parametrize("share", [0, 0.3, 1])
def test_weights_in_between(trained, tmp_path, share):
    pictures, first = trained
    pieces.run(pictures, tmp_path / "second", 4, initial=str(first))
    second, out = tmp_path / "second" / "weights.safetensors", tmp_path / "between.safetensors"
    blend(str(first), str(second), share, out)
    ends = load_model(first).state_dict(), load_model(second).state_dict()
    assert not torch.equal(*(end["imnet.layers.0.weight"] for end in ends))
    for name, value in load_model(out).state_dict().items():
        torch.testing.assert_close(value, (1 - share) * ends[0][name] + share * ends[1][name], rtol=1e-5, atol=1e-6)
    told = read_metadata(out)
    assert told["blend"] == {"first": "weights.safetensors", "share": share} and told["initial_weights"]


def test_weights_in_between_of_a_half_model(trained, tmp_path):
    _, first = trained
    half, out = tmp_path / "half.safetensors", tmp_path / "between.safetensors"
    save_model(load_model(first).half(), half, read_metadata(first))
    blend(str(half), str(first), 0.5, out)
    for name, value in load_model(out).state_dict().items():
        torch.testing.assert_close(value, load_model(first).state_dict()[name], rtol=1e-3, atol=1e-5)
        assert value.dtype == torch.float32


def test_weights_in_between_are_of_one_model(trained, tmp_path):
    _, first = trained
    out = tmp_path / "between.safetensors"
    for second, share, says in ((MODEL, 0.5, "not one architecture"), (str(first), 1.5, "from 0 to 1, got 1.5")):
        with pytest.raises(InputError, match=says):
            blend(str(first), second, share, out)
    assert not out.exists()


def test_given_weights_of_another_model_are_refused(trained, tmp_path):
    other = {"name": "lmliif", "args": {**pieces.SPEC["args"], "cell_decode": False}}
    with pytest.raises(InputError, match="holds another model"):
        data_folder, path = trained
        pieces.train(str(data_folder), str(tmp_path / "out"), other, Recipe(**pieces.RECIPE), minutes=1,
                     team=pieces.Team(0, 1, torch.device("cpu")), initial=str(path))


def test_the_command_trains_the_given_model(trained, tmp_path):
    pictures, path = trained
    out = tmp_path / "out"
    words = ["train", str(pictures), str(out), "--init", str(path), "--minutes", "0.01", "--batch", "2", "--patch", "8",
             "--queries", "16", "--patterns", "0.5", "--graphics", "0.25", "--nearest", "0.5", "--consistency", "2"]
    assert main(words) == 0
    assert load_model(out / "weights.safetensors").spec == load_model(path).spec
    told = read_metadata(out / "weights.safetensors")
    assert told["recipe"]["patterns"] == 0.5 and told["recipe"]["nearest"] == 0.5 and told["recipe"]["consistency"] == 2


@pytest.mark.parametrize("words, says", [
    (["--graphics", "0.7", "--patterns", "0.4"], "graphics + patterns are at most 1 together, photographs have"),
    (["--box", "0.5", "--lanczos", "0.6"], "box + bilinear + lanczos + nearest are at most 1 together, bicubic"),
    (["--graphics", "-0.1"], "graphics is a number from 0 to 1, got -0.1"),
    (["--compression", "2"], "compression is a number from 0 to 1, got 2.0"),
    (["--noise", "nan"], "noise is a number from 0 to 1"),
    (["--consistency", "-1"], "consistency is a number from 0"),
    (["--fonts", "nowhere"], "There is no folder nowhere"),
    (["--fonts", "pictures"], "pictures holds no font"),
    (["--init", "nothing"], "There is no built-in model 'nothing'"),
    (["--init", "first/weights.safetensors", "--model", "lmliif"], "--model describes a model, and --init"),
    (["--init", "first/weights.safetensors", "--blocks", "3"], "--blocks describes a model, and --init"),
    (["--init", "first/weights.safetensors", "--resume"], "--init begins a run with given weights, --resume goes on"),
])
def test_bad_options_are_one_sentence(trained, tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "pictures", "out", "--minutes", "1", "--patch", "8", *words]) == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1 and says in shown.err
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


@pytest.mark.parametrize("names", [*itertools.combinations(("box", "bilinear", "lanczos", "nearest"), 2)])
def test_shares_may_use_up_their_whole(names):
    Recipe(**{**pieces.PHOTOGRAPHS, names[0]: 0.7, names[1]: 0.3})
    with pytest.raises(InputError, match="at most 1 together"):
        Recipe(**{**pieces.PHOTOGRAPHS, names[0]: 0.71, names[1]: 0.3})
