"""Compiles the Triton kernels ahead of time, without a GPU: prints one JSON line a kernel.

    python child_triton_compile.py ARCHITECTURE shipped|all

ARCHITECTURE: sm_90, gfx942, .... "shipped": linear and Fourier, each element type, in its tile for large scales;
the backward of both in float32. "all": in all its tiles, and points, no ensemble, int64 positions, other widths and
depths, forward and backward.
For NVIDIA the numbers come from Triton's own cuobjdump.
"""

import collections
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from typing import NamedTuple

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from lmf_kernels.backends import RenderCall
from lmf_kernels.backends.triton import configurations, modulated_backward, modulated_mlp as face
from lmf_kernels.backends.triton.arguments import COMPILED_WITH, network
from lmf_kernels.backends.triton.modulated_backward_kernel import modulated_backward_kernel
from lmf_kernels.backends.triton.modulated_kernel import modulated_mlp_kernel
from lmf_kernels.backends.triton.readers import point_cells_kernel
from lmf_kernels.ops import RenderSpec
from lmf_kernels.families import MODULATED_MLP

TYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
TOOLS = pathlib.Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
LINEAR, FOURIER = RenderSpec("linear", 0, (16,) * 6), RenderSpec("fourier", 16, (16,) * 8)


def make_call(spec, element, *, points=False, skip=True, epilogue="unit"):
    fields = torch.empty(1, 4, 4, MODULATED_MLP.field_channels(spec), dtype=getattr(torch, element))
    queries = {"coord": torch.empty(1, 16, 2), "cell": torch.empty(1, 16, 2)} if points else {}
    return RenderCall(
        MODULATED_MLP, spec, fields, fields.new_empty(MODULATED_MLP.weight_count(spec)),
        skip=fields.new_empty(1, 3, 4, 4) if skip else None, size=(8, 8), window=(0, 0, 8, 8), lr=(0, 0, 4, 4),
        epilogue=epilogue, **queries)


class Case(NamedTuple):
    """A kernel to compile, as a launch would."""

    name: str
    kernel: triton.JITFunction
    call: RenderCall
    values: dict  # of its compile-time constants, and None for what it is not given
    pointers: dict  # the types of the others, where they are not the fields'
    warps: int

    def facts(self):
        sizes = {key.lower(): self.values[key] for key in ("TILE_ROWS", "TILE_COLS", "GROUP", "READERS")
                 if key in self.values}
        return {"name": self.name, "element": str(self.call.fields.dtype), "warps": self.warps, **sizes}


def forward(name, call, configuration, wide=False):
    tile_rows, tile_cols = face.tile(configuration, 8)
    absent = [name for name in ("skip", "coord", "cell") if getattr(call, name) is None]
    values = {**face.constants(call, wide), "TILE_ROWS": tile_rows, "TILE_COLS": tile_cols, **dict.fromkeys(absent)}
    return Case(name, modulated_mlp_kernel, call, values,
                {"out": "fp32", "coord": "fp32", "cell": "fp32"}, configuration.warps)


def backward(name, call, wide=False):
    cut = modulated_backward.cut_of(call)
    absent = ["order", "starts", "readers", "coord", "cell"] if call.on_grid else []
    values = {**network(call), "WIDE": wide, "GROUP": cut.group, "READERS": cut.each, **dict.fromkeys(absent)}
    targets = "fp64" if cut.rounds > modulated_backward.ROUNDS else "fp32"
    pointers = {**dict.fromkeys(("grad", "coord", "cell"), "fp32"), **dict.fromkeys(("to_fields", "to_skip"), targets),
                "to_weights": "fp64", **dict.fromkeys(("order", "starts", "readers"), "i64")}
    return Case(f"backward {name}", modulated_backward_kernel, call, values, pointers, cut.warps)


def sorting():
    """The kernel that says which cells the queries read."""
    return Case("readers", point_cells_kernel, make_call(LINEAR, "float32", points=True),
                {"SKIP": True, "ENSEMBLE": True, "BLOCK": 256}, {"coord": "fp32", "cells": "i64"}, 4)


