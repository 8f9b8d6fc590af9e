"""The program `lmf-kernels`: one command a file, nothing heavy imported before a command runs.

Bad input ends with one sentence on stderr and exit status 2; no command leaves half a file behind.
"""

import sys

import click

from .. import errors
from .info import info
from .train import train
from .upscale import upscale

_PROGRAM = "lmf-kernels"


@click.group(name=_PROGRAM, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.pass_context
def program(context):
    """Arbitrary-scale super-resolution: LIIF, LTE and LMF models with fused kernels."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


program.add_command(upscale)
program.add_command(train)
program.add_command(info)


def main(arguments=None):
    """Run the program on `arguments` (a list, or None for the command line's); returns the exit status."""
    try:
        return program.main(arguments, prog_name=_PROGRAM, standalone_mode=False) or 0
    except click.ClickException as error:
        return _fail(error.format_message())
    except (errors.InputError, errors.BackendError) as error:
        return _fail(str(error))
    except click.Abort:
        return 130  # interrupted from the keyboard
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        return _fail("There is not enough memory for this; ask for a smaller output.")


def _out_of_memory(error):
    """torch reports a failed allocation as a plain RuntimeError on a CPU, as OutOfMemoryError on a GPU."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or any(
        sign in str(error) for sign in ("not enough memory", "can't allocate memory", "overflow"))


def _fail(message):
    print(f"{_PROGRAM}: error: {' '.join(message.split())}", file=sys.stderr)
    return 2
