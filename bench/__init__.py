"""Benchmarks: `pytest bench` on a CPU (`bench.cpu`), bench/device.sh on a GPU (`bench.device`), and what both share."""

import pathlib
import sys

# `python -m bench.x` has put the repository root first on sys.path, where the source folder lmf_kernels hides the
# installed package with its compiled modules. The root goes last.
_ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:] = [folder for folder in sys.path if pathlib.Path(folder).resolve() != _ROOT] + [str(_ROOT)]
