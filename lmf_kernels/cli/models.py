"""`lmf-kernels models`: the models that ship with the package."""

import json

import click

_TOLD = ("license", "training_data", "seed", "recipe")


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
        click.echo(f"{name}{default}: {about.architecture}, {about.parameters} parameters, {about.size / 1e6:.1f} MB")
        for key in _TOLD:
            if key in about.metadata:
                click.echo(f"  {key.replace('_', ' ')}: {_words(_value_of(about.metadata[key]))}")


def _value_of(text):
    """The list or mapping that a string is as JSON, else the string."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _words(value):
    """Metadata as a line of text: mappings and lists unfolded."""
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_words(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return "; ".join(map(_words, value))
    return str(value)
