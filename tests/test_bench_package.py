"""The package bench: which lmf_kernels it measures, what its reference is, and what both suites share."""

import os
import pathlib
import random
import subprocess
import sys

import pytest
import torch
from bench import checks, operations, results_file, samples
from lmf_kernels import ops
from lmf_kernels.families import C2F_MLP, MODULATED_MLP, PLAIN_MLP, C2FSpec, RenderSpec
from python_ref import geometry

ROOT = pathlib.Path(__file__).resolve().parent.parent


def test_the_installed_package_goes_before_the_source_folder(tmp_path):
    (tmp_path / "lmf_kernels").mkdir()
    (tmp_path / "lmf_kernels" / "__init__.py").touch()
    code = "import bench, importlib.util; print(importlib.util.find_spec('lmf_kernels').origin)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(tmp_path)},
                          capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "lmf_kernels" / "__init__.py")


def test_summary_of_samples():
    found = samples.summary([4.0, 1.0, 2.0, 3.0, 5.0])
    assert found == {"median": 3, "min": 1, "max": 5, "q1": 2, "q3": 4, "iqr": 2, "samples": [4, 1, 2, 3, 5]}
    assert samples.summary([2.0]) == {"median": 2, "min": 2, "max": 2, "q1": 2, "q3": 2, "iqr": 0, "samples": [2]}


def test_a_results_file_is_written_whole_or_not_at_all(tmp_path):
    path = results_file.write({"a": 1}, tmp_path / "new", "name")
    assert path == tmp_path / "new" / "name.json" and path.read_text() == '{\n "a": 1\n}\n'
    with pytest.raises(TypeError):
        results_file.write({"a": object()}, tmp_path / "new", "name")
    assert [one.name for one in path.parent.iterdir()] == ["name.json"] and '"a": 1' in path.read_text()


@pytest.mark.parametrize("head", ["linear", "fourier"])
@pytest.mark.parametrize("ensemble", [True, False])
def test_the_reference_of_a_window_is_that_part_of_the_whole(head, ensemble, seed):
    """Though it reads only the LR rows and columns of the window."""
    spec = RenderSpec(head, 0 if head == "linear" else 8, (8, 8), ensemble)
    fields = torch.randn(1, 7, 9, MODULATED_MLP.field_channels(spec), dtype=torch.float64)
    weights = torch.randn(MODULATED_MLP.weight_count(spec), dtype=torch.float64)
    skip = torch.randn(1, 3, 7, 9, dtype=torch.float64)
    size = random.choice([(23, 31), (7, 9), (84, 108), (5, 6)])
    whole = ops.modulated_mlp(fields, weights, spec, size, skip=skip, dtype=torch.float64, backend="reference")
    for window in checks.crops(size):
        y, x, rows, cols = window
        part = checks.reference_window(MODULATED_MLP, spec, fields, weights, size, window, skip)
        torch.testing.assert_close(part, whole[:, :, y:y + rows, x:x + cols], rtol=0, atol=1e-11)  # another matmul size


def test_operations_of_the_papers_networks():
    """By hand: LM-LIIF, LM-LTE, LIIF, LTE."""
    for spec, macs in ((RenderSpec("linear", 0, (16,) * 6), 5 * 256 + 5 * 16),
                       (RenderSpec("fourier", 16, (16,) * 8), 8 * 256 + 3 * 16),
                       (RenderSpec("linear", 0, (256,) * 4), 3 * 65536 + 5 * 256),
                       (RenderSpec("fourier", 256, (256,) * 3), 3 * 65536 + 3 * 256)):
        assert operations.macs_per_corner(spec) == macs


@pytest.mark.parametrize("size", [(21, 10), (14, 15), (7, 5), (3, 40)])
def test_corners_that_count(size):
    """Against the corners of the reference, pixel by pixel."""
    lr = (7, 5)
    queries = geometry.grid_queries(lr, size, dtype=torch.float64)
    counted = {False: 1, True: 1}
    for axis in (queries.y, queries.x):
        cells = [tuple(c for c, w in zip(pair, weights) if w > 0) for pair, weights in zip(
            torch.stack(list(axis.cells), -1).flatten(0, -2).tolist(),
            torch.stack(list(axis.weights), -1).flatten(0, -2).tolist())]
        counted[False] *= sum(map(len, cells))
        counted[True] *= sum(len(set(pair)) for pair in cells)
    for distinct, count in counted.items():
        assert operations.grid_corners(lr, size, distinct=distinct) == count
    spec = RenderSpec("linear", 0, (256,) * 4)
    assert operations.grid_flop(spec, lr, size, PLAIN_MLP) == 2 * operations.macs_per_corner(spec) * counted[True]


def test_the_operations_of_slices():
    """In units of a 256-wide layer: a cell at scale s takes s (6 + s) of DIIF, s (10 + s) of DLTE."""
    lr, s = (3, 5), 4
    size, cells, layer = (s * 3, s * 5), 3 * 5, 256 * 256
    diif, dlte = C2FSpec("linear", 0, (256, 256), (256, 256)), C2FSpec("fourier", 256, (256, 256), (256, 256))
    out = 3 * 256 * s * s
    assert operations.slices_macs(diif, lr, size) == cells * (s * (6 + s) * layer + 4 * s * 6 * 256 + out)
    assert operations.slices_macs(dlte, lr, size) == cells * (s * (10 + s) * layer + out)
    constant = diif._replace(slicing="constant")
    assert operations.slices_macs(constant, lr, size) == cells * ((4 + 4 + s * s) * layer + 4 * 6 * 256 + out)
    alone = diif._replace(slice_ensemble=False)
    assert operations.grid_flop(alone, lr, size, C2F_MLP) == 2 * cells * (s * (2 + s) * layer + s * 6 * 256 + out)


def test_a_wrong_number_is_found():
    right = torch.zeros(1, 3, 2, 2, dtype=torch.float64) + 1
    checks.compare(right.float(), right, "x")
    for wrong in (right.float() + 2e-5, right.float() * torch.nan, right.float()[..., :1]):
        with pytest.raises(checks.WrongResult):
            checks.compare(wrong, right, "x")
