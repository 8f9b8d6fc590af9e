"""torch.export and AOTInductor of whole models: saved, loaded, and the same numbers at sizes never traced."""

import subprocess
import sys

import golden_cases
import lmf_kernels as lmf
import pytest
import torch
import torch._inductor
from torch.export import Dim

SIZES = ((8, 9), (13, 6), (3, 17))


class Quadruple(torch.nn.Module):
    """A picture four times as large: `render_grid` in the form that torch.export takes, tensors in and tensors out."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inp):
        return self.model.render_grid(inp, (4 * inp.shape[2], 4 * inp.shape[3]), epilogue="unit")


def exported(name, strict):
    """(module, its ExportedProgram with free height and width)."""
    module = Quadruple(lmf.load_model(golden_cases.path(name)).requires_grad_(False))
    sizes = {2: Dim("h", min=2, max=1024), 3: Dim("w", min=2, max=1024)}
    return module, torch.export.export(module, (torch.rand(1, 3, *SIZES[0]),), dynamic_shapes={"inp": sizes},
                                       strict=strict)


def assert_same(got, module):
    with torch.no_grad():
        for size in SIZES:
            inp = torch.rand(1, 3, *size) * 2 - 1
            torch.testing.assert_close(got(inp), module(inp), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name, strict", [
    ("lmliif", False), ("lmliif", True), ("lte", False), ("lmciaosr", False), ("dlte", False)])
def test_a_model_is_exported_saved_and_loaded(name, strict, tmp_path, seed):
    module, program = exported(name, strict)
    torch.export.save(program, tmp_path / "model.pt2")
    loaded = torch.export.load(tmp_path / "model.pt2")
    operators = sum("lmf_kernels" in str(node.target) for node in loaded.graph.nodes)
    assert operators == (2 if name == "lmciaosr" else 1), "one operator renders, one is LM-CiaoSR's attention"
    assert_same(loaded.module(), module)


@pytest.mark.slow
def test_an_aotinductor_package_runs_where_the_package_is_imported(tmp_path, seed):
    """The operators are Python's: a process without `import lmf_kernels` does not know them, and says so."""
    module, program = exported("lmliif", False)
    path = torch._inductor.aoti_compile_and_package(program, package_path=str(tmp_path / "model.pt2"))
    loaded = torch._inductor.aoti_load_package(path)
    assert_same(loaded, module)
    with lmf.use_backend("reference"):  # counts at run time, also inside the package
        assert_same(loaded, module)
    script = f"import torch._inductor; torch._inductor.aoti_load_package({path!r})(torch.zeros(1, 3, 8, 9))"
    alone = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert alone.returncode != 0 and "lmf_kernels::modulated_mlp" in alone.stderr
    together = subprocess.run([sys.executable, "-c", f"import lmf_kernels; {script}"], capture_output=True, text=True)
    assert together.returncode == 0, together.stderr
