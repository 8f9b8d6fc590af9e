"""`lmf-kernels compare IN... -o OUT.png`: crops of bicubic interpolation, the model and the original side by side."""

import os
import re

import click

from .options import Scale, loaded_model, model_options, set_threads
from .report import progress_bar, say, say_model


class _Crop(click.ParamType):
    """WxH+X+Y in pixels of the output; becomes (x, y, width, height)."""

    name = "WxH+X+Y"

    def convert(self, value, param, ctx):
        match = re.fullmatch(r"([0-9]{1,9})[xX]([0-9]{1,9})\+([0-9]{1,9})\+([0-9]{1,9})", value)
        if not match:
            self.fail(f"{value!r} is not a crop such as 160x120+40+30 (width x height + left + top).", param, ctx)
        width, height, x, y = map(int, match.groups())
        return x, y, width, height


@click.command()
@click.argument("sources", metavar="IN...", nargs=-1, required=True)
@click.option("-o", "--out", "target", required=True, metavar="OUT", help="The picture to write, such as out.png.")
@click.option("--scale", type=Scale(), default=4.0, show_default=True, metavar="S", help="Factor, such as 3.7.")
@model_options
@click.option("--reference", is_flag=True, help="IN are originals: reduce them by the factor first, show them beside.")
@click.option("--crop", type=_Crop(), help="Window of the output; default: the square with most detail.")
@click.option("--crop-size", type=click.IntRange(8, 4096), default=160, show_default=True, metavar="N",
              help="Side of that square, in pixels of the output.")
@click.option("--zoom", type=click.IntRange(1, 16), default=2, show_default=True, metavar="N",
              help="Show each pixel N x N pixels large.")
def compare(sources, target, scale, run_on, reference, crop, crop_size, zoom):
    """Put crops of IN, upscaled by bicubic interpolation and by the model, side by side on one picture."""
    import numpy as np
    import torch

    from .. import comparison, images

    images.check_output(target)
    set_threads(run_on)
    model, name = loaded_model(run_on)
    rows = []
    with progress_bar(len(sources), "compare") as tell:
        for source in sources:
            rows.append(comparison.row_of(model, source, scale, name=os.path.basename(name), reference=reference,
                                          crop=crop, crop_size=crop_size))
            tell(len(rows))
    page = comparison.sheet(rows, zoom)
    images.write_image(target, torch.from_numpy(np.array(page)))
    say_model(model, name)
    say("picture", f"{page.width}x{page.height}, {target}")
