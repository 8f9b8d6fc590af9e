"""Instructions of the modulated family's Triton kernels, per pixel and by columns: python -m bench.triton_counts

Compiles both for GPUs that need not be here and prints what an evaluation (16 pixels at one corner) of LM-LIIF and
LM-LTE takes at x2, x4 and x12: instructions, barriers, stores to shared memory, and registers spilled to local
memory. An instruction in a loop counts as often as the loop runs, one outside is shared by the evaluations of its
program; all branches count. Fields, LR skip and output have the same half type.
"""

import argparse
import collections
import sys
import tempfile

import torch
from lmf_kernels.backends import RenderCall
from lmf_kernels.backends.triton import configurations, modulated_columns, modulated_mlp
from lmf_kernels.families import MODULATED_MLP, RenderSpec

from . import config, sass
from .formats import table
from .sass_paths import Flow

ARCHITECTURES, SCALES, LR = ("sm_80", "sm_90", "sm_100", "sm_120"), (2, 4, 12), (180, 320)
SPECS = {"linear, 6": RenderSpec("linear", 0, (16,) * 6), "fourier, 8": RenderSpec("fourier", 16, (16,) * 8)}
CORNERS, PRODUCTS = 4, ("HMMA", "HGMMA", "UTCHMMA")


def call_of(spec, element, scale):
    fields = torch.empty(1, *LR, MODULATED_MLP.field_channels(spec), dtype=element)
    size = tuple(round(n * scale) for n in LR)
    return RenderCall(MODULATED_MLP, spec, fields, fields.new_empty(MODULATED_MLP.weight_count(spec)),
                      skip=fields.new_empty(1, 3, *LR), size=size, window=(0, 0, *size), lr=(0, 0, *LR), dtype=element)


def executed(lines, times):
    """What a warp executes, as a Counter. times: how often the loops with matrix instructions run for each pass of the
    one around them, the innermost first."""
    flow = Flow(lines)
    loops = [body for _, body in flow.loops()
             if any(opcode in flow.code[block] for block in body for opcode in PRODUCTS)]
    if len(loops) != len(times):
        raise SystemExit(f"the kernel has {len(loops)} loops with matrix instructions, not {len(times)}")
    total = collections.Counter()
    for block, opcodes in flow.code.items():
        often = 1
        for body, number in zip(loops, times):
            often *= number if block in body else 1
        for opcode, count in opcodes.items():
            total[opcode] += often * count
    return total


def count(kernel, times, evaluations):
    """(registers, Counter of what a warp executes, evaluations) of a compiled Triton kernel. evaluations: of a warp."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        ((_, _, lines),) = sass.functions(sass.cuobjdump("-sass", file.name))
        registers = sass.kernels(file.name)[0]["registers"]
    return registers, executed(lines, times), evaluations


def rows_of(compiled, element, head, scale):
    """(name, registers, Counter, evaluations) of the kernel per pixel and of that by columns."""
    call = call_of(SPECS[head], element, scale)
    out = torch.empty(call.output_shape(), dtype=element)
    tile = configurations.choose(configurations.relative(compiled.architecture), "float16", scale)
    modulated_mlp.launch(call, out, tile)
    yield "per pixel", count(compiled.kernels[-1], [CORNERS], CORNERS * tile.rows * tile.cols / 16 / tile.warps)
    modulated_mlp.launch(call, out, configurations.COLUMNS)
    plan = modulated_columns.plan(call)
    at_once = modulated_columns.unrolled(plan.tiles, call.spec.head)
    chunks = -(-scale // (2 * plan.tiles))
    times = [chunks, plan.band] if at_once == CORNERS else [CORNERS // at_once, chunks, plan.band]
    yield (f"by columns, {plan.tiles} tiles",
           count(compiled.kernels[-1], times, CORNERS * plan.band * scale / 2))


class Compiled:
    """The kernels compiled for an architecture so far."""

    def __init__(self, architecture):
        sys.path.insert(0, str(config.ROOT / "tests"))
        from offline_triton import compile_for, target_of

        self.architecture, self.kernels = architecture, compile_for(target_of(architecture))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="sm_90", choices=ARCHITECTURES, help="one a process  [default: sm_90]")
    parser.add_argument("--type", default="float16", choices=("float16", "bfloat16"))
    options = parser.parse_args(arguments)
    compiled, rows = Compiled(options.arch), []
    for head in SPECS:
        for scale in SCALES:
            for name, (registers, total, evaluations) in rows_of(compiled, getattr(torch, options.type), head, scale):
                each = {opcode: number / evaluations for opcode, number in total.items()}
                spilled = total["LDL"] + total["STL"]
                rows.append([options.arch, options.type, head, f"x{scale}", name, str(registers),
                             f"{total.total() / evaluations:.0f}", *(f"{each.get(opcode, 0):.1f}" for opcode in
                                                                     ("BAR", "STS", "LDS", "LDG")), str(spilled)])
    print(table(["GPU", "type", "head, layers", "scale", "kernel", "registers", "instructions", "BAR", "STS", "LDS",
                 "LDG", "spills"], rows), end="")


if __name__ == "__main__":
    main()
