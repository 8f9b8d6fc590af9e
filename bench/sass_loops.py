"""Instructions in the loops of the tensor-core kernels.

    python -m bench.sass_loops [FILE ...] [--arch sm_90] [--kernel REGEX]

FILE as for bench.sass. A loop is a backward branch and all between it and its target; loops without matrix
instructions are left out. One pass of it costs the counts that are shown, less what its own branches jump over.
"""

import argparse
import collections
import pathlib
import re

from . import sass
from .formats import table

_LINE = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(?:@!?\w+\s+)?(([A-Z][A-Z0-9]*)[^;]*);")
_TARGET = re.compile(r"\b0x([0-9a-f]+)\s*$")
COLUMNS = ("HMMA", "F2FP", "FFMA", "FADD", "FMUL", "HADD2", "HFMA2", "MUFU", "LDG", "LDS", "STG", "IMAD", "ISETP")


def loops(lines):
    """[(address of the target, opcodes of one pass)] of a function's lines, innermost first."""
    code = [(int(m[1], 16), m[3], m[2]) for m in map(_LINE.match, lines) if m]
    found = []
    for address, opcode, text in code:
        target = _TARGET.search(text.strip()) if opcode == "BRA" else None
        if target and int(target[1], 16) < address:
            body = collections.Counter(name for at, name, _ in code if int(target[1], 16) <= at <= address)
            if body["HMMA"]:
                found.append((int(target[1], 16), body))
    return sorted(found, key=lambda loop: loop[1].total())


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Count the instructions in tensor-core kernels' loops.")
    parser.add_argument("files", nargs="*", type=pathlib.Path, help="default: the installed lmf_kernels._cuda")
    parser.add_argument("--arch", default="sm_90", help="architecture  [default: sm_90]")
    parser.add_argument("--kernel", default="MmaColumns",
                        help="regular expression for kernel names  [default: MmaColumns]")
    parser.add_argument("--most", type=int, default=10, help="loops of a kernel  [default: 10]")
    options = parser.parse_args(arguments)
    rows = []
    for file in options.files or [sass.installed()]:
        functions = sass.functions(sass.cuobjdump("-sass", file))
        names = sass.readable([symbol for _, symbol, _ in functions])
        for name, (architecture, _, lines) in zip(names, functions):
            if architecture == options.arch and re.search(options.kernel, name):
                rows += [[name, hex(start), *(str(body[c]) for c in COLUMNS), str(body.total())]
                         for start, body in loops(lines)[:options.most]]
    print(table(["kernel", "loop at", *COLUMNS, "all"], rows), end="")


if __name__ == "__main__":
    main()
