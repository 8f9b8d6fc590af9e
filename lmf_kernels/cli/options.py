"""What the commands share: option types, the options of a model and where it runs, and the model they name."""

import functools
import re

import click

class Size(click.ParamType):
    """WxH, as people write picture sizes; becomes (H, W), as tensors have them."""

    name = "WxH"

    def convert(self, value, param, ctx):
        match = re.fullmatch(r"([1-9][0-9]{0,8})[xX]([1-9][0-9]{0,8})", value)
        if not match:
            self.fail(f"{value!r} is not a size such as 3840x2160 (width x height).", param, ctx)
        return int(match[2]), int(match[1])


def model_options(command):
    """Give a command the options of `loaded_model`; it gets them together as `run_on`, a dict."""
    @functools.wraps(command)
    def with_model(*arguments, model_file, backend, device, dtype, threads, **others):
        run_on = {"name": model_file, "backend": backend, "device": device, "dtype": dtype, "threads": threads}
        return command(*arguments, run_on=run_on, **others)

    for option in (
        click.option("--threads", type=click.IntRange(1, 4096), metavar="N", help="CPU threads; default: torch's."),
        click.option("--dtype", type=click.Choice(["float32", "float64", "float16", "bfloat16"]), default="float32",
                     show_default=True, help="Floating-point type of the model."),
        click.option("--device", default="cpu", show_default=True, help="Where to run: cpu, cuda, cuda:1."),
        click.option("--backend", default="auto", metavar="NAME", show_default=True, help="One that `info` lists."),
        click.option("--model", "model_file", metavar="NAME|FILE",
                     help="A name that `models` lists, or a .pth, .pt or .safetensors file.  [default: built in]"),
    ):
        with_model = option(with_model)
    return with_model


def loaded_model(run_on):
    """(model, what it was asked for as) of the options of `model_options`.

    Raises:
        InputError: the model, device or dtype cannot be used.
    """
    import torch

    from .. import built_in, checkpoints

    name = run_on["name"] or built_in.default()
    model = checkpoints.load_model(name, device=run_on["device"], dtype=getattr(torch, run_on["dtype"]),
                                   backend=run_on["backend"])
    return model, name


def set_threads(run_on):
    """Make torch use the number of CPU threads asked for."""
    import torch

    if run_on["threads"]:
        torch.set_num_threads(run_on["threads"])
