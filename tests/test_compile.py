"""torch.compile sees whole graphs: operators and models, dynamic shapes, forward and backward."""

import golden_cases
import lmf_kernels as lmf
import pytest
import torch
import torch._dynamo.testing
import torch._inductor.config
from lmf_kernels.ops import RenderSpec, modulated_mlp
from lmf_kernels.families import MODULATED_MLP


@torch._inductor.config.patch(force_disable_caches=True)  # a graph kept from older code proves nothing
def test_operator_compiles_whole_with_dynamic_sizes():
    spec = RenderSpec("linear", 0, (16,) * 3)
    weights = torch.randn(MODULATED_MLP.weight_count(spec), requires_grad=True)

    def loss(fields, weights, height, width):
        return modulated_mlp(fields * 0.5, weights, spec, (height, width)).square().mean()

    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend("inductor")
    compiled = torch.compile(loss, fullgraph=True, dynamic=True, backend=counter)
    for lr_size, size in (((5, 6), (11, 14)), ((7, 4), (20, 9)), ((6, 6), (31, 8))):
        fields = torch.randn(2, *lr_size, MODULATED_MLP.field_channels(spec), requires_grad=True)
        expected, got = loss(fields, weights, *size), compiled(fields, weights, *size)
        torch.testing.assert_close(got, expected)
        torch.testing.assert_close(torch.autograd.grad(got, (fields, weights)),
                                   torch.autograd.grad(expected, (fields, weights)))
    assert counter.frame_count == 1, "a new size compiled anew"


def test_gradient_of_strided_fields_compiles():
    """Fields straight from a convolution are dense but not channels last; their gradient's strides are promised so."""
    spec = RenderSpec("linear", 0, (4,) * 2)
    conv = torch.nn.Conv2d(3, MODULATED_MLP.field_channels(spec), 3, padding=1)
    weights = torch.randn(MODULATED_MLP.weight_count(spec))

    def loss(image):
        return modulated_mlp(conv(image).permute(0, 2, 3, 1), weights, spec, (9, 7)).square().mean()

    image = torch.randn(2, 3, 4, 5)
    torch._dynamo.reset()
    expected, got = (torch.autograd.grad(f(image), list(conv.parameters()))
                     for f in (loss, torch.compile(loss, fullgraph=True, backend="aot_eager")))
    torch.testing.assert_close(got, expected)


@pytest.mark.slow
@pytest.mark.parametrize("name", golden_cases.MODELS)
def test_model_compiles_whole(name):
    model = lmf.load_model(golden_cases.path(name))
    case = golden_cases.cases(name)[1]
    torch._dynamo.reset()
    render = torch.compile(model.render_grid, fullgraph=True, dynamic=True)
    with torch.no_grad():
        golden_cases.check(render(case.image, case.size), case)


@pytest.mark.parametrize("name", golden_cases.MODELS)
def test_model_is_traced_once_for_all_sizes(name):
    """Below and above x4, where the cell's rule has its corner."""
    model = lmf.load_model(golden_cases.path(name))
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend("eager")
    render = torch.compile(model.render_grid, fullgraph=True, dynamic=True, backend=counter)
    with torch.no_grad():
        for lr_size, size in (((5, 6), (11, 14)), ((7, 4), (40, 36)), ((6, 9), (31, 8))):
            inp = torch.rand(1, 3, *lr_size) * 2 - 1
            torch.testing.assert_close(render(inp, size), model.render_grid(inp, size), rtol=0, atol=1e-6)
    assert counter.frame_count == 1, "a new size compiled anew"
