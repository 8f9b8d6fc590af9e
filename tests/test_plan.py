"""A call that differs from an earlier one in its tensors' contents alone is looked up, not checked and packed again."""

import gc
import threading
import weakref
from types import SimpleNamespace

import emulator
import lmf_kernels as lmf
import pytest
import torch
from every_backend import ISAS, needs_compiler
from lmf_kernels.backends import RenderCall, plan
from lmf_kernels.backends.cpu import native
from lmf_kernels.backends.cuda import modulated_mlp as cuda_kernel, native as cuda_native, plain_mlp as cuda_plain
from lmf_kernels.backends.cuda import warpgroups
from lmf_kernels.families import C2F_MLP, FAMILIES, MODULATED_MLP, PLAIN_MLP
from lmf_kernels.ops import C2FSpec, RenderSpec, c2f_mlp, modulated_mlp, modulated_mlp_points, plain_mlp

SPEC = RenderSpec("linear", 0, (16,) * 2)
PLAIN = RenderSpec("linear", 0, (8, 6))
SLICES = C2FSpec("linear", 0, (8, 6), (5,))
SIZE = (6, 8)
pytestmark = pytest.mark.skipif(native.module is None, reason="the CPU module is not compiled")


def tensors(family=MODULATED_MLP, spec=SPEC):
    rows = family.map_of(spec).size(3)
    return torch.randn(2, rows, rows + 1, family.field_channels(spec)), torch.randn(family.weight_count(spec))


def points_of(fields, weights, spec, size):
    coord = torch.linspace(-0.9, 0.9, 20).view(2, 5, 2)
    return modulated_mlp_points(fields, weights, spec, coord, coord / 9 + 0.2)


RENDERS = {"modulated_mlp": (MODULATED_MLP, SPEC, modulated_mlp), "points": (MODULATED_MLP, SPEC, points_of),
           "plain_mlp": (PLAIN_MLP, PLAIN, plain_mlp),
           "c2f_mlp": (C2F_MLP, SLICES, lambda *given: c2f_mlp(*given, lr_size=(3, 4)))}


@pytest.fixture
def chosen(monkeypatch, seed):
    """The names of the backends that were chosen, in order, from no plans on."""
    names = []

    def choose(call, name, original=plan.choose):
        backend = original(call, name)
        names.append(backend.name)
        return backend

    monkeypatch.setattr(plan, "choose", choose)
    plan.forget()
    yield names
    plan.forget()


@pytest.mark.parametrize("family, spec, render", RENDERS.values(), ids=RENDERS)
def test_the_second_call_is_looked_up(family, spec, render, chosen):
    first, second = tensors(family, spec), tensors(family, spec)
    found = [render(*given, spec, SIZE) for given in (first, second)]
    assert chosen == ["cpu"]
    plan.forget()
    assert all(torch.equal(render(*given, spec, SIZE), one) for given, one in zip((first, second), found))
    assert not torch.equal(*found)


@pytest.mark.parametrize("family, spec, render", RENDERS.values(), ids=RENDERS)
def test_other_strides_are_another_plan(family, spec, render, chosen):
    fields, weights = tensors(family, spec)
    expected = render(fields, weights, spec, SIZE)
    wide = torch.zeros(*fields.shape[:3], 2 * fields.shape[3])
    apart, strided = wide[..., :fields.shape[3]].copy_(fields), wide.clone()[..., ::2].copy_(fields)
    for other in (apart, strided, fields.transpose(1, 2).contiguous().transpose(1, 2)):
        assert torch.equal(render(other, weights, spec, SIZE), expected)
        assert torch.equal(render(other, weights, spec, SIZE), expected)
    assert torch.equal(render(fields, weights.repeat_interleave(2)[::2], spec, SIZE), expected)
    # One choice a layout, and one a call where the tensors have to be copied: channels, then weights, are strided.
    assert chosen == ["cpu"] * (1 + 1 + 2 + 1 + 1)


def test_what_changes_the_choice_changes_the_plan(chosen, monkeypatch):
    given = (*tensors(), SPEC, SIZE)
    for _ in range(2):
        modulated_mlp(*given)
        with lmf.use_backend("reference"):
            modulated_mlp(*given)
        modulated_mlp(*given, backend="cpu")
        monkeypatch.setenv("LMF_KERNELS_BACKEND", "reference")
        modulated_mlp(*given)
        monkeypatch.delenv("LMF_KERNELS_BACKEND")
    # The reference prepares nothing. It is asked each time.
    assert chosen == ["cpu", "reference", "cpu", "reference", "reference", "reference"]


