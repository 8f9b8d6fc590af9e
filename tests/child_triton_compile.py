"""Compiles the Triton kernels ahead of time, without a GPU: prints one JSON line a kernel.

    python child_triton_compile.py ARCHITECTURE shipped|all

ARCHITECTURE: sm_90, gfx942, .... "shipped": linear and Fourier, each element type, in its tile for large scales.
"all": in all its tiles, and points, no ensemble, int64 positions, other widths and depths.
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

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from lmf_kernels.backends import RenderCall
from lmf_kernels.backends.triton import configurations, modulated_mlp as face
from lmf_kernels.backends.triton.modulated_kernel import SIZES, modulated_mlp_kernel
from lmf_kernels.ops import RenderSpec
from lmf_kernels.spec import field_channels, weight_count

TYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
TOOLS = pathlib.Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
LINEAR, FOURIER = RenderSpec("linear", 0, (16,) * 6), RenderSpec("fourier", 16, (16,) * 8)


def make_call(spec, element, *, points=False, skip=True, finish="unit"):
    fields = torch.empty(1, 4, 4, field_channels("modulated_mlp", spec), dtype=getattr(torch, element))
    queries = {"coord": torch.empty(1, 5, 2), "cell": torch.empty(1, 5, 2)} if points else {}
    return RenderCall(
        "modulated_mlp", spec, fields, fields.new_empty(weight_count("modulated_mlp", spec)),
        skip=fields.new_empty(1, 3, 4, 4) if skip else None, size=(8, 8), window=(0, 0, 8, 8), lr=(0, 0, 4, 4),
        finish=finish, **queries)


def cases(architecture, everything):
    """(name, call, configuration, int64 positions) of each kernel to compile."""
    for element, ranges in configurations.TABLE[configurations.relative(architecture)].items():
        last = ranges[-1].configuration
        for configuration in sorted({r.configuration for r in ranges}) if everything else [last]:
            for spec in (LINEAR, FOURIER):
                yield f"{spec.head} {element}", make_call(spec, element), configuration, False
        if everything:
            yield f"points {element}", make_call(FOURIER, element, points=True, finish="none"), last, False
            yield f"int64 {element}", make_call(LINEAR, element), last, True
            alone = LINEAR._replace(ensemble=False)
            yield f"alone {element}", make_call(alone, element, skip=False), last, False
            for head, width, in_dim, depth in (("linear", 24, 0, 4), ("linear", 64, 0, 4), ("fourier", 32, 30, 4),
                                               ("linear", 16, 0, 12)):
                wide = make_call(RenderSpec(head, in_dim, (width,) * depth), element)
                yield f"{head} {depth} x {width} {element}", wide, face.configuration_of(wide, architecture), False


def compile_kernel(target, call, configuration, wide):
    """Triton's compiled kernel, of the constants and options that a launch would pass."""
    tile_rows, tile_cols = face.tile(configuration, 8)
    values = {**face.constants(call, wide), "TILE_ROWS": tile_rows, "TILE_COLS": tile_cols}
    pointers = {"out": "fp32", "coord": "fp32", "cell": "fp32"}
    signature, hints = {}, {}
    for place, name in enumerate(modulated_mlp_kernel.arg_names):
        tensor = getattr(call, name, None)
        if name in values or name in ("skip", "coord", "cell") and tensor is None:
            signature[name] = "constexpr"
            values.setdefault(name, None)
        elif name in ("fields", "skip", "weights", *pointers):
            signature[name] = "*" + (pointers.get(name) or TYPES[str(call.fields.dtype).removeprefix("torch.")])
            hints[(place,)] = [["tt.divisibility", 16]]
        elif name in ("cell_y", "cell_x"):
            signature[name] = "fp32"
        else:
            signature[name] = "i32"
            if name not in SIZES and name.startswith("fields"):
                hints[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(fn=modulated_mlp_kernel, signature=signature, constexprs=values, attrs=hints)
    return triton.compile(source, target=target, options={"num_warps": configuration.warps, **face.COMPILED_WITH})


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
    for name, call, configuration, wide in cases(architecture, which == "all"):
        kernel = compile_kernel(target, call, configuration, wide)
        report = amd_report(kernel) if amd else nvidia_report(kernel)
        print(json.dumps({"name": name, "element": str(call.fields.dtype), **configuration._asdict(), **report}),
              flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