def cases(architecture, everything):
    """The cases of an architecture: everything; or forward of each head and type, backward of each head."""
    for element, ranges in configurations.TABLE[configurations.relative(architecture)].items():
        last = ranges[-1].configuration
        for configuration in sorted({r.configuration for r in ranges}) if everything else [last]:
            for spec in (LINEAR, FOURIER):
                yield forward(f"{spec.head} {element}", make_call(spec, element), configuration)
        if everything or element == "float32":  # backward computes in float32 whatever it reads
            for spec in (LINEAR, FOURIER):
                yield backward(f"points {spec.head} {element}", make_call(spec, element, points=True, epilogue="none"))
        if everything:
            yield from variants(element, last, architecture)
    yield sorting()


def variants(element, configuration, architecture):
    """Other modes, widths and depths."""
    points = make_call(FOURIER, element, points=True, epilogue="none")
    alone = make_call(LINEAR._replace(ensemble=False), element, skip=False)
    yield forward(f"points {element}", points, configuration)
    yield forward(f"int64 {element}", make_call(LINEAR, element), configuration, True)
    yield forward(f"alone {element}", alone, configuration)
    yield backward(f"int64 {element}", make_call(LINEAR, element), True)
    yield backward(f"alone {element}", alone)
    for spec in (LINEAR, FOURIER):
        yield backward(f"x60 {spec.head} {element}", make_call(spec, element)._replace(size=(240, 240)))
    for head, width, in_dim, depth in (("linear", 24, 0, 4), ("linear", 64, 0, 4), ("fourier", 32, 30, 4),
                                       ("linear", 16, 0, 12)):
        call = make_call(RenderSpec(head, in_dim, (width,) * depth), element)
        name = f"{head} {depth} x {width} {element}"
        yield forward(name, call, face.configuration_of(call, architecture))
        if width <= modulated_backward.WIDEST:
            yield backward(name, call)


def compile_kernel(target, case):
    """Triton's compiled kernel, of the constants and options that a launch would pass."""
    element = TYPES[str(case.call.fields.dtype).removeprefix("torch.")]
    signature, hints = {}, {}
    for place, name in enumerate(case.kernel.arg_names):
        if name in case.values:
            signature[name] = "constexpr"
        elif name in ("fields", "skip", "weights", *case.pointers):
            signature[name] = "*" + case.pointers.get(name, element)
            hints[(place,)] = [["tt.divisibility", 16]]
        elif name in ("cell_y", "cell_x"):
            signature[name] = "fp32"
        else:
            signature[name] = "i32"
            if name.startswith("fields"):  # the others are not specialised, or 1 as often as a multiple of 16
                hints[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(fn=case.kernel, signature=signature, constexprs=case.values, attrs=hints)
    return triton.compile(source, target=target, options={"num_warps": case.warps, **COMPILED_WITH})


def nvidia_report(kernel):
    """{"registers", "stack", opcode: count}."""
    environment = {**os.environ, "PATH": f"{TOOLS}:{os.environ['PATH']}"}  # cuobjdump calls nvdisasm
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(kernel.asm["cubin"])
        file.flush()
        usage, sass = (subprocess.run([TOOLS / "cuobjdump", option, file.name], env=environment, text=True,
                                      capture_output=True, check=True).stdout for option in ("-res-usage", "-sass"))
    registers, stack = map(int, re.search(r"REG:(\d+) STACK:(\d+)", usage).groups())
    opcodes = re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9]*)", sass)
    return {"registers": registers, "stack": stack, **collections.Counter(opcodes)}


def amd_report(kernel):
    """{"registers", "stack", mfma instruction: count}."""
    text = kernel.asm["amdgcn"]
    registers, stack = (int(re.search(rf"\.{key}:\s*(\d+)", text).group(1))
                        for key in ("vgpr_count", "private_segment_fixed_size"))
    return {"registers": registers, "stack": stack, **collections.Counter(re.findall(r"v_mfma_\w+", text))}


def main(architecture, which):
    amd = architecture.startswith("gfx")
    target = GPUTarget("hip", architecture, 64) if amd else GPUTarget("cuda", int(architecture[3:]), 32)
    for case in cases(architecture, which == "all"):
        kernel = compile_kernel(target, case)
        report = amd_report(kernel) if amd else nvidia_report(kernel)
        print(json.dumps({**case.facts(), **report}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
