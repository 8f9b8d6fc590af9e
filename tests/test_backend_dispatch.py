"""Which backend runs, and what is said when the one asked for cannot."""

import os
import shutil
import subprocess
import sys
import threading

import golden_cases
import lmf_kernels as lmf
import pytest
import torch
from every_backend import ISAS
from lmf_kernels.backends import dispatch, plan
from lmf_kernels.ops import RenderSpec, modulated_mlp, plain_mlp
from lmf_kernels.families import FAMILIES
from torch.utils._python_dispatch import TorchDispatchMode

SPEC = RenderSpec("linear", 0, (16,) * 2)
PLAIN = RenderSpec("linear", 0, (8, 8))


def arguments(family="modulated_mlp", spec=SPEC, dtype=torch.float32):
    torch.manual_seed(0)
    return (torch.randn(1, 3, 4, FAMILIES[family].field_channels(spec), dtype=dtype),
            torch.randn(FAMILIES[family].weight_count(spec), dtype=dtype), spec, (6, 8))


@pytest.fixture
def ran(monkeypatch):
    """The names of the backends that ran, in order."""
    names = []
    for name, backend in dispatch.BACKENDS.items():
        for kernel in backend.kernels.values():
            def run(call, name=name, original=kernel.run):
                names.append(name)
                return original(call)

            monkeypatch.setattr(kernel, "run", run)
            if hasattr(kernel, "prepare"):
                monkeypatch.setattr(kernel, "prepare", lambda call, run=run: run)
    plan.forget()
    yield names
    plan.forget()


def test_order_of_precedence(ran, monkeypatch):
    modulated_mlp(*arguments())
    monkeypatch.setenv("LMF_KERNELS_BACKEND", "reference")
    modulated_mlp(*arguments())
    with lmf.use_backend("cpu"):
        modulated_mlp(*arguments())
        with lmf.use_backend("reference"):
            modulated_mlp(*arguments())
        modulated_mlp(*arguments(), backend="reference")
        modulated_mlp(*arguments())
    modulated_mlp(*arguments())
    assert ran == ["cpu", "reference", "cpu", "reference", "reference", "cpu", "reference"]


def test_use_backend_is_left_after_an_error_and_stays_in_its_thread(ran):
    with pytest.raises(ZeroDivisionError):
        with lmf.use_backend("reference"):
            thread = threading.Thread(target=lambda: modulated_mlp(*arguments()))
            thread.start()
            thread.join()
            raise ZeroDivisionError
    modulated_mlp(*arguments())
    assert ran == ["cpu", "cpu"]


@pytest.mark.parametrize("name", ["cpu", "reference"])
def test_gradients_are_made_where_the_forward_call_was(name, monkeypatch):
    """Also in a thread of their own, which is where torch makes those of CUDA tensors."""
    made = []
    for backend in ("cpu", "reference"):
        family = dispatch.BACKENDS[backend].kernels["modulated_mlp"]

        def gradients(*given, backend=backend, original=family.gradients):
            made.append(backend)
            return original(*given)

        monkeypatch.setattr(family, "gradients", gradients)
    fields, *rest = arguments()
    with lmf.use_backend(name):
        values = modulated_mlp(fields.requires_grad_(), *rest)
        thread = threading.Thread(target=values.sum().backward)
        thread.start()
        thread.join()
    assert made == [name] and fields.grad.any()


def test_auto_falls_back(ran):
    plain_mlp(*arguments("plain_mlp", PLAIN, dtype=torch.float64), dtype=torch.float64)
    modulated_mlp(*arguments(dtype=torch.float64), dtype=torch.float64)
    assert ran == ["reference", "reference"]


@pytest.mark.parametrize("operator, given, options, reason", [
    (plain_mlp, {"family": "plain_mlp", "spec": PLAIN, "dtype": torch.float64}, {"dtype": torch.float64},
     "fields is torch.float64"),
    (modulated_mlp, {"dtype": torch.float64}, {"dtype": torch.float64}, "fields is torch.float64"),
    (modulated_mlp, {}, {"dtype": torch.float64}, "not torch.float64"),
])
def test_a_named_backend_runs_or_says_why(operator, given, options, reason):
    with pytest.raises(lmf.BackendError) as raised:
        operator(*arguments(**given), **options, backend="cpu")
    assert reason in str(raised.value) and "reference" in str(raised.value)


