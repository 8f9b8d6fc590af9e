"""`lmf-kernels eval DIR`: PSNR and SSIM of a model on a folder of originals, bicubic interpolation beside it."""

import json
import math
import os
from dataclasses import asdict

import click

from .folder_of_pictures import pictures_in
from .options import Scales, cmsr_option, factor, loaded_model, model_options, set_threads, tta_option
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
@click.argument("folder", metavar="[DIR]", required=False)
@click.option("--scale", "scales", type=Scales(), multiple=True, metavar="S,S...", default=("2,3,4",),
              help="Factors, such as 2,3,4 or 2.5.  [default: 2,3,4]")
@click.option("--robustness", is_flag=True, help="Measure pixel patterns, text, line art and JPEG instead of clean "
              "photographs; DIR may be left out.")
@model_options
@tta_option
@cmsr_option
@click.option("--rgb", is_flag=True, help="The DIV2K tables' recipe: all channels, factor + 6 pixels shaved.")
@click.option("--json", "json_file", metavar="FILE", help="Also write all numbers to FILE.")
def evaluate(folder, scales, robustness, run_on, tta, cmsr, rgb, json_file):
    """Measure a model on the originals in DIR: PSNR and SSIM against bicubic interpolation.

    Each original is reduced by each factor and brought back. Needs scikit-image: pip install 'lmf-kernels[eval]'.

    With --robustness: what it does to pictures that are no clean photographs. Patterns, text, line art and a screen are
    drawn; pictures in DIR are measured besides, as they are and compressed as JPEG.
    """
    from ..files import atomic_write, check_writable

    if folder is None and not robustness:
        raise click.UsageError("Give DIR, a folder of original pictures; only --robustness draws its own.")
    if robustness and rgb:
        raise click.UsageError("--rgb belongs to clean originals; --robustness measures the Y channel. Give one.")
    if robustness and tta:
        raise click.UsageError("--tta belongs to clean originals; --robustness measures the plain model. Give one.")
    if robustness and cmsr is not None:
        raise click.UsageError("--cmsr belongs to clean originals; --robustness measures full rendering. Give one.")
    paths = pictures_in(folder) if folder is not None else []
    if json_file:
        check_writable(json_file)
    set_threads(run_on)
    scales = tuple(dict.fromkeys(scale for several in scales for scale in several))
    model, name = loaded_model(run_on)
    if not robustness:
        from ..cmsr import resolve

        cmsr = resolve(cmsr, model)
    measure = _robustness if robustness else _quality
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    with_cost = not robustness and dtype in ("float16", "bfloat16")
    with progress_bar(1, "eval") as tell:
        lines, found = measure(model, paths, scales, rgb, tta, cmsr,
                               lambda fraction: tell(0, fraction / (1 + with_cost)))
        if with_cost:
            full, _ = loaded_model({**run_on, "dtype": "float32"})
            _, exact = measure(full, paths, scales, rgb, False, cmsr, lambda fraction: tell(0, (1 + fraction) / 2))
            found["cost"] = _cost(found["means"], exact["means"])
            lines += [f"{dtype} costs, against float32:", *(_cost_line(row) for row in found["cost"])]
    say_model(model, name)
    click.echo("\n".join(lines))
    if json_file:
        found = {"recipe": found.pop("recipe"), "model": name, "backend": run_on["backend"], "dtype": dtype, **found}
        with atomic_write(json_file) as temporary, open(temporary, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)


# PSNR and SSIM

def _quality(model, paths, scales, rgb, tta, cmsr, progress):
    """(lines to print, what goes into the file)."""
    from .. import evaluation

    recipe = evaluation.Recipe(rgb)
    rows = evaluation.evaluate(model, paths, scales, recipe, tta=tta, cmsr=cmsr, progress=progress)
    means = evaluation.means(rows)
    found = {
        "recipe": str(recipe), "means": [{"scale": scale, **_plain(both)} for scale, both in means.items()],
        "pictures": [{**row, "picture": os.path.basename(row["picture"]), **_plain(row)} for row in rows]}
    return _quality_lines(rows, means, recipe), found


