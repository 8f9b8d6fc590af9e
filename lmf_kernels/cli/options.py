"""What the commands share: option types, the options of a model and where it runs, and the model they name."""

import functools
import re

import click


class Scale(click.ParamType):
    """A factor: 3.7, 2x or x2."""

    name = "S"

    def convert(self, value, param, ctx):
        try:
            return factor(value)
        except ValueError:
            self.fail(f"{value!r} is not a factor such as 3.7, 2x or x2.", param, ctx)


class Scales(click.ParamType):
    """Factors with commas between them: 2,3,4; becomes a tuple."""

    name = "S,S"

    def convert(self, value, param, ctx):
        try:
            return tuple(map(factor, value.split(",")))
        except ValueError:
            self.fail(f"{value!r} is not a factor such as 2.5 or a list such as 2,3,4.", param, ctx)


class Size(click.ParamType):
    """WxH, Wx or xH, as people write picture sizes; becomes (H, W), as tensors have them, None for a side left out."""

    name = "WxH"

    def convert(self, value, param, ctx):
        match = re.fullmatch(r"([1-9][0-9]{0,8})?[xX]([1-9][0-9]{0,8})?", value)
        if not match or match[1] is match[2] is None:
            self.fail(f"{value!r} is not a size such as 3840x2160 (width x height), 3840x or x2160.", param, ctx)
        return tuple(side and int(side) for side in (match[2], match[1]))


def factor(text):
    """The number in "3.7", "2x" or "x2"; ValueError where there is none."""
    if isinstance(text, (int, float)):
        return float(text)
    bare = text.strip()
    return float(bare[1:] if bare[:1] in ("x", "X") else bare[:-1] if bare[-1:] in ("x", "X") else bare)


def model_options(command):
    """Give a command the options of `loaded_model`; it gets them together as `run_on`, a dict."""
    @functools.wraps(command)
    def with_model(*arguments, model_file, backend, device, dtype, threads, **others):
        run_on = {"name": model_file, "backend": backend, "device": device, "dtype": dtype, "threads": threads}
        return command(*arguments, run_on=run_on, **others)

    for option in (
        click.option("--threads", type=click.IntRange(1, 4096), metavar="N", help="CPU threads; default: torch's."),
        click.option("--dtype", type=click.Choice(["float32", "float64", "float16", "bfloat16", "auto"]),
                     default="float32", show_default=True,
                     help="Floating-point type of the model; auto: bfloat16 on a CPU that is measured to be faster in "
                          "it, else float32."),
        click.option("--device", default="cpu", show_default=True, help="Where to run: cpu, cuda, cuda:1."),
        click.option("--backend", default="auto", metavar="NAME", show_default=True, help="One that `info` lists."),
        click.option("--model", "model_file", metavar="NAME|FILE",
                     help="A name that `models` lists, a .pth, .pt or .safetensors file, or the folder of a training "
                          "run.  [default: built in]"),
    ):
        with_model = option(with_model)
    return with_model


def tta_option(command):
    """Give a command the switch `tta`."""
    return click.option("--tta", is_flag=True, help="Self-ensemble: the mean over the eight flips and turns of a "
                        "picture; takes eight times as long.")(command)


def cmsr_option(command):
    """Give a command the option `cmsr`: None, or what `cmsr.resolve` takes."""
    return click.option("--cmsr", metavar="TABLE|auto", help="Above x4, decode smooth parts at lower scales (LMF's "
                        "CMSR) by a table of `cmsr`, by one that ships with the model (auto), or by its precision, "
                        "such as 1e-4.")(command)


def loaded_model(run_on):
    """(model, what it was asked for as) of the options of `model_options`.

    Raises:
        InputError: the model, device or dtype cannot be used.
    """
    import torch

    from .. import checkpoints, precision

    name, automatic = model_name(run_on), run_on["dtype"] == "auto"
    model = checkpoints.load_model(name, device=run_on["device"], backend=run_on["backend"],
                                   dtype=torch.float32 if automatic else getattr(torch, run_on["dtype"]))
    return precision.in_fastest_type(model) if automatic else model, name


def model_name(run_on):
    """The file, folder or name of the model that the options of `model_options` ask for.

    Raises:
        CheckpointError: they ask for none, and none ships with this version.
    """
    from .. import built_in

    return run_on["name"] or built_in.default()


def set_threads(run_on):
    """Make torch use the number of CPU threads asked for."""
    import torch

    if run_on["threads"]:
        torch.set_num_threads(run_on["threads"])
