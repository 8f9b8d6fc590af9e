"""From picture to picture: encoder, latent stage and render stage, each one's share, and all three in one CUDA graph.

The encoder is a full EDSR-baseline with random weights (its time does not depend on them), the decoder the golden
LM-LIIF. The published decoder stands behind the same encoder. torch's own defaults hold: convolutions of float32 may
round to TF32.
"""

import torch

import lmf_kernels as lmf
from bench import peers
from lmf_kernels.graphed import capture

from . import clock, renders
from .render_stage import fail
from .run_config import FLOATS, size_of

STAGES = ("encoder", "latent", "render")
SLACK = 3 / 255  # a half pipeline's picture beside float32's, root mean square


@torch.no_grad()
def pipeline(job):
    """The published pipeline, then ours eager and as a graph, for each type."""
    run_config = job.run_config
    cases = [(title("graph", lr, scale, dtype), lr, scale, dtype) for lr, scale in run_config.sizes for dtype in FLOATS
             if not (run_config.dry and dtype == "float16")]
    for name, *case in job.todo(cases, 4):
        try:
            at_size(job, *case)
        except Exception as wrong:
            fail(job, name, wrong)


def title(way, lr, scale, dtype):
    return f"pipeline/{way}/{lr[1]}x{lr[0]}/{scale}/{dtype}"


def at_size(job, lr, scale, dtype):
    run_config, size = job.run_config, size_of(lr, scale)
    model = renders.loaded(run_config, "lmliif", dtype, full=True)
    images = renders.pictures(run_config, lr, 4, dtype, unit=True)
    backend = best(run_config, dtype)
    model.backend = backend
    inputs = [(image,) for image in images]
    expected = published(run_config, lr, size, "float32")(images[0].float())

    def check(picture):
        off = renders.rms(picture.double() - expected.double())
        if not off <= SLACK:
            job.fail(f"pipeline {lr[1]}x{lr[0]} {scale} {dtype} on {backend}: off by {255 * off:.1f} of 255")

    def write(way, timing, **more):
        job.case({"name": title(way, lr, scale, dtype), "kind": "pipeline", "way": way, "backend": backend,
                  "model": "lmliif", "dtype": dtype, "scale": scale, "lr": lr, "size": size,
                  "pixels": size[0] * size[1],
                  "gpixel_per_s": size[0] * size[1] / timing["seconds"]["median"] / 1e9, **timing, **more})

    check(lmf.upscale(model, images[0], size=size))
    write("lmf_kernels", clock.device_time(lambda image: lmf.upscale(model, image, size=size), inputs, run_config))
    frames = lmf.GraphedUpscaler(model, lr, size=size)
    check(frames(images[0]))
    write("graph", clock.device_time(lambda image: frames(image, copy=False), inputs, run_config),
          stages=stages(run_config, model, images[0], size))
    if dtype in ("float32", run_config.half):
        run = published(run_config, lr, size, dtype)
        check(run(images[0].float()))
        write("published", clock.device_time(run, [(image.float(),) for image in images], run_config))


def best(run_config, dtype):
    """The kernel that the pipeline takes: CUDA's where there is one."""
    return next((backend for backend, of in run_config.kernels if of == dtype), "reference")


def stages(run_config, model, image, size):
    """Seconds of each stage on its own, each in a graph of its own: the device's work without gaps."""
    marks, kept = [], {}
    for stage in STAGES:
        def run(stage=stage):
            if stage == "encoder":
                kept["inp"] = image * 2 - 1
                kept["features"] = model.encode(kept["inp"])
                return kept["features"]
            if stage == "latent":
                kept["fields"] = model.fields(kept["features"], model.rel_cell_of(image.shape[-2:], size))
                return kept["fields"]
            return model.render_grid(kept["inp"], size, fields=kept["fields"], epilogue="unit")

        if run_config.device.type == "cuda":
            replay, result = capture(run, run_config.device)
            replay()  # the next stage's inputs are this one's results
            marks.append((replay, result))
        else:
            run()
            marks.append((run, None))
    return {stage: clock.device_time(replay, [()], run_config)["seconds"]["median"]
            for stage, (replay, _) in zip(STAGES, marks)}


def published(run_config, lr, size, dtype):
    """image in [0, 1] -> picture, the published decoder behind the same encoder; half types under autocast."""
    model = renders.loaded(run_config, "lmliif", "float32", full=True)
    render = peers.published_render(model)

    def run(image):
        with torch.autocast(run_config.device.type, FLOATS[dtype], enabled=dtype != "float32"):
            inp = image * 2 - 1
            pixels = render(*peers.published_start(model, inp, model.encode(inp), size))
        return (pixels * 0.5 + 0.5).clamp_(0, 1).view(1, *size, 3).permute(0, 3, 1, 2)

    return run
