"""Weights packed once for as long as they stay as they are: when they are packed anew, and what is kept how long."""

import gc
import threading
import weakref
from importlib import import_module
from types import SimpleNamespace

import emulator
import pytest
import torch
from lmf_kernels.backends import packed_weights
from lmf_kernels.backends.call import smallest_call
from lmf_kernels.backends.cuda import c2f_mlp, native, plain_mlp as cuda_plain_mlp, warpgroups
from lmf_kernels.families import FAMILIES, RenderSpec
from lmf_kernels.ops import plain_mlp
from random_renders import draw
from torch import library as torch_library

SPEC = RenderSpec("linear", 0, (64, 64))


class Packs:
    """A packing that is counted: the weights, doubled."""

    def __init__(self):
        self.count = 0

    def get(self, weights, name="doubled"):
        def build():
            self.count += 1
            return (2 * weights,)

        return packed_weights.get(weights, name, build)[0]


@pytest.fixture
def packs():
    return Packs()


def test_packed_once(packs):
    weights = torch.randn(10)
    first = packs.get(weights)
    assert torch.equal(first, 2 * weights)
    assert packs.get(weights) is first and packs.get(weights.detach()) is first and packs.count == 1
    assert packs.get(weights, "another") is not first and packs.count == 2


@pytest.mark.parametrize("change", [
    lambda w: w.add_(1), lambda w: w.detach().mul_(3), lambda w: w[2:4].zero_(), lambda w: w.copy_(torch.randn(10)),
    lambda w: torch.nn.init.normal_(w)], ids=["add_", "detached", "a part", "copy_", "init"])
def test_packed_anew_after_a_change(packs, change):
    weights = torch.randn(10)
    packs.get(weights)
    with torch.no_grad():
        change(weights)
    assert torch.equal(packs.get(weights), 2 * weights) and packs.count == 2
    with torch.inference_mode():
        change(weights)
    assert torch.equal(packs.get(weights), 2 * weights) and packs.count == 3


def test_an_optimizer_step_and_a_loaded_state(packs):
    layer = torch.nn.Linear(3, 2)
    packs.get(layer.weight)
    layer(torch.randn(4, 3)).sum().backward()
    torch.optim.SGD(layer.parameters(), lr=0.1).step()
    assert torch.equal(packs.get(layer.weight), 2 * layer.weight) and packs.count == 2
    layer.load_state_dict({name: value + 1 for name, value in layer.state_dict().items()})
    assert torch.equal(packs.get(layer.weight), 2 * layer.weight) and packs.count == 3


def test_parts_of_one_memory_are_different_weights(packs):
    whole = torch.randn(10)
    for part in (whole[:5], whole[5:], whole[::2], whole.view(torch.int32)):
        assert torch.equal(packs.get(part), 2 * part)
    assert packs.count == 4


def test_tensors_of_inference_mode_are_packed_at_each_call(packs):
    with torch.inference_mode():
        weights = torch.randn(10)
        for _ in range(2):
            assert torch.equal(packs.get(weights), 2 * weights)
            weights.add_(1)
    assert packs.count == 2


def test_what_is_kept_is_no_tensor_of_inference_mode(packs):
    weights = torch.randn(10)
    with torch.inference_mode():
        assert not packs.get(weights).is_inference()


def test_it_goes_with_the_weights(packs):
    weights = torch.randn(10)
    packed = weakref.ref(packs.get(weights))
    before = len(packed_weights._kept)
    gc.collect()
    assert packed() is not None
    view = weights[:3]
    del weights
    gc.collect()
    assert packed() is not None, "a view holds the memory"
    del view
    gc.collect()
    assert packed() is None and len(packed_weights._kept) == before - 1


def test_new_weights_at_the_same_address_are_packed(packs):
    for _ in range(50):
        weights = torch.randn(100000)
        assert torch.equal(packs.get(weights), 2 * weights)
        del weights


def test_few_are_kept_of_the_same_weights(packs):
    weights = torch.randn(10)
    for name in range(packed_weights.MOST):
        packs.get(weights, name)
    packs.get(weights, 0)  # now the last one
    packs.get(weights, "one more")
    assert packs.count == packed_weights.MOST + 1
    packs.get(weights, 0)
    packs.get(weights, 2)
    assert packs.count == packed_weights.MOST + 1
    packs.get(weights, 1)
    assert packs.count == packed_weights.MOST + 2


