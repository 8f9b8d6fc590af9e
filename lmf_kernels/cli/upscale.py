"""`lmf-kernels upscale IN OUT`: a picture file in, a larger picture file out."""

import re
import time

import click


class _Size(click.ParamType):
    """WxH, as people write picture sizes; becomes (H, W), as tensors have them."""

    name = "WxH"

    def convert(self, value, param, ctx):
        match = re.fullmatch(r"([0-9]{1,9})[xX]([0-9]{1,9})", value)
        if not match:
            self.fail(f"{value!r} is not a size such as 3840x2160 (width x height).", param, ctx)
        return int(match[2]), int(match[1])


@click.command()
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option("--scale", type=float, metavar="S", help="Factor, such as 3.7.")
@click.option("--size", type=_Size(), help="Output size in place of a factor, such as 3840x2160.")
@click.option("--model", "model_file", required=True, metavar="FILE", help="Checkpoint: .pth, .pt or .safetensors.")
@click.option("--backend", default="auto", metavar="NAME", show_default=True, help="One that `info` lists.")
@click.option("--device", default="cpu", show_default=True, help="Where to run: cpu, cuda, cuda:1.")
@click.option("--threads", type=click.IntRange(1, 4096), metavar="N", help="CPU threads; the default is torch's.")
def upscale(source, target, scale, size, model_file, backend, device, threads):
    """Upscale the picture IN to OUT by any factor or to any size. OUT's suffix names its format."""
    if (scale is None) == (size is None):
        raise click.UsageError("Give either --scale or --size" + ("." if size is None else ", not both."))
    from .. import checkpoints, images
    from ..upscale import check_request, output_size, run_stages

    import torch

    if threads:
        torch.set_num_threads(threads)
    clock = _Clock()
    images.check_output(target)
    picture = images.read_image(source)
    clock("read picture")
    output_size(picture.shape[-2:], scale, size)  # a bad factor is told before the model is read
    model = checkpoints.load_model(model_file, device=device, dtype=torch.float32, backend=backend)
    clock("load model")
    picture = picture.to(next(model.parameters()).device)
    if picture.is_cuda:
        clock.settle = lambda: torch.cuda.synchronize(picture.device)
    size = check_request(model, picture, scale, size)
    with torch.no_grad():
        pixels = run_stages(model, picture, size, dtype=torch.uint8, layout="nhwc", finished=clock)
    images.write_image(target, pixels[0])
    clock("write picture")
    height, width = picture.shape[-2:]
    count = sum(parameter.numel() for parameter in model.parameters())
    click.echo(f"model    {model_file}: {model.name}, {count} parameters", err=True)
    click.echo(f"ran on   {_ran_on(torch, model)}", err=True)
    click.echo(f"picture  {width}x{height} to {size[1]}x{size[0]} "
               f"(x{size[1] / width:.3f} by x{size[0] / height:.3f}), {target}", err=True)
    click.echo("seconds  " + ", ".join(f"{stage} {spent:.3f}" for stage, spent in clock.stages), err=True)


class _Clock:
    """Seconds since the last call, stage by stage."""

    def __init__(self):
        self.stages = []
        self.settle = lambda: None  # a GPU works on after a call returns: waits for it
        self._last = time.perf_counter()

    def __call__(self, stage):
        self.settle()
        now = time.perf_counter()
        self.stages.append((stage, now - self._last))
        self._last = now


def _ran_on(torch, model):
    """The backend that rendered, in words, with what the other stages ran on."""
    from ..backends import describe
    from ..explanation import explain

    runs = explain(model, finish="unit", dtype=torch.uint8).runs
    detail = {row["name"]: row["detail"] for row in describe()}[runs]
    device, threads = next(model.parameters()).device, torch.get_num_threads()
    return f"{runs} ({detail}); torch {torch.__version__} on {device}, {threads} CPU thread{'s' * (threads > 1)}"