def test_the_instruction_set_is_that_of_the_call(chosen, monkeypatch):
    given, found = (*tensors(), SPEC, SIZE), {}
    for isa in [*ISAS, *ISAS]:
        monkeypatch.setenv("LMF_CPU_ISA", isa)
        out = modulated_mlp(*given)
        assert torch.equal(found.setdefault(isa, out), out)
    monkeypatch.setenv("LMF_CPU_ISA", "avx1024")
    for backend in ("auto", "cpu"):
        with pytest.raises(lmf.BackendError, match="LMF_CPU_ISA=avx1024 is not available"):
            modulated_mlp(*given, backend=backend)
    monkeypatch.delenv("LMF_CPU_ISA")
    assert torch.equal(modulated_mlp(*given), found[ISAS[0]])


def test_the_number_of_threads_is_that_of_the_call(chosen, monkeypatch):
    asked = []
    monkeypatch.setattr(native, "module", SimpleNamespace(
        isa=native.module.isa, modulated_mlp=lambda packed, addresses, threads: asked.append(threads)))
    before = torch.get_num_threads()
    try:
        for threads in (1, 3, 2):
            torch.set_num_threads(threads)
            modulated_mlp(*tensors(), SPEC, SIZE)
    finally:
        torch.set_num_threads(before)
    assert asked == [1, 3, 2] and chosen == ["cpu"]


def test_what_equals_a_whole_number_is_still_refused(chosen):
    fields, weights = tensors()
    modulated_mlp(fields, weights, SPEC, SIZE, window=(1, 1, 1, 1))
    for wrong in ({"size": (6.0, 8)}, {"window": (True, 1, 1, 1)}, {"spec": SPEC._replace(widths=(16.0, 16))}):
        with pytest.raises(lmf.InputError, match="whole numbers"):
            modulated_mlp(fields, weights, **{"spec": SPEC, "size": SIZE, "window": (1, 1, 1, 1)} | wrong)
    with pytest.raises(lmf.InputError, match="spec is a tuple"):
        modulated_mlp(fields, weights, tuple(SPEC), SIZE)


def test_plans_hold_no_tensor_and_are_bounded(chosen):
    fields, weights = tensors()
    out = modulated_mlp(fields, weights, SPEC, SIZE)
    alive = [weakref.ref(tensor) for tensor in (fields, weights, out)]
    del fields, weights, out
    gc.collect()
    assert [ref() for ref in alive] == [None] * 3
    info = plan._plan.cache_info()
    assert info.currsize == 1 and info.maxsize == plan.MOST


def test_threads_share_plans(chosen):
    given = [tensors() for _ in range(4)]
    expected = [modulated_mlp(*one, SPEC, SIZE) for one in given]
    plan.forget()
    wrong = []

    def work(which):
        for _ in range(200):
            if not torch.equal(modulated_mlp(*given[which], SPEC, SIZE), expected[which]):
                wrong.append(which)

    workers = [threading.Thread(target=work, args=(which,)) for which in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


@needs_compiler
@pytest.mark.parametrize("kernel", [cuda_kernel, cuda_plain], ids=["modulated_mlp", "plain_mlp"])
def test_prepared_launches_of_the_cuda_backend(kernel, monkeypatch, seed):
    """The host's part of them, with the emulator in place of the compiled module: other contents, and another address
    whose alignment the kernels cannot load from."""
    emulated = emulator.load()
    name = kernel.__name__.rpartition(".")[2]

    def start(packed, addresses, *rest):
        getattr(emulated, name)(packed, addresses, *rest[:-2], emulator.MULTIPROCESSORS)

    monkeypatch.setattr(cuda_native, "module", SimpleNamespace(
        plain_mlp_packed_bytes=emulated.plain_mlp_packed_bytes,
        plain_mlp_pack=lambda *given: emulated.plain_mlp_pack(*given[:-2]), **{name: start}))
    monkeypatch.setattr(warpgroups, "refusal", lambda index, dtype: "not here")
    monkeypatch.setattr(cuda_native, "packer", emulator.Packer(emulated))
    monkeypatch.setattr(cuda_native, "launch", lambda function, device, *given: function(*given, 0, 0))
    family, spec = FAMILIES[name], RenderSpec("linear", 0, (16,) * 2 if name == "modulated_mlp" else (64, 64))
    fields, weights = (tensor.half() / 8 for tensor in tensors(family, spec))
    call = RenderCall(family, spec, fields, weights, size=SIZE, window=(0, 0, *SIZE), lr=(0, 0, 3, 4))
    render = kernel.prepare(call)
    memory = torch.zeros(call.fields.numel() + 8, dtype=torch.float16)
    moved = memory[1:1 + call.fields.numel()].view(call.fields.shape).copy_(call.fields)
    assert moved.data_ptr() % 16 and kernel.prepare(call._replace(fields=moved)) is None
    other = call._replace(fields=call.fields.flip(1))
    assert torch.equal(render(call), kernel.run(call)) and torch.equal(render(other), kernel.run(other))
    assert torch.equal(render(call._replace(fields=moved)), kernel.run(call))
    assert not torch.equal(render(other), render(call))
