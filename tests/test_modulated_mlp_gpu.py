"""The GPU kernels as part of a GPU program: bits, streams, graphs, torch.compile, memory. Never run on a GPU so far."""

import threading
import warnings

import golden_cases
import pytest
import torch
from every_backend import GPU, ON_GPU, needs_gpu, poisoned
from lmf_kernels import load_model, upscale
from lmf_kernels.families import MODULATED_MLP
from lmf_kernels.ops import modulated_mlp, modulated_mlp_points
from networks import PAPERS

pytestmark = needs_gpu
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
SIZE = (74, 111)  # from 20 x 30: x3.7

over_kernels = pytest.mark.parametrize("backend", sorted(ON_GPU))
over_specs = pytest.mark.parametrize("spec", PAPERS.values(), ids=PAPERS)
over_dtypes = pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)


def inputs(spec, dtype, lr=(20, 30), batch=1):
    """fields (B, h, w, C), weights (P,), skip (B, 3, h, w) on the GPU, the numbers of a network that works."""
    fields = torch.randn(batch, *lr, MODULATED_MLP.field_channels(spec), device=GPU) * 0.5
    weights = torch.randn(MODULATED_MLP.weight_count(spec), device=GPU) * (1.5 / 16) ** 0.5
    skip = torch.rand(batch, 3, *lr, device=GPU) * 2 - 1
    return [t.to(dtype) for t in (fields, weights, skip)]


def render(tensors, spec, backend, size=SIZE, **options):
    fields, weights, skip = tensors
    return modulated_mlp(fields, weights, spec, size, skip=skip, backend=backend, **options)


@over_kernels
@over_specs
@over_dtypes
@pytest.mark.parametrize("size", [(40, 60), SIZE, (240, 360)], ids=["x2", "x3.7", "x12"])
def test_same_bits_every_time_and_for_any_window(backend, spec, dtype, size, seed):
    tensors = inputs(spec, dtype)
    with poisoned():
        whole = render(tensors, spec, backend, size)
        assert whole.isfinite().all()
        for _ in range(20):
            assert torch.equal(render(tensors, spec, backend, size), whole)
        for y0, rows in ((0, 1), (1, 13), (size[0] - 17, 17)):
            for x0, cols in ((0, size[1]), (3, 31), (size[1] - 1, 1)):
                part = render(tensors, spec, backend, size, window=(y0, x0, rows, cols))
                assert torch.equal(part, whole[:, :, y0:y0 + rows, x0:x0 + cols])


@over_kernels
@over_specs
@over_dtypes
def test_an_image_of_a_batch_has_its_own_bits(backend, spec, dtype, seed):
    fields, weights, skip = inputs(spec, dtype, batch=3)
    whole = render((fields, weights, skip), spec, backend)
    for k in range(3):
        assert torch.equal(render((fields[k:k + 1], weights, skip[k:k + 1]), spec, backend), whole[k:k + 1])


@over_kernels
@over_specs
@over_dtypes
def test_in_a_graph(backend, spec, dtype, seed):
    tensors, others = inputs(spec, dtype), inputs(spec, dtype)
    expected = [render(given, spec, backend) for given in (tensors, others)]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = render(tensors, spec, backend)
    for given, wanted in ((others, expected[1]), (others, expected[1])):
        for own, new in zip(tensors, given):
            own.copy_(new)
        out.fill_(float("nan"))
        graph.replay()
        assert torch.equal(out, wanted)
    assert not torch.equal(*expected)


@over_kernels
@over_dtypes
def test_compiled(backend, dtype, seed):
    spec = PAPERS["lm-liif"]
    tensors = inputs(spec, dtype)

    def around(*tensors):
        return render(tensors, spec, backend) * 2

    assert torch.equal(torch.compile(around, fullgraph=True)(*tensors), around(*tensors))


