"""Recomputes the efficiency tables of DIIF's paper (arXiv 2306.12321): parameters, multiply-adds (MACs), measured time.

    python -m bench.efficiency                 # measures (about three minutes), writes bench/results/efficiency/*.json
    python -m bench.efficiency --write         # counts, and writes the tables of docs/efficiency.md and the plot

MACs are counted by running each model on tensors: `torch.utils.flop_counter` sees every matrix product and convolution.
The published way is counted on a few LR pixels, as it costs the same for each; the restructured way at the papers'
sizes, without memory. Times are those of the decoder: latent and render stage of features that are there.
"""

import argparse
import json
import pathlib
import sys
import time

import torch
from torch.utils.flop_counter import FlopCounterMode

import python_ref
from lmf_kernels.models import build_model
from lmf_kernels.training.models import named_spec
from python_ref import Options, SliceOptions

from . import config, efficiency_tables, machine, results_file

FOLDER = config.ROOT / "bench" / "results" / "efficiency"
_SLICED = ("diif", "dlte")
# Rows of the tables: model, changes to its args.
ROWS = {
    "LIIF": ("liif", {}), "LTE": ("lte", {}), "DIIF": ("diif", {}), "DLTE": ("dlte", {}),
    "DIIF w/o se": ("diif", {"slice_ensemble": False}), "DIIF cs": ("diif", {"slicing": "constant"}),
    "DIIF c4+f3": ("diif", {"coarse": [256] * 4}), "DIIF c2+f5": ("diif", {"fine": [256] * 4}),
    "LM-LIIF": ("lmliif", {}), "LM-LTE": ("lmlte", {}),
}
SCALES = (2, 3, 4, 6, 12, 16, 18, 24)
TIMED, LR = (2, 4, 12), (45, 80)  # measured scales; LR picture, small enough for the published way
REPEATS = 5


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write docs/efficiency.md and its plot, measure nothing")
    parser.add_argument("--out", type=pathlib.Path, default=FOLDER, metavar="DIR", help="folder of the results")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS))
    chosen = parser.parse_args(arguments)
    if chosen.write:
        efficiency_tables.write(counts(), newest(chosen.out))
        return 0
    torch.set_num_threads(config.THREADS)
    neighbours = machine.Neighbours()
    started = results_file.now()
    times = {row: {f"x{scale}": timed(row, scale) for scale in TIMED} for row in chosen.rows}
    record = {"started": started, "finished": results_file.now(), **results_file.environment(), "lr": LR,
              "repeats": REPEATS, "others": neighbours.share(), "times": times}
    print(results_file.write(record, chosen.out, f"{started[:10]}-{machine.slug()}"))
    return 0


def model_of(row):
    """The row's model with the papers' encoder, EDSR-baseline of 16 blocks and 64 channels."""
    name, changes = ROWS[row]
    spec = named_spec(name, blocks=16)
    return build_model({"name": name, "args": {**spec["args"], **changes}}).eval().requires_grad_(False)


def published(row, model):
    """A function (features, image, size) of the row's decoder the published way."""
    name, _ = ROWS[row]
    kind = SliceOptions if name in _SLICED else Options
    options = kind.from_args(model.spec["args"])
    sd = {key: value for key, value in model.named_parameters() if not key.startswith("encoder.")}
    module = getattr(python_ref, name)

    def run(features, image, size):
        skip = {"skip": image} if model.has_skip else {}
        return module.decode_published(features, sd, size=size, options=options, **skip)

    def restructured(features, image, size):
        skip = {"skip": image} if model.has_skip else {}
        return module.decode(features, sd, size=size, options=options, **skip)

    return run, restructured


def counts():
    """{row: {"parameters", "encoder": MACs an LR pixel, "published": {scale: MACs an LR pixel}, "restructured": {scale:
    MACs of 320x180}}}"""
    found = {}
    for row in ROWS:
        model = model_of(row)
        decoder = sum(p.numel() for name, p in model.named_parameters() if not name.startswith("encoder."))
        side = 4
        features, image = torch.zeros(1, model.encoder.out_dim, side, side), torch.zeros(1, 3, side, side)
        by_paper, _ = published(row, model)
        encoder = _macs(model.encoder, image) / side ** 2
        each = {scale: _macs(by_paper, features, image, (side * scale,) * 2) / side ** 2 for scale in SCALES}
        meta = model_of(row).to("meta")
        _, ours = published(row, meta)
        lr = torch.zeros(1, model.encoder.out_dim, 180, 320, device="meta"), torch.zeros(1, 3, 180, 320, device="meta")
        found[row] = {"parameters": decoder, "encoder": encoder, "published": each, "restructured": {
            scale: _macs(ours, *lr, (180 * scale, 320 * scale)) for scale in SCALES}}
    return found


@torch.no_grad()
def timed(row, scale):
    """{"ours", "published"}: seconds of the decoder at LR to `scale`, best of a few runs, and the output's pixels."""
    model = model_of(row)
    features, image = torch.randn(1, model.encoder.out_dim, *LR), torch.rand(1, 3, *LR) * 2 - 1
    size = (LR[0] * scale, LR[1] * scale)
    by_paper, _ = published(row, model)
    rel_cell = model.rel_cell_of(LR, size)
    ours = lambda: model.render_grid(image, size, fields=model.fields(features, rel_cell))  # noqa: E731
    expected, got = by_paper(features, image, size), ours()
    centre = (slice(None), slice(None), slice(0, -scale), slice(0, -scale))  # published weights vanish at the border
    difference = (got - expected)[centre].abs().max() / expected.abs().max()
    if not difference < 1e-3:
        raise ValueError(f"{row} at x{scale}: the published way differs by {difference:.1e}")
    result = {"pixels": size[0] * size[1]}
    for way, run, repeats in (("ours", ours, REPEATS), ("published", lambda: by_paper(features, image, size), 2)):
        seconds = []
        for _ in range(repeats):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
        result[way] = {"best": min(seconds), "median": sorted(seconds)[len(seconds) // 2], "all": seconds}
    print(f"{row} x{scale}: {result['published']['best'] / result['ours']['best']:.1f} times", file=sys.stderr)
    return result


def newest(folder):
    """The newest results in a folder, or None."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    return max(runs, key=lambda run: run["finished"], default=None)


@torch.no_grad()
def _macs(function, *inputs):
    """Multiply-adds of the matrix products and convolutions in a call."""
    counter = FlopCounterMode(display=False)
    with counter:
        function(*inputs)
    return counter.get_total_flops() / 2


if __name__ == "__main__":
    sys.exit(main())
