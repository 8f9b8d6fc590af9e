"""`lmf-kernels models`: the models that ship with the package."""

import click

_TOLD = ("licence", "license", "training_data", "recipe", "seed")


@click.command()
def models():
    """List the built-in models, with licence and training data."""
    from .. import built_in

    names = built_in.names()
    if not names:
        click.echo("No model ships with this version; give a .pth or .safetensors file with --model.")
    for name in names:
        about = built_in.about(name)
        default = " (default)" * (name == built_in.default())
        click.echo(f"{name}{default}: {about.parameters} parameters, {about.size / 1e6:.1f} MB")
        for key in _TOLD:
            if key in about.metadata:
                click.echo(f"  {key.replace('_', ' ')}: {about.metadata[key]}")