def test_unknown_names(monkeypatch):
    with pytest.raises(lmf.InputError, match="unknown backend 'gpu': use one of auto, cpu"):
        with lmf.use_backend("gpu"):
            pass
    monkeypatch.setenv("LMF_KERNELS_BACKEND", "gpu")
    with pytest.raises(lmf.InputError, match="unknown backend 'gpu'"):
        modulated_mlp(*arguments())


def test_instruction_set_override(monkeypatch):
    assert ISAS[-1] == "baseline"
    monkeypatch.setenv("LMF_CPU_ISA", "avx1024")
    with pytest.raises(lmf.BackendError, match="LMF_CPU_ISA=avx1024 is not available .*; use one of: .*baseline"):
        modulated_mlp(*arguments(), backend="cpu")
    with pytest.raises(lmf.BackendError, match="LMF_CPU_ISA=avx1024"):  # "auto" must not hide it behind the reference
        modulated_mlp(*arguments())
    row = next(row for row in lmf.backends() if row["name"] == "cpu")
    assert not row["available"] and "LMF_CPU_ISA" in row["detail"]


def test_backends_and_explain():
    rows = {row["name"]: row for row in lmf.backends()}
    assert rows["cpu"]["available"] and rows["cpu"]["families"] == ["c2f_mlp", "modulated_mlp", "plain_mlp"]
    assert rows["reference"]["families"] == ["c2f_mlp", "modulated_mlp", "plain_mlp"]
    told = lmf.explain(lmf.load_model(golden_cases.path("lmliif")))
    assert told.runs == "cpu" and "cpu" not in told.refusals and "runs on cpu" in str(told)
    told = lmf.explain(lmf.load_model(golden_cases.path("liif")))
    assert told.runs == "cpu" and told.refusals["triton"]
    told = lmf.explain(lmf.load_model(golden_cases.path("liif"), dtype=torch.float64, backend="cpu"))
    assert told.runs is None and "cpu cannot: fields is torch.float64" in str(told)


def test_package_works_without_compiled_modules():
    """A source install without a compiler: everything still runs, on the reference, and says so."""
    script = (
        "import sys; sys.modules['lmf_kernels._cpu'] = sys.modules['lmf_kernels._cuda'] = None\n"
        "import lmf_kernels as lmf\n"
        f"told = lmf.explain(lmf.load_model({str(golden_cases.path('lmliif'))!r}))\n"
        "assert told.runs == 'reference' and 'cannot be imported' in told.refusals['cpu'], told\n")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("source", [True, False])
def test_uncompiled_sources_are_imported_with_a_warning(tmp_path, source):
    """Python started in the source folder finds the sources there before the installed package."""
    package = os.path.dirname(lmf.__file__)
    for name in ("lmf_kernels", "python_ref"):
        shutil.copytree(os.path.join(os.path.dirname(package), name), tmp_path / name,
                        ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    if source:
        (tmp_path / "pyproject.toml").touch()
        (tmp_path / "CMakeLists.txt").touch()
    script = (
        "import sys; sys.meta_path = [finder for finder in sys.meta_path if 'editable' not in str(finder)]\n"
        "import lmf_kernels as lmf\n"
        f"print(lmf.explain(lmf.load_model({str(golden_cases.path('lmliif'))!r})))\n")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert "modulated_mlp: runs on reference" in done.stdout, done.stderr
    assert f"not built in {tmp_path / 'lmf_kernels'}: install lmf_kernels with a C++17 compiler" in done.stdout
    assert "circular import" not in done.stdout + done.stderr
    warned = f"imported from its source folder {tmp_path}, where it is not compiled" in done.stderr
    assert warned == source and done.stderr.count("pip install -e .") == source


def test_a_mode_and_the_profiler_see_the_operator():
    """Ordinary calls go past torch's dispatcher; whoever watches operators still sees this one."""
    fields, weights, spec = arguments()[:3]
    plain = modulated_mlp(fields, weights, spec, (6, 8))
    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    with Watch():
        watched = modulated_mlp(fields, weights, spec, (6, 8))
    assert "lmf_kernels.modulated_mlp.default" in seen and torch.equal(watched, plain)
    with torch.profiler.profile() as profile:
        modulated_mlp(fields, weights, spec, (6, 8))
    assert "lmf_kernels::modulated_mlp" in {event.key for event in profile.key_averages()}


def test_lazily_negated_tensors():
    fields, weights, spec = arguments()[:3]
    negated = torch._neg_view(fields)
    assert negated.is_neg()
    assert torch.equal(modulated_mlp(negated, weights, spec, (6, 8)), modulated_mlp(-fields, weights, spec, (6, 8)))
