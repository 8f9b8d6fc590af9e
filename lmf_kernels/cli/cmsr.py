"""`lmf-kernels cmsr DIR`: a table for multi-scale rendering, built from pictures."""

import click

from .folder_of_pictures import pictures_in
from .options import Scales, loaded_model, model_options, set_threads
from .report import progress_bar, say, say_model


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("--mse", type=float, default=2e-5, show_default=True, metavar="X",
              help="Precision: the mean squared difference from full rendering to stay within, values in [-1, 1].")
@click.option("-o", "--output", metavar="TABLE", help="YAML file to write; default: standard output.")
@click.option("--scale", "scales", type=Scales(), metavar="S,S...", help="Output scales.  [default: 6,8,12,18]")
@click.option("--decode-scale", "decode_scales", type=Scales(), metavar="S,S...",
              help="Scales to decode at.  [default: 1,1.5,2,3,4,6,8,12,16,24,32]")
@model_options
def cmsr(folder, mse, output, scales, decode_scales, run_on):
    """Build a table of CMSR, multi-scale rendering, for a model from the pictures in DIR.

    `upscale --cmsr TABLE` then decodes smooth parts at lower scales, as far as the picture stays within --mse of the
    full rendering on pictures like these. The file has the format of the authors' code.
    """
    from ..cmsr import DECODE_SCALES, OUTPUT_SCALES, build_tables, write_tables
    from ..cmsr.table import as_text
    from ..evaluation import read_hr
    from ..files import check_writable

    paths = pictures_in(folder)
    if output:
        check_writable(output)
    set_threads(run_on)
    model, name = loaded_model(run_on)
    with progress_bar(1, "cmsr") as tell:
        tables = build_tables(
            model, [lambda path=path: read_hr(path) for path in paths], [mse], output_scales=scales or OUTPUT_SCALES,
            decode_scales=decode_scales or DECODE_SCALES, progress=lambda fraction: tell(0, fraction))[mse]
    notes = [f"CMSR table of {name} at a mean squared difference of {mse:g}"]
    if output:
        write_tables(output, tables, notes)
        say("table", output)
    else:
        click.echo(as_text(tables, notes), nl=False)
    say_model(model, name)
