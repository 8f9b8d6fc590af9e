"""Checked by mypy in test_typing.py, never run: every public name as a user writes it, with the type it should have."""

from pathlib import Path
from typing import Any

import lmf_kernels as lmf
import numpy as np
import torch
from lmf_kernels import ops
from lmf_kernels.families import MODULATED_MLP
from lmf_kernels.models import Decoder
from numpy.typing import NDArray
from PIL import Image
from typing_extensions import assert_type


def models(path: Path) -> Decoder:
    model = lmf.load_model(path, device="cpu", dtype=torch.float32, backend="auto")
    assert_type(model, Decoder)
    assert_type(lmf.load_model("lmliif-edsr10"), Decoder)
    lmf.save_model(model, path, metadata={"license": "CC0-1.0", "seed": 7})
    assert_type(lmf.build_model({"name": "liif", "args": {}}), Decoder)
    assert_type(model.backend, str)
    model.backend = "reference"
    model.repack()
    with lmf.use_backend("cpu"):
        assert_type(lmf.backends(), list[dict[str, Any]])
        explanation = lmf.explain(model, points=True)
        assert_type(explanation.runs, str | None)
        assert_type(explanation.refusals, dict[str, str])
    return model


def patching(theirs: torch.nn.Module) -> bool:
    report = lmf.patch(theirs, backend="auto", strict=False)
    assert_type(report, lmf.PatchReport)
    assert_type(report.left, tuple[lmf.PatchedModule, ...])
    assert_type(report.modules[0].reason, str | None)
    lmf.unpatch(theirs)
    return report.modules[0].patched


def pictures(model: Decoder, tensor: torch.Tensor, array: NDArray[np.uint8], floats: NDArray[np.float32]) -> None:
    assert_type(lmf.upscale(model, tensor, scale=3.7), torch.Tensor)
    assert_type(lmf.upscale(model, tensor, size=(90, 160), max_memory="2GB", dtype=torch.uint8, layout="nhwc"),
                torch.Tensor)
    assert_type(lmf.upscale(model, array, 2, tta=True), NDArray[np.uint8])
    assert_type(lmf.upscale(model, floats, (2, 1.5), max_memory=10**9), NDArray[np.float32])
    assert_type(lmf.upscale(model, Image.new("RGB", (8, 8)), 2), Image.Image)
    for y0, rows in lmf.upscale_rows(model, array, scale=30, max_memory="1GB", progress=print):
        assert_type(y0, int)
        assert_type(rows, torch.Tensor)
    print(lmf.upscale_rows(model, tensor, 2).plan.tiles)
    done = lmf.upscale_file(model, Path("in.png"), "out.png", size=(None, 3840), fit="inside", quality=None)
    assert_type(done, lmf.UpscaledFile)
    assert_type(done.size, tuple[int, int])
    assert_type(done.path + done.notes[0], str)
    multiscale = lmf.CMSR({12.0: {2.0: 0.1, 12.0: 1.0}})
    assert_type(lmf.upscale(model, tensor, 12, cmsr=multiscale), torch.Tensor)
    assert_type(multiscale.share, float | None)
    print(lmf.upscale_rows(model, array, 12, cmsr="auto").plan)
    frames = lmf.GraphedUpscaler(model, (180, 320), scale=4, batch=2)
    assert_type(frames(tensor, copy=False), torch.Tensor)
    assert_type(frames.size, tuple[int, int])


def stages(model: Decoder, tensor: torch.Tensor) -> None:
    features = model.encode(tensor)
    fields = model.fields(features, model.rel_cell_of((8, 8), (16, 16)))
    assert_type(model.render_grid(tensor, (16, 16), fields=fields, epilogue="unit", dtype=torch.uint8), torch.Tensor)
    assert_type(model.forward(tensor, torch.rand(1, 5, 2)), torch.Tensor)
    assert_type(model.gen_feat(tensor), torch.Tensor)
    assert_type(model.query_rgb(torch.rand(1, 5, 2), torch.rand(2)), torch.Tensor)
    spec = lmf.RenderSpec("linear", 0, (16, 16))
    assert_type(spec.widths, tuple[int, ...])
    weights = MODULATED_MLP.pack_weights(spec, torch.rand(16, 2), None, [torch.rand(16, 16)],
                                         (torch.rand(3, 16), torch.rand(3)))
    assert_type(weights, torch.Tensor)
    assert_type(MODULATED_MLP.field_channels(spec), int)
    for grid, points in ((ops.modulated_mlp, ops.modulated_mlp_points), (ops.plain_mlp, ops.plain_mlp_points)):
        assert_type(grid(fields, weights, spec, (16, 16), window=(0, 0, 4, 4), skip=tensor), torch.Tensor)
        assert_type(points(fields, weights, spec, torch.rand(1, 5, 2), torch.rand(1, 5, 2)), torch.Tensor)
    assert_type(ops.render_grid(MODULATED_MLP, fields, weights, spec, (16, 16)), torch.Tensor)
    assert_type(ops.render_points(MODULATED_MLP, fields, weights, spec, torch.rand(1, 5, 2), torch.rand(1, 5, 2)),
                torch.Tensor)
    ops.render_cells(MODULATED_MLP, fields, weights, spec, (32, 32), torch.ones(1, 4, 4, dtype=torch.bool), tensor,
                     window=(0, 0, 32, 32), lr_size=(4, 4))
    coarse_to_fine = ops.C2FSpec("linear", 0, (256, 256), (256, 256))
    assert_type(ops.c2f_mlp(fields, weights, coarse_to_fine, (16, 16), lr_size=(4, 4)), torch.Tensor)
    ops.register_family(MODULATED_MLP)


def errors() -> str:
    try:
        models(Path("none.pth"))
    except lmf.CheckpointError as error:
        assert_type(error, lmf.CheckpointError)
        return str(error)
    except (lmf.InputError, lmf.BackendError) as error:
        return str(error)
    return lmf.__version__
