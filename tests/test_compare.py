"""Side-by-side crops: what is cut, where it is put, and what is refused."""

import os

import golden_cases
import numpy as np
import pytest
from PIL import Image

from lmf_kernels import InputError, load_model
from lmf_kernels.cli import main
from lmf_kernels.comparison import Row, busiest, row_of, sheet
from lmf_kernels.evaluation import bicubic, degrade, upscaled

MODEL = str(golden_cases.path("lmliif"))
PICTURE = os.path.join(os.path.dirname(__file__), "data", "flowers.png")


@pytest.fixture
def draw(seed):
    rng = np.random.default_rng(seed)
    return lambda *shape: rng.integers(0, 256, shape).astype(np.uint8)


def holds(page, block):
    """Where a block of pixels lies in a page: (y, x), None if it does not."""
    page = np.asarray(page)
    height, width = block.shape[:2]
    for y, x in np.argwhere((page[:len(page) - height + 1, :page.shape[1] - width + 1] == block[0, 0]).all(axis=2)):
        if np.array_equal(page[y:y + height, x:x + width], block):
            return int(y), int(x)
    return None


def test_the_window_with_most_detail(draw):
    image = np.full((60, 80, 3), 90, np.uint8)
    image[31:41, 52:62] = draw(10, 10, 3)
    x, y, width, height = busiest(image, 12)
    assert (width, height) == (12, 12) and 50 <= x <= 52 and 29 <= y <= 31
    assert busiest(image, 70)[2:] == (70, 60)
    assert busiest(image, 1000) == (0, 0, 80, 60)


def test_a_row_cuts_one_window_out_of_each_version():
    model = load_model(MODEL)
    hr, lr = degrade(np.asarray(Image.open(PICTURE).convert("RGB")), 3)
    row = row_of(model, PICTURE, 3, name="ours", reference=True, crop=(20, 30, 40, 25))
    window = (slice(30, 55), slice(20, 60))
    assert list(row.crops) == ["bicubic", "ours", "original"]
    assert np.array_equal(row.crops["original"], hr[window])
    assert np.array_equal(row.crops["bicubic"], bicubic(lr, hr.shape[:2])[window])
    assert np.array_equal(row.crops["ours"], upscaled(model, lr, hr.shape[:2])[window])
    assert "flowers.png, x3: 53x35 to 159x105, 40x25 pixels at (20, 30)" == row.title
    without = row_of(model, PICTURE, 1.5, crop_size=50)
    assert list(without.crops) == ["bicubic", "model"] and "160x107 to 240x160" in without.title
    assert all(crop.shape == (50, 50, 3) for crop in without.crops.values())


def test_a_sheet_holds_every_crop_enlarged_and_captioned(draw):
    crops = {"bicubic": draw(9, 13, 3), "ours": draw(9, 13, 3)}
    more = {"bicubic": draw(20, 30, 3), "ours": draw(20, 30, 3), "original": draw(20, 30, 3)}
    page = sheet([Row("first", crops), Row("second", more)], zoom=3)
    places = []
    for crop in (*crops.values(), *more.values()):
        places.append(holds(page, crop.repeat(3, axis=0).repeat(3, axis=1)))
    assert None not in places
    (y0, x0), (y1, x1), *below = places
    assert y0 == y1 and x1 > x0 + 39 - 1 and len({y for y, _ in below}) == 1 and below[0][0] > y0 + 27
    ink = (np.asarray(page).sum(axis=2) == 0).any(axis=1)
    assert ink[:y0].any() and ink[y0 + 27:below[0][0]].any()  # captions above each row


def test_the_command_writes_one_picture(tmp_path, capsys):
    out = str(tmp_path / "out.png")
    assert main(["compare", PICTURE, PICTURE, "-o", out, "--scale", "2", "--reference", "--crop-size", "32", "--zoom",
                 "1", "--model", MODEL]) == 0
    with Image.open(out) as page:
        assert page.mode == "RGB" and page.height > 2 * 32 and page.width > 3 * 32
        assert f"{page.width}x{page.height}" in capsys.readouterr().err
        row = row_of(load_model(MODEL), PICTURE, 2, reference=True, crop_size=32)
        assert all(holds(page, crop) for crop in row.crops.values())


@pytest.mark.parametrize("words, says", [
    ([], "Missing argument 'IN...'"),
    ([PICTURE, "-o", "out.xyz"], "the suffix is one of"),
    ([PICTURE, "-o", "out.png", "--crop", "10x10"], "is not a crop such as"),
    ([PICTURE, "-o", "out.png", "--scale", "2", "--crop", "10x10+311+0"], "does not lie within the output"),
    ([PICTURE, "-o", "out.png", "--scale", "2", "--crop", "0x10+1+0"], "does not lie within the output"),
    ([PICTURE, "-o", "out.png", "--scale", "nan"], "finite number above zero"),
    ([PICTURE, "-o", "out.png", "--scale", "0.5", "--reference"], "at least 1"),
    (["none.png", "-o", "out.png"], "There is no file none.png"),
])
def test_bad_calls_are_one_sentence(tmp_path, monkeypatch, capsys, words, says):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", *words, "--model", MODEL]) == 2
    shown = capsys.readouterr()
    assert says in shown.err and shown.err.count("\n") == 1 and os.listdir(tmp_path) == []


def test_a_crop_is_checked_before_the_model_runs():
    with pytest.raises(InputError, match="does not lie within"):
        row_of(None, PICTURE, 2, crop=(0, 0, 321, 10))
