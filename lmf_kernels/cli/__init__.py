"""The program `lmf-kernels`: one command per file, nothing heavy imported before a command runs.

Bad input ends with one sentence on stderr and exit status 2; no command leaves half a file behind.
"""

import signal
import sys
import threading
from contextlib import contextmanager

import click

from .. import build_info, threads
from ..program import NAME
from . import failures
from .cmsr import cmsr
from .compare import compare
from .evaluate import evaluate
from .info import info
from .models import models
from .selfcheck import selfcheck
from .train import train
from .tune import tune
from .upscale import upscale


@click.group(name=NAME, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(build_info.version(), prog_name=NAME, message="%(prog)s %(version)s")
@click.pass_context
def program(context):
    """Arbitrary-scale super-resolution: LIIF, LTE and LMF models with fused kernels."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (upscale, info, models, evaluate, compare, train, cmsr, tune, selfcheck):
    program.add_command(command)


def main(arguments=None):
    """Run the program on `arguments` (a list, or None for the command line's); returns the exit status."""
    threads.wait_passively()
    try:
        with _orderly_end():
            return program.main(arguments, prog_name=NAME, standalone_mode=False) or 0
    except click.ClickException as error:
        return _fail(error.format_message())
    except click.Abort:
        return 130  # interrupted from the keyboard
    except _Terminated:
        return 128 + signal.SIGTERM
    except Exception as error:
        said = failures.sentence(error)
        if said is None:
            raise
        return _fail(said)


class _Terminated(BaseException):
    """SIGTERM arrived. Not an Exception: nothing on the way may take it for a failure to report and go on."""


@contextmanager
def _orderly_end():
    """SIGTERM unwinds the program like an error, so that files begun are removed."""
    if threading.current_thread() is not threading.main_thread():  # only there may a handler be set
        yield
        return

    def end(number, frame):
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _fail(message):
    print(f"{NAME}: error: {' '.join(message.split())}", file=sys.stderr)
    return 2
