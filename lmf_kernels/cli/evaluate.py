"""`lmf-kernels eval DIR`: PSNR and SSIM of a model on a folder of originals, bicubic interpolation beside it."""

import json
import os
from dataclasses import asdict

import click

from .options import Scales, factor, loaded_model, model_options, set_threads
from .report import progress_bar, say_model


class _SeveralScales(click.Command):
    """Takes `--scale 2 3 4` for `--scale 2 --scale 3 --scale 4`, which is all that click itself knows."""

    def parse_args(self, ctx, args):
        spelt, open_list = [], False
        for word in args:
            if open_list and spelt[-1] != "--scale" and _are_factors(word):
                spelt.append("--scale")
            elif not (open_list and _are_factors(word)):
                open_list = word == "--scale"
            spelt.append(word)
        return super().parse_args(ctx, spelt)


@click.command(name="eval", cls=_SeveralScales)
@click.argument("folder", metavar="DIR")
@click.option("--scale", "scales", type=Scales(), multiple=True, metavar="S,S...", default=("2,3,4",),
              help="Factors, such as 2,3,4 or 2.5.  [default: 2,3,4]")
@model_options
@click.option("--rgb", is_flag=True, help="The DIV2K tables' recipe: all channels, factor + 6 pixels shaved.")
@click.option("--json", "json_file", metavar="FILE", help="Also write all numbers to FILE.")
def evaluate(folder, scales, run_on, rgb, json_file):
    """Measure a model on the originals in DIR: PSNR and SSIM against bicubic interpolation.

    Each original is reduced by each factor and brought back. Needs scikit-image: pip install 'lmf-kernels[eval]'.
    """
    from .. import evaluation
    from ..errors import InputError
    from ..files import atomic_write, check_writable
    from ..images import READ_SUFFIXES

    if not os.path.isdir(folder):
        raise InputError(f"There is no folder {folder}; give one that holds the original pictures.")
    paths = [os.path.join(folder, name) for name in sorted(os.listdir(folder))
             if os.path.splitext(name)[1].lower() in READ_SUFFIXES and not name.startswith(".")]
    if not paths:
        raise InputError(f"There is no picture in {folder}; known suffixes: {' '.join(READ_SUFFIXES)}.")
    if json_file:
        check_writable(json_file)
    set_threads(run_on)
    scales = tuple(dict.fromkeys(scale for several in scales for scale in several))
    recipe = evaluation.Recipe(rgb)
    model, name = loaded_model(run_on)
    with progress_bar(1, "eval") as tell:
        rows = evaluation.evaluate(model, paths, scales, recipe, progress=lambda share: tell(0, share))
    means = evaluation.means(rows)
    say_model(model, name)
    _print(rows, means, recipe)
    if json_file:
        found = {
            "recipe": str(recipe), "model": name, "backend": run_on["backend"], "dtype": run_on["dtype"],
            "means": [{"scale": scale, **_plain(both)} for scale, both in means.items()],
            "pictures": [{**row, "picture": os.path.basename(row["picture"]), **_plain(row)} for row in rows]}
        with atomic_write(json_file) as temporary, open(temporary, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)


def _print(rows, means, recipe):
    width = max(len("picture"), *(len(os.path.basename(row["picture"])) for row in rows))
    click.echo(f"recipe: {recipe}")
    click.echo(f"scale  {'picture':{width}}   bicubic: dB    SSIM    model: dB    SSIM    gain dB")
    for scale, both in means.items():
        for row in rows:
            if row["scale"] == scale:
                click.echo(_line(scale, os.path.basename(row["picture"]), width, row))
        click.echo(_line(scale, "mean", width, both))


def _line(scale, what, width, both):
    bicubic, model = both["bicubic"], both["model"]
    gain = 0.0 if model.psnr == bicubic.psnr else model.psnr - bicubic.psnr  # inf - inf is no number
    return (f"{f'x{scale:g}':5}  {what:{width}}    {bicubic.psnr:10.3f}  {bicubic.ssim:.4f}   {model.psnr:10.3f}  "
            f"{model.ssim:.4f}   {gain:+8.3f}")


def _plain(both):
    """Scores as JSON has them: no infinity."""
    return {name: {key: value if abs(value) != float("inf") else None for key, value in asdict(both[name]).items()}
            for name in ("bicubic", "model")}


def _are_factors(word):
    try:
        list(map(factor, word.split(",")))
    except ValueError:
        return False
    return True
