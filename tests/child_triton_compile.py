"""Compiles the Triton kernels ahead of time, without a GPU: prints one JSON line a kernel.

    python child_triton_compile.py ARCHITECTURE shipped|all|dense|all-dense

ARCHITECTURE: sm_90, gfx942, .... "shipped": linear and Fourier, each element type, in its tile for large scales;
the backward of both in float32. "all": in all its tiles, and points, no ensemble, int64 positions, other widths and
depths, forward and backward. These are of the modulated family; "dense": LIIF in float16 and DIIF in bfloat16, and a
narrow network of each in float32; "all-dense": LIIF, LTE, DIIF and DLTE in each type, and other variants.
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
from contextlib import ExitStack
from unittest.mock import patch

import torch
import triton
from offline_triton import compile_for, target_of

from lmf_kernels.backends import RenderCall
from lmf_kernels.backends.triton import (arguments, backend, c2f_mlp, configurations, dense_launch, modulated_backward,
                                         modulated_mlp as face)
from lmf_kernels.ops import RenderSpec
from lmf_kernels.families import C2F_MLP, MODULATED_MLP, PLAIN_MLP, C2FSpec

TOOLS = pathlib.Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
LINEAR, FOURIER = RenderSpec("linear", 0, (16,) * 6), RenderSpec("fourier", 16, (16,) * 8)
LIIF, LTE = RenderSpec("linear", 0, (256,) * 4), RenderSpec("fourier", 256, (256,) * 3)
DIIF = C2FSpec("linear", 0, (256,) * 2, (256,) * 2)
DLTE = C2FSpec("fourier", 256, (256,) * 2, (256,) * 2, limit_cell=False)


BRIEFLY = {("linear", "bfloat16"): configurations.COLUMNS, ("fourier", "float16"): configurations.COLUMNS}


def make_call(spec, element, *, points=False, skip=True, epilogue="unit", stores="float32", family=MODULATED_MLP):
    rows = family.map_of(spec).size(4)
    fields = torch.empty(1, rows, rows, family.field_channels(spec), dtype=getattr(torch, element))
    queries = {"coord": torch.empty(1, 16, 2), "cell": torch.empty(1, 16, 2)} if points else {}
    return RenderCall(
        family, spec, fields, fields.new_empty(family.weight_count(spec)),
        skip=fields.new_empty(1, 3, 4, 4) if skip else None, size=(8, 8), window=(0, 0, 8, 8), lr=(0, 0, 4, 4),
        epilogue=epilogue, dtype=getattr(torch, stores), **queries)


def forward(name, call, configuration):
    """(name, element, what launches the kernel)."""
    out, kernel = torch.empty(call.output_shape(), dtype=call.dtype), backend.kernels[call.family.name]
    return name, call.fields.dtype, lambda: kernel.launch(call, out, configuration)


def backward(name, call):
    """The same of the gradients of all that the call has."""
    wanted = [name for name in ("fields", "weights", "skip") if getattr(call, name) is not None]
    grad = torch.empty(call.output_shape())
    return f"backward {name}", call.fields.dtype, lambda: modulated_backward.gradients(call, grad, wanted)


def sorting():
    """The kernel that says which cells the queries read."""
    call = make_call(LINEAR, "float32", points=True)
    return "contributing pixels", call.fields.dtype, lambda: modulated_backward.sort_by_cell(call, call.coord)


def wide(case):
    """The case with int64 positions."""
    name, element, launch = case

    def with_large_numbers():
        with ExitStack() as patched:
            for module in (arguments, modulated_backward, *backend.kernels.values()):
                patched.enter_context(patch.object(module, "INT32", 0))
            launch()

    return name, element, with_large_numbers


def cases(architecture, everything):
    """The cases of an architecture: everything; or forward of each head and type, backward of each head."""
    columns = configurations.COLUMNS if architecture.startswith("sm_") else None
    for element, ranges in configurations.TABLE[configurations.relative(architecture)].items():
        last = ranges[-1].configuration
        for configuration in sorted({r.configuration for r in ranges}) if everything else [last]:
            for spec, stores in ((LINEAR, element), (FOURIER, "uint8")):
                # Of the kernels in halves, one head per pixel and one by columns.
                if everything or columns is None or BRIEFLY.get((spec.head, element), last) == last:
                    yield forward(f"{spec.head} {element}", make_call(spec, element, stores=stores), configuration)
        if columns and element != "float32":
            yield from by_columns(element, everything)
        if everything or element == "float32":  # backward computes in float32 whatever it reads
            for spec in (LINEAR, FOURIER):
                yield backward(f"points {spec.head} {element}", make_call(spec, element, points=True, epilogue="none"))
        if everything:
            yield from variants(element, last, architecture)
    yield sorting()


def by_columns(element, everything):
    """The kernel by columns: one head, or both, with different numbers of tiles and other options."""
    for spec in (LINEAR, FOURIER):
        call = make_call(spec, element, stores="uint8")
        if everything:
            for scale in (1, 3, 12):
                yield forward(f"columns x{scale} {spec.head} {element}", at_scale(call, scale), configurations.COLUMNS)
            shallow = make_call(spec._replace(widths=(16,) * 2), element, skip=False, epilogue="none", stores=element)
            yield forward(f"columns 2 layers {spec.head} {element}", shallow, configurations.COLUMNS)
        elif (spec.head, element) in BRIEFLY:
            yield forward(f"columns {spec.head} {element}", at_scale(call, 12), configurations.COLUMNS)


def at_scale(call, scale):
    """The call with a picture so many times as large."""
    size = tuple(n * scale for n in call.lr[2:])
    return call._replace(size=size, window=(0, 0, *size))


def variants(element, configuration, architecture):
    """Other modes, widths and depths."""
    points = make_call(FOURIER, element, points=True, epilogue="none")
    alone = make_call(LINEAR._replace(ensemble=False), element, skip=False)
    yield forward(f"points {element}", points, configuration)
    yield wide(forward(f"int64 {element}", make_call(LINEAR, element), configuration))
    yield forward(f"alone {element}", alone, configuration)
    yield wide(backward(f"int64 {element}", make_call(LINEAR, element)))
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


def dense_cases(everything):
    """Networks of the families with dense layers, which have the same configuration on all architectures."""
    def plain(name, spec, element, flat=False, **options):
        call = make_call(spec, element, family=PLAIN_MLP, **options)
        return forward(f"{name} {element}", call, dense_launch.configuration(call, flat))

    def sliced(name, spec, element, **options):
        call = make_call(spec, element, family=C2F_MLP, **options)
        return forward(f"{name} {element}", call, c2f_mlp.configuration_of(call))

    if not everything:
        yield plain("liif", LIIF, "float16", stores="uint8")
        yield sliced("diif", DIIF, "bfloat16", skip=False)
        yield plain("narrow lte", LTE._replace(in_dim=32, widths=(32,)), "float32", points=True, epilogue="none")
        yield sliced("narrow dlte", DLTE._replace(in_dim=32, coarse=(32,), fine=(32,)), "float32")
        return
    for element in ("float32", "float16", "bfloat16"):
        if element != "float32":
            yield plain("liif", LIIF, element)
            yield plain("flat lte", LTE, element, flat=True)
            yield plain("points lte", LTE, element, points=True, epilogue="none")
            yield plain("plain 128", RenderSpec("linear", 0, (100, 7)), element, skip=False)
            yield sliced("diif", DIIF, element)
            yield sliced("dlte", DLTE, element)
            yield wide(sliced("diif alone, int64", DIIF._replace(slice_ensemble=False), element, skip=False))
        yield plain("plain 64", RenderSpec("linear", 0, (64, 64)), element)
        yield wide(plain("alone, int64", RenderSpec("fourier", 20, (16,), False), element))
        yield sliced("narrow diif", C2FSpec("linear", 0, (16,), (9,), "constant"), element)
        yield sliced("sliced 64", C2FSpec("linear", 0, (64, 64), (64, 64)), element)


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
    compiled = compile_for(target_of(architecture))
    chosen = dense_cases(which == "all-dense") if "dense" in which else cases(architecture, which == "all")
    for name, element, launch in chosen:
        launch()
        kernel = compiled[-1]
        report = amd_report(kernel) if architecture.startswith("gfx") else nvidia_report(kernel)
        print(json.dumps({"name": name, "element": str(element), "warps": kernel.metadata.num_warps, **report}),
              flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