def test_threads():
    """Nobody gets what was packed from other values."""
    tensors, wrong = [torch.zeros(8) for _ in range(4)], []

    def work(own):
        packs = Packs()
        for number in range(300):
            tensors[own].fill_(number)
            for other, weights in enumerate(tensors):
                found = packs.get(weights, (own, other % 2))
                if other == own and not (found == 2 * number).all():
                    wrong.append((own, number))

    threads = [threading.Thread(target=work, args=(own,)) for own in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


class Stream:
    """What `torch.cuda` says of the current stream, for tensors that are as on a GPU."""

    def __init__(self, monkeypatch):
        self.name, self.capturing = 1, False
        monkeypatch.setattr(packed_weights, "_stream", lambda device: (self.capturing, self.name))


def test_each_stream_has_its_own(packs, monkeypatch):
    stream, weights = Stream(monkeypatch), torch.randn(10)
    first = packs.get(weights)
    stream.name = 2
    assert packs.get(weights) is not first
    stream.name = 1
    assert packs.get(weights) is first and packs.count == 2


def test_a_graph_packs_by_itself(packs, monkeypatch):
    """Then it follows changes of the weights, and what it reads is its own."""
    stream, weights = Stream(monkeypatch), torch.randn(10)
    first = packs.get(weights)
    stream.capturing = True
    captured = packs.get(weights)
    assert captured is not first and packs.count == 2
    stream.capturing = False
    assert packs.get(weights) is first, "what is packed inside a capture has no values yet and is not kept"


def test_a_graph_whose_owner_holds_what_was_packed(packs, monkeypatch):
    stream, weights, others = Stream(monkeypatch), torch.randn(10), torch.randn(10)
    first, owned = packs.get(weights), []
    stream.capturing = True
    with packed_weights.held_by(owned):
        assert packs.get(weights) is first and owned == [(first,)]
        packs.get(others)
    assert packs.count == 2 and len(owned) == 1, "what was not there is packed by the graph"
    stream.capturing = False
    weights.zero_()
    packs.get(weights)
    assert torch.equal(owned[0][0], first), "the owner still holds it"


# ---- the kernels

@pytest.mark.skipif(not emulator.COMPILER, reason="there is no C++ compiler")
@pytest.mark.parametrize("group", [False, True], ids=["mma", "wgmma"])
def test_a_kernel_packs_once_for_all_windows(group, seed):
    call = draw(seed, spec=SPEC, family="plain_mlp", lr_size=(4, 5), scales=(2,), points=False, skip=False)
    fields, weights = call.fields.half(), call.weights.half()
    with emulator.registered(group=group):
        kernel = emulator.BACKENDS["emulator"].kernels["plain_mlp"]

        def run(weights=weights, **options):
            return plain_mlp(fields, weights, SPEC, (8, 10), backend="emulator", **options)

        whole = run()
        assert torch.equal(run(window=(4, 0, 4, 10)), whole[:, :, 4:]) and kernel.packings == 1
        weights.mul_(0.5)
        changed = run()
        assert kernel.packings == 2 and not torch.equal(changed, whole)
        assert torch.equal(changed, run(weights.clone()))


class Recorder:
    """The compiled module, of which only what is called is known: ("pack" or "render", address of packed weights)."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        if name.endswith("_packed_bytes"):
            return lambda call: 64
        what = "pack" if name.endswith("_pack") else "render"
        return lambda call, addresses, group, packed, device, stream: self.calls.append((what, packed))


@pytest.fixture
def module(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(native, "module", recorder)
    monkeypatch.setattr(native, "packer", SimpleNamespace(plain_mlp=lambda *given: b"", c2f_mlp=lambda *given: b""))
    monkeypatch.setattr(native, "launch", lambda function, device, *given: function(*given, 0, 0))
    monkeypatch.setattr(warpgroups, "refusal", lambda index, dtype: None)
    return recorder


def smallest(family):
    """A call of a family, of one pixel."""
    network = next(iter(FAMILIES[family].examples().values())).network
    return smallest_call(FAMILIES[family], network, torch.zeros(1))


def test_the_cuda_backend_packs_once(module):
    call = smallest("plain_mlp")
    for size in ((8, 10), (12, 15)):
        cuda_plain_mlp.run(call._replace(size=size))
    (first, address), *renders = module.calls
    assert first == "pack" and renders == [("render", address)] * 2


def test_the_head_of_the_coarse_to_fine_family_knows_the_scale(module):
    call = smallest("c2f_mlp")
    for size in ((1, 1), (1, 1), (2, 1), (1, 1)):
        c2f_mlp.run(call._replace(size=size))
    assert [what for what, _ in module.calls] == ["pack", "render", "render", "pack", "render", "render"]


@pytest.mark.parametrize("kernel", ["plain_mlp", "c2f_mlp"])
def test_the_triton_backend_packs_once(kernel, monkeypatch):
    face, call = import_module(f"lmf_kernels.backends.triton.{kernel}"), smallest(kernel)
    counted, pack = [], face.packed
    monkeypatch.setattr(face, "packed", lambda *given: counted.append(given[0]) or pack(*given))
    first = face.kept(call.weights, call)
    assert face.kept(call.weights, call) is first and counted == [call.spec]
    assert face.kept(call.weights, call._replace(fields=call.fields.half())).matrices.dtype == torch.float16
    call.weights.add_(1)
    assert not torch.equal(face.kept(call.weights, call).matrices, first.matrices)


@pytest.mark.skipif(not emulator.COMPILER, reason="there is no C++ compiler")
def test_torch_s_checks_of_an_operator(seed):
    """They run it on real tensors and on such that stand for them, in turn."""
    call = draw(seed, spec=SPEC, family="plain_mlp", lr_size=(2, 3), scales=(2,), points=False, skip=False)
    with emulator.registered():
        torch_library.opcheck(
            torch.ops.lmf_kernels.plain_mlp.default,
            (call.fields.half(), call.weights.half(), None, (4, 6), (0, 0, 4, 6), (0, 0, 2, 3), None, *SPEC, "none",
             torch.float32, "nchw", "emulator"), test_utils=("test_schema", "test_faketensor"))
