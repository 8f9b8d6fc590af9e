"""How hard a JPEG is compressed, and which model the command line names for it."""

import numpy as np
import pytest
from PIL import Image

from lmf_kernels import built_in
from lmf_kernels.cli import main
from lmf_kernels.images import read_picture

SMOOTHING = "lmliif-edsr10-compressed"


@pytest.fixture
def picture(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(256, size=(20, 24, 3), dtype=np.uint8))


@pytest.mark.parametrize("quality", [1, 10, 40, 50, 75, 90, 95, 100])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_quality_of_a_file(tmp_path, picture, quality, mode):
    path = tmp_path / "p.jpg"
    picture.convert(mode).save(path, quality=quality)
    assert abs(read_picture(path).jpeg_quality - quality) <= 1  # 99 and 100 have nearly equal tables


def test_foreign_tables_count_as_the_nearest(tmp_path, picture):
    picture.save(tmp_path / "p.jpg", quality=40)
    with Image.open(tmp_path / "p.jpg") as opened:
        tables = {index: [step + step // 20 for step in table] for index, table in opened.quantization.items()}
    picture.save(tmp_path / "q.jpg", qtables=tables)
    assert 36 <= read_picture(tmp_path / "q.jpg").jpeg_quality <= 40


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "bmp"])
def test_other_files_have_none(tmp_path, picture, suffix):
    picture.save(tmp_path / f"p.{suffix}")
    assert read_picture(tmp_path / f"p.{suffix}").jpeg_quality is None


def test_advice():
    assert built_in.advised(built_in.default(), 40) == SMOOTHING
    assert built_in.advised(built_in.default(), 98) is built_in.advised(built_in.default(), None) is None
    assert built_in.advised("lmliif-edsr10-photo", 40) is built_in.advised(SMOOTHING, 40) is None


@pytest.mark.parametrize("name, quality, model, told", [
    ("p.jpg", 40, (), True), ("p.jpg", 97, (), False), ("p.png", None, (), False),
    ("p.jpg", 40, ("--model", SMOOTHING), False)])
def test_the_command_line_names_it(tmp_path, capsys, picture, name, quality, model, told):
    picture.save(tmp_path / name, **({"quality": quality} if quality else {}))
    (tmp_path / "folder").mkdir()
    for out in ("out.png", "folder"):
        assert main(["upscale", str(tmp_path / name), str(tmp_path / out), "--scale", "2", *model]) == 0
        assert (f"of quality 40, or about that: --model {SMOOTHING}" in capsys.readouterr().err) is told
