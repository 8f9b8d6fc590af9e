"""The emulator runs every kernel as a GPU would, in several blocks, and its backend exists only in a `with` block."""

import itertools
import struct

import emulator
import lmf_kernels as lmf
import pytest
import torch
from every_backend import limits, needs_compiler
from lmf_kernels.backends import RenderCall
from lmf_kernels.backends.cuda.modulated_mlp import refuse_reach
from lmf_kernels.ops import RenderSpec, modulated_mlp
from lmf_kernels.families import MODULATED_MLP
from random_renders import draw

pytestmark = needs_compiler
LINEAR, FOURIER = RenderSpec("linear", 0, (16,) * 2), RenderSpec("fourier", 16, (16,) * 2)


def test_every_kernel_has_its_calls():
    """float32, and the tensor-core kernels of both half types; each with both heads (csrc/cuda/modulated_plan.h)."""
    ran = set()
    usual = {"linear": 6, "fourier": 8}
    specs = [spec._replace(widths=(16,) * depth) for spec in (LINEAR, FOURIER) for depth in (2, usual[spec.head])]
    with emulator.registered() as backend:
        for spec in specs:
            for dtype in (torch.float32, torch.float16, torch.bfloat16):
                for scale in (0.8, 3, 5):
                    call = draw(1, points=False, spec=spec, lr_size=(3, 4), scales=(scale,), skip=False)
                    modulated_mlp(call.fields.to(dtype), call.weights, spec, call.size, backend="emulator")
                    ran.add(backend.path)
    halves, columns = ("float16", "bfloat16"), set()
    for head in usual:
        columns |= {*itertools.product(["mma_columns"], halves, [head], (0, usual[head]), (False, True))}
    others = {*itertools.product(["float32", "float32_columns"], ["float32"], usual),
              *itertools.product(["mma_per_pixel"], halves, usual)}
    assert ran == columns | {(*path, 0, False) for path in others}


def test_the_backend_is_there_only_while_registered():
    call = draw(2, points=False, spec=LINEAR, **limits("emulator"))
    before = [row["name"] for row in lmf.backends()]
    with emulator.registered():
        assert [row["name"] for row in lmf.backends()] == [*before, "emulator"]
        with lmf.use_backend("emulator"):
            inside = call.run("auto")
        assert torch.equal(call.run("emulator"), inside)
        assert not torch.equal(call.run("auto"), inside), "auto must go on choosing among the real backends"
    assert [row["name"] for row in lmf.backends()] == before
    with pytest.raises(lmf.InputError, match="unknown backend 'emulator'"):
        call.run("emulator")


def test_it_refuses_what_the_cuda_backend_refuses():
    with emulator.registered():
        for spec, reason in ((RenderSpec("linear", 0, (24,)), "hidden width is 24"),
                             (RenderSpec("fourier", 30, (16,)), "Fourier head is 30 wide"),
                             (RenderSpec("linear", 0, (16,) * 33), "33 modulated layers")):
            with pytest.raises(lmf.BackendError, match=reason):
                draw(3, points=False, spec=spec, lr_size=(2, 2)).run("emulator")


def test_a_kernel_that_reads_too_far_is_stopped():
    """The fields hold fewer cells than the call says: the range checks detect it, and Python raises their message."""
    call = draw(4, points=False, spec=LINEAR, lr_size=(4, 5), scales=(2,), skip=False)
    fields = call.fields.half()


    with emulator.registered() as kernel:
        pack, (_, members) = kernel.packer.modulated_mlp, kernel.emulated.structs["RenderCall"]
        offset = next(offset for name, _, offset in members if name == "fields.rows")

        def shorter(*args):
            """Remove one LR row from the fields that the call describes, but not from what the kernel reads."""
            packed = bytearray(pack(*args))
            struct.pack_into("=q", packed, offset, struct.unpack_from("=q", packed, offset)[0] - 1)
            return bytes(packed)

        kernel.packer.modulated_mlp = shorter
        with pytest.raises(RuntimeError, match="global load of .* lies outside the elements of fields"):
            modulated_mlp(fields, call.weights, LINEAR, call.size, backend="emulator")


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32], ids=str)
@pytest.mark.parametrize("ensemble", [True, False])
def test_fields_that_span_more_than_64_gib(dtype, ensemble, tmp_path, seed):
    """Two pictures that far apart in memory: 32-bit offsets of records would read the first for the second."""
    spec = LINEAR._replace(ensemble=ensemble)
    call = draw(seed, points=False, spec=spec, lr_size=(2, 3), scales=(4,), skip=False)
    fields = torch.randn(2, 2, 3, call.fields.shape[3]).to(dtype)
    apart = 2 ** 36 // fields.element_size()
    with open(tmp_path / "fields", "wb") as file:
        file.truncate((apart + fields[0].numel()) * fields.element_size())  # it has a hole of that size
    memory = torch.from_file(str(tmp_path / "fields"), shared=True, size=apart + fields[0].numel(), dtype=dtype)
    far = memory.as_strided(fields.shape, (apart, *fields.stride()[1:]))
    far.copy_(fields)
    call, near = call._replace(fields=far), call._replace(fields=fields)
    with emulator.registered() as backend:
        expected = near.run("emulator")
        if dtype == torch.float16 and ensemble:
            with pytest.raises(lmf.BackendError, match="the fields span 64.0 GiB of memory, the kernel addresses 64: "):
                call.run("emulator")
            assert torch.equal(call._replace(fields=far[1:]).run("emulator"), expected[1:])
            backend.can_run = lambda render: None
            assert torch.equal(call.run("emulator")[1], expected[0]), "nothing is wrong with what is refused"
        else:
            assert torch.equal(call.run("emulator"), expected)


def test_a_batch_of_too_many_cells_is_refused():
    record = torch.zeros(MODULATED_MLP.field_channels(LINEAR), dtype=torch.float16)
    fields = record.expand(2 ** 20, 64, 64, -1)  # one record for all
    render = RenderCall(MODULATED_MLP, LINEAR, fields, torch.zeros(1), size=(512, 512), window=(0, 0, 512, 512),
                        lr=(0, 0, 64, 64))
    assert "more than 4294901760 LR cells: render fewer pictures" in refuse_reach(render)
    assert refuse_reach(render._replace(fields=fields[:2 ** 19])) is None