@over_kernels
@over_dtypes
def test_two_streams(backend, dtype, seed):
    """Each on its own inputs, in turn and without waiting: nothing of one call is seen by the other."""
    spec = PAPERS["lm-liif"]
    given = [inputs(spec, dtype, (60, 90)) for _ in range(2)]
    expected = [render(tensors, spec, backend, (600, 900)) for tensors in given]
    streams = [torch.cuda.Stream() for _ in given]
    torch.cuda.synchronize()
    found = [[], []]
    for _ in range(8):
        for stream, tensors, results in zip(streams, given, found):
            with torch.cuda.stream(stream):
                results.append(render(tensors, spec, backend, (600, 900)))
    torch.cuda.synchronize()
    assert all(torch.equal(got, wanted) for results, wanted in zip(found, expected) for got in results)


@over_kernels
def test_two_threads(backend, seed):
    spec, wrong = PAPERS["lm-liif"], []
    given = [inputs(spec, torch.float16) for _ in range(2)]
    expected = [render(tensors, spec, backend) for tensors in given]
    torch.cuda.synchronize()

    def work(tensors, wanted):
        with torch.cuda.stream(torch.cuda.Stream()):
            for _ in range(50):
                if not torch.equal(render(tensors, spec, backend), wanted):
                    wrong.append(1)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(given, expected)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@over_kernels
@over_dtypes
def test_a_call_does_not_wait_and_takes_no_memory(backend, dtype, seed):
    spec = PAPERS["lm-liif"]
    tensors = inputs(spec, dtype, (90, 160))
    size = (1080, 1920)
    render(tensors, spec, backend, size)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    torch.cuda.set_sync_debug_mode("error")
    try:
        out = render(tensors, spec, backend, size)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    beyond = torch.cuda.max_memory_allocated() - before - out.numel() * out.element_size()
    assert beyond < 1 << 20


@over_kernels
@over_specs
@over_dtypes
def test_points_are_the_grid(backend, spec, dtype, seed):
    fields, weights, skip = inputs(spec, dtype)
    height, width = SIZE
    grid = render((fields, weights, skip), spec, backend, cell=(2 / height, 2 / width), layout="nhwc")
    y, x = ((2 * torch.arange(n, device=GPU) + 1) / n - 1 for n in SIZE)
    coord = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).view(1, -1, 2)
    cell = torch.tensor([2 / height, 2 / width], device=GPU).expand(coord.shape)
    points = modulated_mlp_points(fields, weights, spec, coord, cell, skip=skip, backend=backend).view_as(grid)
    tolerance = {torch.float32: 2e-5, torch.float16: 1e-2, torch.bfloat16: 8e-2}[dtype]
    assert (grid - points).abs().max() / grid.abs().max() < tolerance


@over_kernels
@pytest.mark.parametrize("name", ["lmliif", "lmlte"])
@over_dtypes
def test_whole_models(backend, name, dtype, seed):
    """On the GPU in `dtype` and on the CPU in float32: the same picture."""
    image = torch.rand(1, 3, 24, 31)
    truth = upscale(load_model(golden_cases.path(name)), image, 3.7)
    model = load_model(golden_cases.path(name), device=GPU, dtype=dtype, backend=backend)
    levels = {torch.float32: 0.5, torch.float16: 2, torch.bfloat16: 12}[dtype]  # noise is the hardest picture
    with allowed_tf32(False):
        got = upscale(model, image.to(GPU, dtype), 3.7).cpu()
    assert 255 * (got - truth).abs().max() < levels


def test_the_reference_is_the_same_on_the_gpu(seed):
    spec = PAPERS["lm-lte"]
    tensors = inputs(spec, torch.float64)
    got = render(tensors, spec, "reference", dtype=torch.float64).cpu()
    truth = render([t.cpu() for t in tensors], spec, "reference", dtype=torch.float64)
    torch.testing.assert_close(got, truth, rtol=0, atol=1e-10)


def test_auto_runs_something(seed):
    """Whatever has been measured: auto finds a backend, and its pixels are the reference's."""
    spec = PAPERS["lm-liif"]
    tensors = inputs(spec, torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = render(tensors, spec, "auto")
    truth = render([t.double() for t in tensors], spec, "reference", dtype=torch.float64)
    assert (got.double() - truth).abs().max() / truth.abs().max() < 1e-4


class allowed_tf32:
    """Inside the block torch's convolutions and matrix products of float32 may or may not round to TF32."""

    def __init__(self, allowed):
        self.allowed = allowed

    def __enter__(self):
        self.before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = self.allowed

    def __exit__(self, *exception):
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = self.before
