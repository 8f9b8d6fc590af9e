"""The backward kernel as part of a GPU program: bits, streams, graphs, memory. Never run on a GPU so far."""

import pytest
import torch
from every_backend import GPU, needs_gpu, poisoned
from lmf_kernels.backends import BACKENDS, use_backend
from lmf_kernels.ops import modulated_mlp, modulated_mlp_points
from networks import PAPERS
from test_modulated_mlp_gpu import SIZE, inputs, over_dtypes, over_specs

pytestmark = needs_gpu
over_kernels = pytest.mark.parametrize("backend", ["triton"])
over_modes = pytest.mark.parametrize("points", [False, True], ids=["grid", "points"])


def queries(batch, count=700):
    """(coord, cell) on the GPU: more than a cell takes on the average, some beyond the border."""
    coord = torch.rand(batch, count, 2, device=GPU) * 2.2 - 1.1
    return coord, torch.full_like(coord, 0.03)


def gradients(tensors, spec, backend, where, grad):
    """Of fields, weights and skip. where: (coord, cell), or None for the grid."""
    leaves = [t.detach().requires_grad_() for t in tensors]
    fields, weights, skip = leaves
    if where is None:
        out = modulated_mlp(fields, weights, spec, SIZE, skip=skip, backend=backend)
    else:
        out = modulated_mlp_points(fields, weights, spec, *where, skip=skip, backend=backend)
    return torch.autograd.grad(out, leaves, grad)


def case(spec, dtype, points):
    """(tensors, where, gradient that arrives)."""
    tensors = inputs(spec, dtype, batch=2)
    where = queries(2) if points else None
    return tensors, where, torch.randn((2, 700, 3) if points else (2, 3, *SIZE), device=GPU)


@over_kernels
@over_specs
@over_dtypes
@over_modes
def test_same_bits_every_time(backend, spec, dtype, points, seed):
    tensors, where, grad = case(spec, dtype, points)
    with poisoned():
        found = gradients(tensors, spec, backend, where, grad)
        assert all(g.isfinite().all() and g.any() for g in found)
        for _ in range(20):
            again = gradients(tensors, spec, backend, where, grad)
            assert all(torch.equal(a, b) for a, b in zip(again, found))


@over_kernels
@over_specs
@over_modes
def test_in_a_graph(backend, spec, points, seed):
    tensors, where, grad = case(spec, torch.float32, points)
    others, _, _ = case(spec, torch.float32, points)
    expected = [gradients(given, spec, backend, where, grad) for given in (tensors, others)]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = gradients(tensors, spec, backend, where, grad)
    for own, new in zip(tensors, others):
        own.copy_(new)
    for _ in range(2):
        graph.replay()
        assert all(torch.equal(a, b) for a, b in zip(found, expected[1]))
    assert not torch.equal(expected[0][0], expected[1][0])


@over_kernels
@over_modes
@over_specs
def test_nothing_waits(backend, spec, points, seed):
    tensors, where, grad = case(spec, torch.float32, points)
    gradients(tensors, spec, backend, where, grad)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        gradients(tensors, spec, backend, where, grad)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@over_kernels
@over_modes
@over_specs
def test_two_streams(backend, spec, points, seed):
    """Each on its own inputs, in turn and without waiting: nothing of one call is seen by the other."""
    given = [case(spec, torch.float32, points) for _ in range(2)]
    expected = [gradients(tensors, spec, backend, where, grad) for tensors, where, grad in given]
    streams = [torch.cuda.Stream() for _ in given]
    torch.cuda.synchronize()
    found = [[], []]
    for _ in range(8):
        for stream, (tensors, where, grad), results in zip(streams, given, found):
            with torch.cuda.stream(stream):
                results.append(gradients(tensors, spec, backend, where, grad))
    torch.cuda.synchronize()
    assert all(torch.equal(a, b) for results, wanted in zip(found, expected) for got in results
               for a, b in zip(got, wanted))


@over_kernels
def test_use_backend_reaches_them(backend, monkeypatch, seed):
    """torch makes a CUDA tensor's gradients in another thread, where no context manager counts."""
    family, made = BACKENDS[backend].kernels["modulated_mlp"], []
    original = family.gradients
    monkeypatch.setattr(family, "gradients", lambda *given: made.append(1) or original(*given))
    tensors, where, grad = case(PAPERS["lm-liif"], torch.float32, True)
    with use_backend(backend):
        gradients(tensors, PAPERS["lm-liif"], "auto", where, grad)
    assert made


@over_kernels
@over_specs
def test_it_trains(backend, spec, seed):
    """A few steps of gradient descent towards another network's picture bring it nearer."""
    (fields, weights, skip), _, _ = case(spec, torch.float32, False)
    target = modulated_mlp(fields, weights, spec, SIZE, skip=skip, backend=backend)
    trained = [(t + 0.1 * torch.randn_like(t)).requires_grad_() for t in (fields, weights, skip)]
    optimiser, losses = torch.optim.Adam(trained, lr=0.01), []
    for _ in range(30):
        out = modulated_mlp(*trained[:2], spec, SIZE, skip=trained[2], backend=backend)
        loss = (out - target).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
