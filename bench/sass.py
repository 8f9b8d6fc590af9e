"""Counts the machine instructions of CUDA kernels: python -m bench.sass [FILE ...] [--arch sm_90] [--kernel REGEX]

FILE: a compiled module, shared library or cubin; by default the installed lmf_kernels._cuda. Prints one row a kernel
and architecture, --json everything that was counted. Needs no GPU, only cuobjdump and nvdisasm: on PATH, in the CUDA
toolkit (CUDA_HOME), or in Triton's wheel.

Counts are static: an instruction inside a loop counts once. NOP, which pads a kernel's end, is left out; a predicated
instruction counts like any other.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
from importlib import util

from .formats import table

# Tensor cores, float32, half, conversions and special functions, memory, exchange, and the last two: local memory.
COLUMNS = ("HMMA", "FFMA", "FADD", "FMUL", "HFMA2", "HMUL2", "F2FP", "MUFU", "LDG", "STG", "LDS", "STS", "SHFL", "BAR",
           "LDL", "STL")
_INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?\w+\s+)?([A-Z][A-Z0-9]*)")
_REGISTER = re.compile(r"\bR(\d+)\b")
_HEADS = ("linear", "fourier")  # csrc/common/params.h
_USAGE = re.compile(r"REG:(\d+) STACK:(\d+) SHARED:(\d+)")


def tools():
    """The first folder that has cuobjdump, None where there is none."""
    folders = [pathlib.Path(name) for name in os.environ.get("PATH", "").split(os.pathsep)]
    folders += [pathlib.Path(home) / "bin" for home in (os.environ.get("CUDA_HOME"),) if home]
    if triton := util.find_spec("triton"):
        folders.append(pathlib.Path(triton.origin).parent / "backends" / "nvidia" / "bin")
    return next((folder for folder in folders if (folder / "cuobjdump").exists()), None)


def cuobjdump(*arguments):
    """What cuobjdump prints. It calls nvdisasm, so its own folder goes first on PATH."""
    folder = tools()
    if folder is None:
        raise SystemExit("cuobjdump is not here: put the CUDA toolkit's bin folder on PATH or install triton.")
    path = os.pathsep.join((str(folder), os.environ.get("PATH", "")))
    done = subprocess.run([str(folder / "cuobjdump"), *map(str, arguments)], capture_output=True, text=True,
                          env=os.environ | {"PATH": path})
    if done.returncode:
        raise SystemExit(f"cuobjdump {' '.join(map(str, arguments))}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def architectures(file):
    """What a file holds: {"sm_90", "compute_120", ...}, machine code and PTX."""
    code = re.findall(r"\.(sm_\w+)\.cubin$", cuobjdump("--list-elf", file), re.MULTILINE)
    ptx = re.findall(r"\.sm_(\w+)\.ptx$", cuobjdump("--list-ptx", file), re.MULTILINE)
    return set(code) | {f"compute_{number}" for number in ptx}


def kernels(file):
    """One record a kernel and architecture: kernel, architecture, registers, stack and shared bytes, opcodes
    (name without its dots -> count), instructions (their sum), highest_register (by number, -1: none; it can be above
    `registers` where a kernel changes their number)."""
    records = {}
    for architecture, symbol, lines in functions(cuobjdump("-sass", file)):
        found = (_INSTRUCTION.match(line) for line in lines)
        opcodes = collections.Counter(match.group(1) for match in found if match)
        del opcodes["NOP"]
        highest = max((int(number) for line in lines for number in _REGISTER.findall(line)), default=-1)
        records[architecture, symbol] = {"architecture": architecture, "opcodes": dict(opcodes.most_common()),
                                         "instructions": opcodes.total(), "highest_register": highest}
    for architecture, symbol, lines in functions(cuobjdump("-res-usage", file)):
        usage = next(match for match in map(_USAGE.search, lines) if match)
        for key, record in records.items():
            if key == (architecture or key[0], symbol):  # of a cubin, which has but one, it is not told
                record.update(zip(("registers", "stack", "shared"), map(int, usage.groups())))
    names = readable([symbol for _, symbol in records])
    return [{"kernel": name, **record} for name, record in zip(names, records.values())]


def functions(text):
    """(architecture, symbol, its lines) of every function in what cuobjdump prints."""
    architecture, found = None, []
    for line in text.splitlines():
        if match := re.match(r"\s*(?:arch = |\.target\s+|code for )(sm_\w+)", line):
            architecture = match.group(1)
        elif match := re.match(r"\s*Function\s*:?\s*([\w$.]+)", line):
            found.append((architecture, match.group(1), []))
        elif found:
            found[-1][2].append(line)
    return found


def readable(symbols):
    """Names as C++ has them, without namespaces and parameters; as they are where c++filt is missing."""
    program = shutil.which("c++filt")
    if not program or not symbols:
        return symbols
    plain = subprocess.run([program], input="\n".join(symbols), capture_output=True, text=True, check=True).stdout
    names = []
    for name in plain.splitlines():
        name = re.sub(r"\(lmf::Head\)([01])", lambda head: _HEADS[int(head.group(1))], name.removeprefix("void "))
        name = re.sub(r"\(anonymous namespace\)::|\b(?:\w+::)+", "", name)
        names.append(name.partition("(")[0].replace("> >", ">>"))
    return names


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Count the machine instructions of CUDA kernels.")
    parser.add_argument("files", nargs="*", type=pathlib.Path, help="default: the installed lmf_kernels._cuda")
    parser.add_argument("--arch", action="append", help="only this architecture, such as sm_90; may be repeated")
    parser.add_argument("--kernel", default="", help="only kernels whose name matches this regular expression")
    parser.add_argument("--json", action="store_true", help="everything counted, and the architectures of each file")
    options = parser.parse_args(arguments)
    files = options.files or [installed()]
    rows = [{"file": file.name, **record} for file in files for record in kernels(file)
            if re.search(options.kernel, record["kernel"])
            and (not options.arch or record["architecture"] in options.arch)]
    if options.json:
        held = {str(file): sorted(architectures(file)) for file in files}
        json.dump({"architectures": held, "kernels": rows}, sys.stdout, indent=1)
        print()
        return
    rows.sort(key=lambda row: (row["kernel"], int(re.sub(r"\D", "", row["architecture"]))))
    shown = [name for name in COLUMNS if any(name in row["opcodes"] for row in rows)]
    print(table(["kernel", "architecture", "registers", "stack", *shown, "all"],
                [[row["kernel"], row["architecture"], *(str(row[key]) for key in ("registers", "stack")),
                  *(str(row["opcodes"].get(name, 0)) for name in shown), str(row["instructions"])] for row in rows]),
          end="")


def installed():
    """The file of lmf_kernels._cuda."""
    spec = util.find_spec("lmf_kernels._cuda")
    if spec is None:
        raise SystemExit("lmf_kernels._cuda is not installed here: name a file, or install with nvcc on PATH.")
    return pathlib.Path(spec.origin)


if __name__ == "__main__":
    main()
