"""Packages that only some calls need, imported when such a call comes."""

import importlib

from .errors import InputError


def required(module, package, what, install=None):
    """The imported module of an optional package.

    Args:
        module: its import name, such as "png".
        package: its name on a package index, such as "pypng".
        what: what needs it; begins the message.
        install: what pip is given; default: `package`.

    Raises:
        InputError: it is not installed, or cannot be imported; the message has the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == module
        state = "is not installed" if missing else f"cannot be imported ({error})"
        raise InputError(f"{what} needs the package {package}, which {state}; install it with "
                         f"`pip install {install or package}`.") from None
