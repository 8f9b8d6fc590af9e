"""`lmf-kernels train DATA OUT`: a folder of pictures in, trained weights out, in a given time."""

import click

_RECIPE = ("batch", "patch", "queries", "max_scale", "shrink", "graphics", "patterns", "box", "bilinear", "lanczos",
           "nearest", "compression", "noise", "consistency", "lr", "warm_up", "clip", "ema", "precision", "seed")


@click.command()
@click.argument("data", metavar="DATA")
@click.argument("out", metavar="OUT")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), required=True, metavar="N",
              help="Training time in all, the run's earlier parts included; the learning rate reaches zero there.")
@click.option("--resume", is_flag=True, help="Go on with the run saved in OUT, exactly where it was left.")
@click.option("--pause-after", type=click.FloatRange(min=0, min_open=True), metavar="N",
              help="Stop this part of the run after N minutes, saved; --resume goes on.")
@click.option("--model", metavar="NAME|FILE", help="lmliif, lmlte, lmciaosr, liif, lte, or a JSON file with "
              "'name' and 'args'.  [default: lmliif, the model that ships]")
@click.option("--init", metavar="NAME|FILE", help="Begin with the weights of a built-in model or of a file, and train "
              "that model.")
@click.option("--encoder", metavar="NAME", help="Encoder of a named model.  [default: edsr-baseline]")
@click.option("--blocks", type=click.IntRange(0, 4096), metavar="N", help="Its residual blocks.  [default: 10]")
@click.option("--features", type=click.IntRange(1, 4096), metavar="N", help="Its channels.  [default: 64]")
@click.option("--batch", type=int, metavar="N", help="Patches a step, over all processes.  [default: 8]")
@click.option("--patch", type=int, metavar="N", help="Side of an LR patch in pixels.  [default: 32]")
@click.option("--queries", type=int, metavar="N", help="HR pixels drawn from a patch.  [default: 1024]")
@click.option("--max-scale", type=float, metavar="S", help="Scales are uniform in [1, S].  [default: 4]")
@click.option("--shrink", type=float, metavar="S", help="HR patches are reduced by a factor uniform in [1, S].  "
              "[default: 3]")
@click.option("--graphics", type=float, metavar="SHARE", help="Patches that are drawn: text, lines, shapes, gratings, "
              "user interfaces.  [default: 0.2]")
@click.option("--patterns", type=float, metavar="SHARE", help="Patches that are pixel patterns: stripes, checkers, "
              "dither; the rest are photographs.  [default: 0.15]")
@click.option("--box", type=float, metavar="SHARE", help="LR patches reduced by a box filter.  [default: 0.15]")
@click.option("--bilinear", type=float, metavar="SHARE", help="By a bilinear filter.  [default: 0.1]")
@click.option("--lanczos", type=float, metavar="SHARE", help="By a Lanczos filter.  [default: 0.1]")
@click.option("--nearest", type=float, metavar="SHARE", help="By taking the nearest pixels; the rest by bicubic "
              "interpolation.  [default: 0.05]")
@click.option("--compression", type=float, metavar="SHARE", help="LR patches compressed as JPEG or WebP.  "
              "[default: 0.2]")
@click.option("--noise", type=float, metavar="SHARE", help="LR patches with a little noise.  [default: 0.05]")
@click.option("--fonts", metavar="DIR", help="Fonts for drawn text.  [default: the system's]")
@click.option("--consistency", type=float, metavar="WEIGHT", help="Weight in the loss of the error of a patch's mean "
              "colour.  [default: 1]")
@click.option("--lr", type=float, metavar="R", help="Adam's learning rate at its peak.  [default: 1e-3]")
@click.option("--warm-up", type=float, metavar="SHARE", help="Share of the time to reach the peak.  [default: 0.02]")
@click.option("--clip", type=float, metavar="NORM", help="Largest norm of a gradient.  [default: 1]")
@click.option("--ema", type=float, metavar="DECAY", help="Decay of the weights' average, a step.  [default: 0.999]")
@click.option("--precision", type=click.Choice(["fp32", "bf16"]), help="Of encoder and latent stage.  [default: bf16 "
              "where it is faster, else fp32]")
@click.option("--seed", type=int, metavar="N", help="Of first weights and patches.  [default: 0]")
@click.option("--validate", metavar="DIR", help="Pictures to validate on.  [default: a few of DATA, kept out]")
@click.option("--save-every", type=click.FloatRange(min=0), default=3.0, show_default=True, metavar="N",
              help="Minutes between checkpoints.")
@click.option("--license", "licence", default="not stated", show_default=True, metavar="TEXT",
              help="Of the weights, for their metadata.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda; with torchrun, one GPU a process.")
@click.option("--threads", type=click.IntRange(1, 4096), metavar="N", help="CPU threads; the default is torch's.")
@click.pass_context
def train(context, data, out, minutes, resume, pause_after, model, init, encoder, blocks, features, fonts, validate,
          save_every, licence, device, threads, **recipe):
    """Train a model on the pictures in the folder DATA for a given time, into the folder OUT.

    OUT gets weights.safetensors, which every command takes as --model, and what --resume needs. SIGTERM and Ctrl-C save
    before they end the run. Several GPUs: torchrun --nproc-per-node 8 -m lmf_kernels train ...
    """
    import torch

    from ..training import distributed, run

    if threads:
        torch.set_num_threads(threads)
    if init and resume:
        raise click.UsageError("--init begins a run with given weights, --resume goes on with a saved one; give one.")
    saved = run.saved_config(out) if resume else None
    spec = _spec(saved, init, {"model": model, "encoder": encoder, "blocks": blocks, "features": features})
    with distributed.team(device) as team:
        recipe = _recipe(saved, spec, team.device, {name: recipe[name] for name in _RECIPE})

        def report(text):
            click.echo(text, err=True)

        try:
            outcome = run.train(data, out, spec, recipe, minutes=minutes, team=team, resume=resume,
                                pause_after=pause_after, save_every=save_every, validate=validate, initial=init,
                                fonts=fonts, licence=licence, report=report)
        except run.TrainingFailed as error:
            raise click.ClickException(str(error)) from None
        if team.is_main:
            end = "finished" if outcome.finished else "saved, --resume goes on"
            report(f"{end}: step {outcome.step}, {outcome.minutes:.1f} of {minutes:g} min, {out}")
    if outcome.signal:
        context.exit(128 + outcome.signal)


def _spec(saved, init, given):
    """The model's spec: that of the weights to begin with, what is asked for, that of the saved run, or the shipping
    model's."""
    from ..checkpoints import load_model
    from ..training import models

    asked = {name: value for name, value in given.items() if value is not None}
    if init is not None:
        if asked:
            raise click.UsageError(f"--{next(iter(asked))} describes a model, and --init {init} holds one; give one.")
        return load_model(init, device="cpu").spec
    model = asked.pop("model", None)
    if model is not None and models.is_file(model):
        if asked:
            raise click.UsageError(f"--{next(iter(asked))} sizes a named model; the file {model} says it all.")
        return models.read_spec(model)
    if saved is not None and model is None and not asked:
        return saved["spec"]
    return models.named_spec(model or "lmliif", **asked)


def _recipe(saved, spec, device, given):
    """The recipe: what is asked for, else that of the saved run, else the defaults."""
    from ..training import Recipe
    from ..training.precision import fastest

    asked = {name: value for name, value in given.items() if value is not None}
    before = saved["recipe"] if saved is not None else {"precision": fastest(spec, device)}
    return Recipe(**{**before, **asked})
