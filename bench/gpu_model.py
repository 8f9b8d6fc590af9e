"""Predicted times of the tensor-core kernels by columns, from their machine code: python -m bench.gpu_model [FILE ...]

FILE as for bench.sass, one for each architecture or one for all. 320x180 LR pixels are rendered at x2, x3.3, x4, x8 and
x12. The model takes the instructions of every item of work (bench.sass_paths, the longest way: with the LR skip and the
slowest store) and gives each pipe of a scheduler its cycles. The time is that of the busiest of them: issue slots,
matrix instructions, arithmetic on halves, arithmetic in float32, conversions, loads and stores. The loads of
a corner are issued one corner ahead: where the warps of a scheduler have fewer instructions a corner than a load takes,
its latency is the bound.

Nothing here was measured on a GPU: clocks and rates are the published ones, and a real kernel is slower than its model.
"""

import argparse
import pathlib
import re
from typing import NamedTuple

from . import sass
from .formats import table
from .sass_paths import CORNERS, items

LR, SCALES = (180, 320), (2, 3.3, 4, 8, 12)
SCHEDULERS = 4  # of a multiprocessor
LATENCY = 600  # cycles, of a load that misses L1 (estimate)
MEASURED_SHARE_OF_TENSOR_PEAK = 0.62  # what mma.sync reaches on Hopper, as DESIGN expects; used for all


class Device(NamedTuple):
    name: str
    multiprocessors: int
    ghz: float
    half_product: float  # cycles of an m16n8k16 with float16 sums on a scheduler, at the published peak
    float_product: float  # the same with float32 sums
    half: float  # cycles of a warp's HFMA2
    float32: float  # cycles of a warp's FFMA


# Sources: NVIDIA's whitepapers (peak rates, boost clocks) and the CUDA C++ Programming Guide on throughput. The
# rate of mma.sync on sm_100, whose peak is that of another instruction, is a guess.
DEVICES = {
    "sm_80": Device("A100", 108, 1.41, 8, 8, 1, 2),
    "sm_89": Device("RTX 4090", 128, 2.52, 16, 32, 2, 1),
    "sm_90": Device("H200", 132, 1.755, 4, 4, 1, 1),
    "sm_100": Device("B200", 148, 1.85, 8, 8, 1, 1),
    "sm_120": Device("RTX 5090", 170, 2.41, 16, 32, 2, 1),
}
PRODUCTS = {"linear, 6": 11, "fourier, 8": 17}  # of a tile and corner: two a layer, one for the output
FLOAT_PRODUCTS = 3  # of these, with float32 sums in fp16 too: the last modulated layer's and the output layer's
CONVERSION, MEMORY = 2, 4  # cycles of a warp's F2FP, and of a load or store, on a scheduler's share


def tiles_of_items(scale):
    """{tiles: number of items} of the picture: 8 columns of pixels between two LR centre rows, in chunks of 12 rows."""
    height, width = (int(n * scale) for n in LR)
    counts, found = {}, {}
    for row in range(height):
        pair = ((2 * row + 1) * LR[0] - height) // (2 * height)
        counts[pair] = counts.get(pair, 0) + 1
    most = -(-height // LR[0])
    tall = most > 4
    for rows in counts.values():
        while rows > 0:
            tiles = max(2 if tall else 1, -(-min(rows, 12) // 2))
            found[tiles] = found.get(tiles, 0) + -(-width // 8)
            rows -= 12
    return tall, found


def cycles(device, half_share, counts):
    """{pipe: cycles of a scheduler} for an item's instructions. half_share: of the products, with float16 sums."""
    products = counts["HMMA"] * (half_share * device.half_product + (1 - half_share) * device.float_product)
    memory = sum(counts[name] for name in ("LDG", "LDS", "STG", "STS"))
    return {"issue": counts.total(), "tensor": products / MEASURED_SHARE_OF_TENSOR_PEAK,
            "halves": sum(counts[name] for name in ("HFMA2", "HADD2", "HMUL2")) * device.half,
            "float32": sum(counts[name] for name in ("FFMA", "FADD", "FMUL")) * device.float32,
            "conversions": counts["F2FP"] * CONVERSION, "memory": memory * MEMORY}


def predict(device, half_share, rows, tall, wanted, warps):
    """(instructions an evaluation, milliseconds, what bounds them). rows: {(tall, tiles): Counter of an item}."""
    pipes, instructions, evaluations, latency = {}, 0, 0, 0
    for tiles, number in wanted.items():
        counts = rows[tall, tiles]
        for pipe, busy in cycles(device, half_share, counts).items():
            pipes[pipe] = pipes.get(pipe, 0) + busy * number
        instructions += counts.total() * number
        evaluations += CORNERS * tiles * number
        corner = counts.total() / CORNERS
        latency += number * CORNERS * max(0, LATENCY - warps * corner) / warps
    pipes["latency"] = pipes["issue"] + latency if latency else 0
    bound = max(pipes, key=pipes.get)
    return (instructions / evaluations,
            pipes[bound] / (device.multiprocessors * SCHEDULERS * device.ghz * 1e9) * 1e3, bound)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=pathlib.Path, help="default: the installed lmf_kernels._cuda")
    options = parser.parse_args(arguments)
    lines = []
    for file in options.files or [sass.installed()]:
        records = {(record["architecture"], record["kernel"]): record for record in sass.kernels(file)}
        for architecture, device in DEVICES.items():
            for half in ("F16", "BF16"):
                for network in ("linear, 6", "fourier, 8"):
                    found = items(file, architecture, rf"<{half}, {network}")
                    rows = {("true" in name, tiles): long for name, tiles, _, long in found}
                    if not rows:
                        continue
                    registers = {("true" in name): record["registers"] for (of, name), record in records.items()
                                 if of == architecture and re.search(rf"MmaColumns<{half}, {network}", name)}
                    half_share = 1 - FLOAT_PRODUCTS / PRODUCTS[network] if half == "F16" else 0
                    cells = []
                    for scale in SCALES:
                        tall, wanted = tiles_of_items(scale)
                        warps = 65536 // (registers[tall] + -registers[tall] % 8) // 32 // SCHEDULERS
                        each, time, bound = predict(device, half_share, rows, tall, wanted, warps)
                        cells.append(f"{each:.0f}, {time:.3f} {bound}")
                    lines.append([f"{architecture} {device.name}", half, network,
                                  f"{registers[False]}, {registers[True]}", *cells])
    print(table(["GPU", "type", "head, layers", "registers", *(f"x{scale}" for scale in SCALES)], lines), end="")


if __name__ == "__main__":
    main()
