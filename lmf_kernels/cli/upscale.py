"""`lmf-kernels upscale IN... OUT`: picture files, or folders of them, made larger."""

import click

from .options import Scale, Size, cmsr_option, model_options, tta_option


@click.command()
@click.argument("paths", metavar="IN... OUT", nargs=-1, required=True)
@click.option("--scale", type=Scale(), metavar="S", help="Factor, such as 3.7 or 2x.")
@click.option("--size", type=Size(), help="Output size in place of a factor: 3840x2160 fits inside, keeping the aspect "
              "ratio; 3840x and x2160 give one side.")
@click.option("--stretch", "fit", flag_value="stretch", help="Exactly --size, whatever the aspect ratio.")
@click.option("--fill", "fit", flag_value="fill", help="Exactly --size, cropped on two sides to keep the aspect ratio.")
@model_options
@tta_option
@cmsr_option
@click.option("--max-memory", metavar="BYTES", help="Working memory to stay below, such as 1GB; default: 2GB.")
@click.option("--max-megapixels", type=click.FloatRange(0, min_open=True), metavar="N",
              help="Refuse larger inputs; default: 179.")
@click.option("--quality", type=click.IntRange(1, 100), metavar="N",
              help="Of JPEG, WebP and AVIF; default: 95, for AVIF 90.")
@click.option("--format", "--suffix", "suffix", metavar="NAME",
              help="Of all outputs of a folder, such as png, default: its own; or of standard output, default: png.")
@click.option("--recursive", is_flag=True, help="Enter sub-folders too, and mirror them in OUT.")
@click.option("--overwrite", is_flag=True, help="In a folder, also make what is done; and allow OUT to be IN.")
def upscale(paths, scale, size, fit, run_on, tta, cmsr, max_memory, max_megapixels, quality, suffix, recursive,
            overwrite):
    """Upscale the picture IN to OUT by any factor or to any size. OUT's suffix names its format.

    Several pictures, or a folder, go to the folder OUT under their own names. A picture that is there already, made of
    the same file in the same way, is not made again. `-` is standard input or output.

    Grey stays grey, 16 bits stay 16 bits in PNG and TIFF; transparency, colour profile and DPI are kept. Animated GIF,
    WebP and PNG stay animated.
    """
    if len(paths) < 2:
        raise click.UsageError("Give at least one picture and, last, the file or folder to write.")
    if (scale is None) == (size is None):
        raise click.UsageError("Give either --scale or --size" + ("." if size is None else ", not both."))
    if fit and (size is None or None in size):
        raise click.UsageError(f"--{fit} needs --size with width and height.")
    from ..picture_job import Box
    from . import folder, inputs, streams
    from .worker import Request, Worker

    *sources, target = paths
    suffix = suffix and "." + suffix.lower().lstrip(".")
    box = size and Box(*size, fit or "inside")
    worker = Worker(Request(scale, box, quality, max_memory, max_megapixels, overwrite, tta, cmsr), run_on)
    if streams.DASH in paths:
        if len(sources) > 1:
            raise click.UsageError("- takes one picture and one output.")
        with streams.as_files(*sources, target, suffix or ".png") as (source, target, worded):
            worker.run_alone(source, target, worded)
        return 0
    plan = inputs.plan(sources, target, suffix, recursive=recursive, overwrite=overwrite)
    if plan.many:
        return folder.upscale_all(plan, worker, overwrite=overwrite)
    worker.run_alone(*plan.pairs[0], keep_record=plan.folder is not None)
    return 0
