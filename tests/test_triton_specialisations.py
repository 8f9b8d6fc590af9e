"""What Triton's kernels are compiled anew for, and what they are not; and that all of it can be compiled beforehand."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

pytest.importorskip("triton")

HERE = pathlib.Path(__file__).parent
LAUNCHES = """
import itertools, json, torch
from every_backend import GPU
from lmf_kernels.ops import modulated_mlp, modulated_mlp_points
from lmf_kernels.families import MODULATED_MLP
from networks import PAPERS
from recorded_launches import _noted

def inputs(spec, lr, batch, dtype=torch.float32):
    fields = torch.randn(batch, *lr, MODULATED_MLP.field_channels(spec), dtype=dtype)
    return fields, torch.randn(MODULATED_MLP.weight_count(spec), dtype=dtype), torch.rand(batch, 3, *lr, dtype=dtype)

def kernels():
    found = len({entry[1:] for entry in _noted})
    _noted.clear()
    return found

def differentiated(render, tensors):
    leaves = [t.requires_grad_() for t in tensors]
    out = render(*leaves)
    torch.autograd.grad(out, leaves, torch.randn_like(out))
"""


def recording(script, folder, **environment):
    """What a script prints that runs after LAUNCHES, in a process that records launches."""
    environment = {**os.environ, "LMF_TEST_TRITON_RECORD": str(folder), "LMF_TEST_BACKENDS": "triton", **environment}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run([sys.executable, "-c", LAUNCHES + script], capture_output=True, text=True, cwd=HERE,
                          env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_sizes_and_strides_compile_nothing_anew(tmp_path):
    """One kernel a network and mode, forward and backward, whatever happens to be 1 or a multiple of 16."""
    found = recording("""
found = {}
SIZES = [((4, 5), (12, 15)), ((16, 16), (48, 48)), ((5, 16), (15, 47)), ((2, 3), (6, 9)), ((7, 2), (20, 6))]
for name, spec in PAPERS.items():
    for mode in ("grid", "window", "nhwc", "points"):
        for batch, (lr, size) in itertools.product((1, 2), SIZES):
            fields, weights, skip = inputs(spec, (lr[0] + 2, lr[1] + 3), batch)
            part = fields[:, 2:, 3:], weights, skip[:, :, 2:, 3:]

            def render(fields, weights, skip):
                given = dict(skip=skip, backend="triton")
                if mode == "points":
                    coord = torch.rand(batch, 4 * lr[0] * lr[1] + 1, 2)[:, 1:]
                    return modulated_mlp_points(fields, weights, spec, coord, torch.full_like(coord, 0.1), **given)
                window = (1, 2, size[0] - 1, size[1] - 2) if mode == "window" else None
                layout = "nhwc" if mode == "nhwc" else "nchw"
                return modulated_mlp(fields, weights, spec, size, window=window, layout=layout, **given)

            differentiated(render, part)
        found[name + " " + mode] = kernels()
print(json.dumps(found))
""", tmp_path)
    # The forward kernel, the backward kernel; for points also the one that sorts them.
    assert found == {f"{name} {mode}": 3 if mode == "points" else 2
                     for name in ("lm-liif", "lm-lte") for mode in ("grid", "window", "nhwc", "points")}


def test_what_changes_a_kernel(tmp_path):
    """Types, the network, fields that wide loads cannot read, a single row, int64 positions: those and no others."""
    found = recording("""
spec = PAPERS["lm-liif"]
fields, weights, skip = inputs(spec, (5, 6), 1)
found = {}
def count(name, fields=fields, weights=weights, skip=skip, size=(20, 24), **options):
    modulated_mlp(fields, weights, spec, size, skip=skip, backend="triton", **options)
    found[name] = len({entry[1:] for entry in _noted})
