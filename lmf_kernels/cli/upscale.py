"""`lmf-kernels upscale IN OUT`: a picture file, or a folder of them, made larger."""

import os

import click

from .options import Size, loaded_model, model_options, set_threads
from .report import Clock, progress_bar, say, say_model, say_picture


@click.command()
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option("--scale", type=float, metavar="S", help="Factor, such as 3.7.")
@click.option("--size", type=Size(), help="Output size in place of a factor, such as 3840x2160.")
@model_options
@click.option("--max-memory", metavar="BYTES", help="Working memory to stay below, such as 1GB; default: 2GB.")
@click.option("--max-megapixels", type=click.FloatRange(0, min_open=True), metavar="N",
              help="Refuse larger inputs; default: 179.")
@click.option("--suffix", metavar="SUFFIX", help="Of all outputs of a folder, such as png; default: its own.")
@click.option("--overwrite", is_flag=True, help="In a folder, also what is done: outputs newer than their inputs.")
def upscale(source, target, scale, size, run_on, max_memory, max_megapixels, suffix, overwrite):
    """Upscale the picture IN to OUT by any factor or to any size. OUT's suffix names its format.

    IN may be a folder: then OUT is one too, and gets a picture of the same name for each one in IN that has none newer
    there yet. Grey stays grey, 16 bits stay 16 bits in PNG and TIFF, transparency and the colour profile are kept.
    """
    if (scale is None) == (size is None):
        raise click.UsageError("Give either --scale or --size" + ("." if size is None else ", not both."))
    from .. import upscale_file
    from ..tiling import memory
    from . import folder

    if max_memory is not None:
        max_memory = memory.parse_size(max_memory, "--max-memory")
    set_threads(run_on)
    clock = Clock()
    max_pixels = None if max_megapixels is None else int(max_megapixels * 1e6)

    def prepare(source, target):
        job = upscale_file.prepare(source, target, scale, size, max_pixels=max_pixels)
        clock("read picture")
        return job

    def load():
        model, name = loaded_model(run_on)
        clock.watch(model)
        clock("load model")
        return model, name

    def work(source, target, model, progress):
        job = prepare(source, target)
        upscale_file.run(job, model, max_memory=max_memory, finished=clock, progress=progress)
        return job

    if os.path.isdir(source):
        suffix = suffix and "." + suffix.lower().lstrip(".")
        return folder.upscale_all(folder.plan(source, target, suffix), load, work, overwrite=overwrite, clock=clock)
    if suffix or overwrite:
        raise click.UsageError("--suffix and --overwrite are for folders; OUT names the file to write.")
    job = prepare(source, target)  # whatever is wrong with the files is told before the model is read
    model, name = load()
    with progress_bar(1, "upscale") as tell:
        upscale_file.run(job, model, max_memory=max_memory, finished=clock, progress=lambda share: tell(0, share))
    say_model(model, name)
    say_picture(job)
    say("seconds", str(clock))
    return 0
