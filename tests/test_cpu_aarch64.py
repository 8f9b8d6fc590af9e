"""The CPU kernel for aarch64 (NEON), from the same source, on golden cases. It is cross-compiled and run by qemu."""

import shutil
import struct
import subprocess

import golden_cases
import pytest
import torch
from half_errors import DTYPES, check_error

import lmf_kernels as lmf
from lmf_kernels.backends.call import RenderCall
from lmf_kernels.backends.cpu import native
from lmf_kernels.families import MODULATED_MLP
from lmf_kernels.ops import modulated_mlp, modulated_mlp_points
from networks import VARIED
from random_renders import draw

ROOT = golden_cases.FOLDER.parent.parent
COMPILER, EMULATOR = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64")
OPTIONS = ["-O3", "-std=c++17", "-ffp-contract=off", "-fno-math-errno", "-DLMF_ISA=baseline", "-static", "-Wall",
           "-Werror", "-Wno-unknown-pragmas"]

pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(not COMPILER, reason="there is no aarch64-linux-gnu-g++"),
              pytest.mark.skipif(not EMULATOR, reason="there is no qemu-aarch64")]


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    built = tmp_path_factory.mktemp("aarch64") / "render"
    subprocess.run([COMPILER, *OPTIONS, ROOT / "csrc/cpu/modulated_mlp.cpp", ROOT / "tests/aarch64/render.cpp", "-o",
                    built], check=True)
    return built


def emulated(call, program, folder):
    """The call's output, computed by the aarch64 program."""
    out = torch.full(call.output_shape(), torch.nan).to(call.dtype)
    packed = native.packer.modulated_mlp(call, out.stride())
    tensors = [None if t is None else t.contiguous()
               for t in (call.fields, call.skip, call.weights, call.coord, None if call.coord is None else call.cell)]
    data = [b"" if t is None else bytes(t.view(-1).view(torch.uint8).numpy()) for t in tensors]
    (folder / "call").write_bytes(struct.pack("<6q", *map(len, data), out.numel() * out.itemsize) + packed
                                  + b"".join(data))
    subprocess.run([EMULATOR, program, folder / "call", folder / "out"], check=True)
    return torch.frombuffer(bytearray((folder / "out").read_bytes()), dtype=call.dtype).view(call.output_shape())


def grid(spec, fields, weights, skip, size, **options):
    lr = tuple(fields.shape[1:3])
    return RenderCall(MODULATED_MLP, spec, fields, weights, skip=skip, size=size, window=(0, 0, *size), lr=(0, 0, *lr),
                      **options)


def model_call(name, dtype, size):
    """A render call of a golden checkpoint on random pixels."""
    model = lmf.load_model(golden_cases.path(name)).requires_grad_(False)
    inp = torch.rand(1, 3, 7, 19) * 2 - 1
    fields = model.fields(model.encode(inp), model.rel_cell_of((7, 19), size)).to(dtype)
    return grid(model.render_spec, fields, model.render_weights().to(dtype),
                inp.to(dtype) if name == "lmlte" else None, size)


def reference(call, dtype=None):
    """The call's output on the reference, in its own type or with all tensors in another one."""
    tensors = [t if t is None or dtype is None else t.to(dtype) for t in (call.fields, call.weights, call.skip)]
    fields, weights, skip = tensors
    if call.coord is not None:
        return modulated_mlp_points(fields, weights, call.spec, call.coord, call.cell, skip=skip, backend="reference")
    return modulated_mlp(fields, weights, call.spec, call.size, skip=skip, backend="reference",
                         dtype=dtype or torch.float32)


@pytest.mark.parametrize("name", ["lmliif", "lmlte"])
@pytest.mark.parametrize("size", [(7, 19), (14, 38), (26, 70), (84, 228)], ids=str)
def test_golden_networks(name, size, program, tmp_path, seed):
    torch.manual_seed(seed)
    call = model_call(name, torch.float32, size)
    truth = reference(call, torch.float64)
    assert (emulated(call, program, tmp_path) - truth).abs().max() <= 1e-5 * truth.abs().max()


@pytest.mark.parametrize("name", ["lmliif", "lmlte"])
@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_half_fields_and_stores(name, dtype, program, tmp_path, seed):
    torch.manual_seed(seed)
    call = model_call(name, dtype, (20, 57))
    got = emulated(call, program, tmp_path)
    check_error(got, reference(call, torch.float64), reference(call))
    assert torch.equal(emulated(call._replace(dtype=dtype), program, tmp_path), got.to(dtype))


@pytest.mark.parametrize("draw_number", range(8))
def test_other_networks(draw_number, program, tmp_path, seed):
    drawn = draw(seed, spec=VARIED[draw_number % len(VARIED)], lr_size=(3, 18))
    if drawn.coord is None:
        call = grid(drawn.spec, drawn.fields, drawn.weights, drawn.skip, drawn.size)
    else:
        call = RenderCall(MODULATED_MLP, drawn.spec, drawn.fields, drawn.weights, drawn.skip, drawn.coord, drawn.cell)
    truth = reference(call, torch.float64)
    assert (emulated(call, program, tmp_path) - truth).abs().max() <= 1e-5 * truth.abs().max()