def _quality_lines(rows, means, recipe):
    width = max(len("picture"), *(len(os.path.basename(row["picture"])) for row in rows))
    lines = [f"recipe: {recipe}", f"scale  {'picture':{width}}   bicubic: dB    SSIM    model: dB    SSIM    gain dB"
             + ("   with tta: dB    SSIM    gain dB" if "tta" in rows[0] else "")]
    for scale, both in means.items():
        lines += [_line(scale, os.path.basename(row["picture"]), width, row) for row in rows if row["scale"] == scale]
        lines.append(_line(scale, "mean", width, both))
        shares = [row["share"] for row in rows if row["scale"] == scale and row["share"] is not None]
        if shares:
            lines.append(f"{f'x{scale:g}':5}  CMSR rendered {sum(shares) / len(shares):.1%} of the full-rate queries "
                         "(mean over the pictures)")
    return lines


def _cost(means, exact):
    """[{"scale", "psnr", "ssim"}]: by how much the means of a half type are below those of float32; None where one has
    no number."""
    def lost(of, key):
        return None if None in (of[0]["model"][key], of[1]["model"][key]) else of[1]["model"][key] - of[0]["model"][key]

    return [{"scale": pair[0]["scale"], "psnr": lost(pair, "psnr"), "ssim": lost(pair, "ssim")}
            for pair in zip(means, exact, strict=True)]


def _cost_line(row):
    psnr, ssim = ("-" if row[key] is None else f"{row[key]:.{digits}f}" for key, digits in (("psnr", 3), ("ssim", 4)))
    return f"{'x{:g}'.format(row['scale']):5}  {psnr} dB, SSIM {ssim}"


def _line(scale, what, width, both):
    bicubic, model = both["bicubic"], both["model"]
    gain = 0.0 if model.psnr == bicubic.psnr else model.psnr - bicubic.psnr  # inf - inf is no number
    return (f"{f'x{scale:g}':5}  {what:{width}}    {bicubic.psnr:10.3f}  {bicubic.ssim:.4f}   {model.psnr:10.3f}  "
            f"{model.ssim:.4f}   {gain:+8.3f}" + _tta_cells(both))


def _tta_cells(both):
    """The self-ensemble's columns, its gain that over the model alone."""
    if "tta" not in both:
        return ""
    gain = 0.0 if both["tta"].psnr == both["model"].psnr else both["tta"].psnr - both["model"].psnr
    return f"   {both['tta'].psnr:12.3f}  {both['tta'].ssim:.4f}   {gain:+8.3f}"


def _plain(both):
    """Scores as JSON has them: no infinity."""
    return {name: {key: value if abs(value) != float("inf") else None for key, value in asdict(both[name]).items()}
            for name in ("bicubic", "model", "tta") if name in both}


# Robustness

def _robustness(model, paths, scales, rgb, tta, cmsr, progress):
    """As `_quality`."""
    from .. import robustness

    rows = robustness.robustness(model, scales, paths, progress=progress)
    summary = [{"scale": scale, "what": what, "measure": measure, **_plain_row(values)}
               for (scale, what, measure), values in robustness.summary(rows).items()]
    width = max(len(row["what"]) for row in summary)
    lines = [f"recipe: {robustness.RECIPE}",
             f"scale  {'pictures':{width}}  {'measure':18}    bicubic      model  worst"]
    lines += [f"{'x{:g}'.format(row['scale']):5}  {row['what']:{width}}  {row['measure']:18} {_cell(row['bicubic'])} "
              f"{_cell(row['model'])}  {row.get('picture', '')}".rstrip() for row in summary]
    # Of hundreds of patterns the summary names the worst.
    pictures = [_plain_row(asdict(row)) for row in rows if row.what != robustness.PATTERNS]
    folder = os.path.basename(os.path.dirname(os.path.abspath(paths[0]))) if paths else None
    return lines, {"recipe": robustness.RECIPE, "folder": folder, "summary": summary, "pictures": pictures}


def _plain_row(row):
    """As JSON has it: neither infinity nor NaN, and of a picture its file's name."""
    finite = {name: row[name] if math.isfinite(row[name]) else None for name in ("bicubic", "model")}
    return {**row, **finite, **({"picture": os.path.basename(row["picture"])} if "picture" in row else {})}


def _cell(value):
    return f"{'-' if value is None else f'{value:.3f}':>10}"


def _are_factors(word):
    try:
        list(map(factor, word.split(",")))
    except ValueError:
        return False
    return True
