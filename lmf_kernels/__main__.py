"""`python -m lmf_kernels` is the program `lmf-kernels`."""

import sys

from .cli import main

sys.exit(main())
