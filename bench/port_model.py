"""What a processor that is not at hand would make of the CPU kernel's inner loops, by llvm-mca's model of its ports.

    python -m bench.port_model build/*/CMakeFiles/modulated_mlp_avx512.dir/csrc/cpu/modulated_mlp.cpp.o
    python -m bench.port_model OBJECT --cpu icelake-server --inputs 16

A dense layer with FiLM is a loop over blocks of outputs, and in it the loop over inputs. The inner loop is written out
as often as it runs, so that llvm-mca sees a whole block: its first products, the loop, FiLM and the stores. The table
has one row per such loop of the object: how many vectors of pixels share a weight, how many outputs are summed at a
time, the cycles that the model gives a block, and its multiply-adds as a share of two per cycle. (A loop is there once
for the first layer of a Fourier head and once for the others.) The model knows ports, latencies and the width of the
front end. It knows no cache misses and predicts every branch.

Needs llvm-mca (Debian: apt install llvm) and objdump.
"""

import argparse
import re
import subprocess
from typing import NamedTuple

LINE = re.compile(r"\s*([0-9a-f]+):\t(\S+)\s*([^<#]*)")
LEAST = 8  # multiply-adds of a loop over inputs; the loops of a tail have fewer


class Instruction(NamedTuple):
    address: int
    name: str
    operands: str

    @property
    def target(self):
        """Where a jump leads, None for other instructions."""
        return int(self.operands.split()[0], 16) if self.name.startswith("j") and self.operands[:1].isalnum() else None


def main():
    parser = argparse.ArgumentParser(description="Model the CPU kernel's inner loops on a processor not at hand.")
    parser.add_argument("object", help="a compiled csrc/cpu/modulated_mlp.cpp")
    parser.add_argument("--cpu", default="icelake-server", help="as llvm-mca names it")
    parser.add_argument("--inputs", type=int, default=16, help="of a layer")
    options = parser.parse_args()
    print(f"{options.cpu}, layers of {options.inputs} inputs\n")
    print("| vectors | outputs | instructions | cycles | of the peak |\n|---|---|---|---|---|")
    for block, inner in blocks(disassembled(options.object)):
        times = options.inputs - 1  # the first input has a multiplication of its own
        inside = [i for i in block if i in inner]
        before, after = ([i for i in block if (i.address < inner[0].address) == first and i not in inner]
                         for first in (True, False))
        code = before + inside * times + after
        cycles, outputs = modelled(code, options.cpu), sum(i.name == "vbroadcastss" for i in inner)
        share = options.inputs * multiply_adds(inner) / 2 / cycles
        print(f"| {multiply_adds(inner) // outputs} | {outputs} | {len(code)} | {cycles:.0f} | {share:.0%} |")


def disassembled(path):
    """The object's instructions."""
    text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", path], capture_output=True, text=True, check=True)
    found = map(LINE.match, text.stdout.splitlines())
    return [Instruction(int(line[1], 16), line[2], line[3].strip()) for line in found if line]


def blocks(code):
    """(instructions of a loop over blocks, those of the loop over inputs in it)."""
    place = {instruction.address: i for i, instruction in enumerate(code)}
    loops = sorted(((place[i.target], at) for at, i in enumerate(code) if i.target in place and place[i.target] < at),
                   key=lambda loop: loop[1] - loop[0])
    for start, end in loops:
        inner = code[start:end + 1]
        around = next(((s, e) for s, e in loops if s < start and end < e), None)
        if around is None or not is_product(inner):
            continue
        if sum(around[0] <= s and e <= around[1] for s, e in loops) == 2:  # itself and the loop over inputs
            yield code[around[0]:around[1] + 1], inner


def is_product(code):
    """Whether a loop multiplies and adds, and does nothing else but load and count."""
    counting = ("add", "sub", "lea", "cmp", "j", "mov", "nop", "inc", "dec", "test")
    return multiply_adds(code) >= LEAST and any(i.name == "vbroadcastss" for i in code) and all(
        i.name.startswith(("vfmadd", "vbroadcastss", "vmovaps", "vmovups", *counting)) for i in code)


def multiply_adds(code):
    return sum(i.name.startswith("vfmadd") for i in code)


def modelled(code, cpu):
    """Cycles of one pass, out of many one after the other."""
    text = "\n".join(f"{i.name} {i.operands}" for i in code if not i.name.startswith(("j", "nop", "data16", "cs")))
    passes = 50
    done = subprocess.run(["llvm-mca", f"-mcpu={cpu}", f"-iterations={passes}", "-instruction-info=0",
                           "-resource-pressure=0"], input=text, capture_output=True, text=True, check=True)
    return int(re.search(r"Total Cycles:\s+(\d+)", done.stdout)[1]) / passes


if __name__ == "__main__":
    main()
