"""Whether this process is the program `lmf-kernels`: its --help and --version need no torch."""

import os
import sys

NAME = "lmf-kernels"


def is_starting():
    """Whether the process was started as `lmf-kernels` or as `python -m lmf_kernels`."""
    first = sys.argv[0] if sys.argv else ""
    if first == "-m":  # Python is importing the package to find its __main__
        return "lmf_kernels" in sys.orig_argv
    return os.path.splitext(os.path.basename(first))[0] == NAME