count("first")
count("cell", cell=(0.1, 0.2))
count("small", size=(19, 23))
count("odd", fields=torch.cat([fields[..., :1], fields], 3)[..., 1:])
count("half", fields=fields.half())
count("stored half", fields=fields.half(), dtype=torch.float16)
count("unit", epilogue="unit")
count("no skip", skip=None)
count("row", window=(3, 0, 1, 24))
count("rows", window=(3, 0, 2, 24))
count("x2", size=(10, 12))
print(json.dumps(found))
""", tmp_path)
    assert found == {"first": 1, "cell": 1, "small": 1, "odd": 2, "half": 3, "stored half": 4, "unit": 5, "no skip": 6,
                     "row": 7, "rows": 7, "x2": 8}


def test_kernels_that_were_compiled_beforehand_are_found(tmp_path):
    """Some tests' kernels for sm_90, by two processes; then a launch of the same adds nothing to Triton's cache."""
    cache, tests = tmp_path / "cache", "test_eight_bit_pictures or test_nan_stays_in_its_cell"
    done = subprocess.run([sys.executable, HERE / "warm_triton.py", "--seeds", "some", "--architecture", "sm_90",
                           "--jobs", "2", "-k", tests], capture_output=True, text=True,
                          env={**os.environ, "TRITON_CACHE_DIR": str(cache)})
    assert done.returncode == 0, done.stdout + done.stderr
    said = re.fullmatch(r"(\d+) kernels of 2 tests, 0 of which do not compile for sm_90\n", done.stdout)
    before = sorted(cache.iterdir())
    assert said and len(before) == int(said.group(1)) > 2
    recording("""
import offline_triton, recorded_launches
from triton import knobs
knobs.runtime.jit_cache_hook = None  # compile, or find
compiled = offline_triton.compile_for(offline_triton.target_of("sm_90"))
fields, weights, skip = inputs(PAPERS["lm-liif"], (9, 7), 2)
modulated_mlp(fields, weights, PAPERS["lm-liif"], (33, 26), skip=skip, backend="triton", epilogue="unit",
              dtype=torch.uint8)
print(json.dumps(len(compiled)))
""", tmp_path, TRITON_CACHE_DIR=str(cache))
    assert sorted(cache.iterdir()) == before


def test_a_kernel_that_does_not_compile_is_reported(tmp_path):
    """The other kernels are compiled all the same, and the exit status says so."""
    script = ("import sys, warm_triton\n"
              "from lmf_kernels.backends.triton import modulated_kernel\n"
              "original = modulated_kernel.modulated_mlp_kernel.preload\n"
              "def preload(text):\n"
              "    raise RuntimeError('ptxas is out of registers')\n"
              "modulated_kernel.modulated_mlp_kernel.preload = preload\n"
              "sys.exit(warm_triton.main())\n")
    done = subprocess.run([sys.executable, "-c", script, "--seeds", "some", "--architecture", "sm_80", "--jobs", "1",
                           "-k", "test_nan_stays_in_its_cell"], capture_output=True, text=True, cwd=HERE,
                          env={**os.environ, "TRITON_CACHE_DIR": str(tmp_path)})
    assert done.returncode == 1 and "1 of which do not compile for sm_80" in done.stdout, done.stdout + done.stderr
    assert "modulated_mlp_kernel does not compile: ptxas is out of registers" in done.stderr
    assert list(tmp_path.iterdir()), "the backward kernel should have been compiled"


@pytest.mark.slow
def test_the_tests_compile_few_kernels(tmp_path):
    """All of them but torch.compile's, on the CPU: what fails there is about CUDA graphs, which it has not."""
    environment = {**os.environ, "LMF_TEST_TRITON_RECORD": str(tmp_path), "LMF_TEST_BACKENDS": "triton"}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu and not slow",
                           "-k", "triton and not test_compiled and not in_a_graph"], capture_output=True, text=True,
                          cwd=HERE, env=environment)
    assert done.returncode == 0, done.stdout
    kernels = {}
    for path in tmp_path.iterdir():
        for entry in map(json.loads, path.read_text().splitlines()):
            kernels.setdefault(entry["kernel"], set()).add(entry["key"])
    assert len(kernels["modulated_mlp_kernel"]) <= 200 and len(kernels["modulated_backward_kernel"]) <= 60
