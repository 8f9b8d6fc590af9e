"""CMSR with a model that ships: share, time and PSNR on a test set, and time on a larger picture, full beside it.

    python -m bench.cmsr DIR [--model NAME] [--scales 8,12] [--threads N]

DIR: the originals of a test set, such as Set14. Reduces them as `lmf-kernels eval` does and renders them in full and
with the tables of each precision that ships; then the same with one picture of 320x180 at x12, made from the largest
original. Times are of the render stage and of the whole way with the encoder, medians of interleaved rounds, on the
CPU. Writes bench/results/cmsr/NAME.json; `python -m bench.tables` prints the table.
"""

import argparse
import itertools
import json
import os
import pathlib
import statistics
import sys
import time

import numpy as np
import torch
from PIL import Image

from bench import machine, results_file
from bench.formats import number, percent, table
from lmf_kernels import CMSR, built_in, load_model
from lmf_kernels.cli.folder_of_pictures import pictures_in
from lmf_kernels.evaluation import Recipe, degrade, read_hr, score
from lmf_kernels.upscale import run_stages

RESULTS = pathlib.Path(__file__).resolve().parent / "results" / "cmsr"
LARGE, LARGE_SCALE = (180, 320), 12
ROUNDS = {"set": 5, "large": 7}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="DIR")
    parser.add_argument("--model", default=built_in.default(), metavar="NAME")
    parser.add_argument("--scales", default="8,12", metavar="S,S")
    parser.add_argument("--threads", type=int, metavar="N", help="default: torch's")
    parser.add_argument("--out", type=pathlib.Path, default=RESULTS, metavar="FOLDER")
    chosen = parser.parse_args(arguments)
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    started, neighbours = results_file.now(), machine.Neighbours()
    model = load_model(chosen.model, backend="cpu")
    ways = {"full": None, **{f"{precision:g}": path for precision, path
                             in sorted(built_in.cmsr_tables(chosen.model).items())}}
    originals = [read_hr(path) for path in pictures_in(chosen.folder)]
    cases = [measured(model, ways, [degrade(hr, scale) for hr in originals], scale, ROUNDS["set"])
             for scale in map(float, chosen.scales.split(","))]
    large = measured(model, ways, [(None, large_picture(originals))], LARGE_SCALE, ROUNDS["large"])
    record = {
        "model": chosen.model, "set": os.path.basename(os.path.normpath(chosen.folder)), "started": started,
        "finished": results_file.now(), **results_file.environment(), "threads": torch.get_num_threads(),
        "others_share": neighbours.share(), "recipe": str(Recipe()), "cases": cases,
        "large": {"lr": LARGE, **large},
    }
    print(results_file.write(record, chosen.out, chosen.model))
    return 0


def large_picture(originals):
    """A picture of LARGE from the middle of the largest original, reduced as `degrade` does."""
    hr = max(originals, key=lambda hr: hr.shape[0] * hr.shape[1])
    scale = min(hr.shape[0] / LARGE[0], hr.shape[1] / LARGE[1])
    tall, wide = (int(side * scale) for side in LARGE)
    top, left = (hr.shape[0] - tall) // 2, (hr.shape[1] - wide) // 2
    crop = Image.fromarray(hr[top:top + tall, left:left + wide])
    return np.asarray(crop.resize(LARGE[::-1], Image.Resampling.BICUBIC))


@torch.no_grad()
def measured(model, ways, pictures, scale, rounds):
    """One record: {"scale", "ways": {way: {"share", "psnr", "render", "whole": seconds}}}.

    pictures: [(original or None, LR (h, w, 3) uint8)]. share and psnr: means over the pictures, None where there is
    nothing to compare. Seconds: those of all pictures together, {"median", "low", "high"} over the rounds.
    """
    inputs = [torch.from_numpy(lr.copy()).permute(2, 0, 1)[None].float() / 255 for _, lr in pictures]
    sizes = [tuple(int(n * scale) for n in lr.shape[:2]) if hr is None else hr.shape[:2] for hr, lr in pictures]
    found, spent = {}, {way: {"render": [], "whole": []} for way in ways}
    for turn, (way, path) in itertools.product(range(rounds + 1), ways.items()):
        shares, scores, clock = [], [], Clock()
        for (hr, _), image, size in zip(pictures, inputs, sizes):
            cmsr = None if path is None else CMSR(path)
            clock.start()
            pixels = run_stages(model, image, size, dtype=torch.uint8, layout="nhwc", cmsr=cmsr, on_stage_end=clock)
            shares.append(1.0 if cmsr is None else cmsr.share)
            if turn == 0 and hr is not None:
                scores.append(score(pixels[0].numpy(), hr, scale).psnr)
        if turn == 0:  # which also warms up
            found[way] = {"share": statistics.mean(shares), "psnr": statistics.mean(scores) if scores else None}
        else:
            spent[way]["render"].append(clock.stages["render"])
            spent[way]["whole"].append(sum(clock.stages.values()))
    for way, times in spent.items():
        found[way] |= {name: {"median": statistics.median(each), "low": min(each), "high": max(each)}
                       for name, each in times.items()}
    return {"scale": scale, "pictures": len(pictures), "rounds": rounds, "ways": found}


class Clock:
    """Seconds of each stage, summed."""

    def __init__(self):
        self.stages = {}

    def start(self):
        self._last = time.perf_counter()

    def __call__(self, stage):
        now = time.perf_counter()
        self.stages[stage] = self.stages.get(stage, 0) + now - self._last
        self._last = now


# The table

def cmsr(run):
    """What CMSR renders, costs and changes, by precision. run: unused, as it has a results file of its own."""
    stored = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    if not stored:
        return "\n"
    return "\n".join(map(_table, stored))


def _table(record):
    height, width = record["large"]["lr"]
    parts = [(f"{record['set']}, x{case['scale']:g}", case) for case in record["cases"]]
    parts.append((f"{width}x{height}, x{record['large']['scale']:g}", record["large"]))
    rows = [[what, way, *cells(found, case["ways"]["full"])] for what, case in parts
            for way, found in case["ways"].items()]
    busy = record["others_share"]
    beside = "" if busy is None or busy <= 0.03 else f"; others used {busy:.0%} of the machine during the run"
    return table(["pictures", "precision", "share rendered", "PSNR, dB", "render stage", "times as fast",
                  "whole picture, times as fast"], rows) + (
        f"\n<sub>{record['model']}; {record['threads']} threads of {record['machine']['cpu']}; medians of "
        f"{record['large']['rounds']} rounds; {record['recipe']}{beside}.</sub>\n")


def cells(found, full):
    """The numbers of one way, beside those of full rendering."""
    psnr, base = found["psnr"], full["psnr"]

    def gain(what):
        return number(full[what]["median"] / found[what]["median"])

    return [percent(found["share"]), "-" if psnr is None else f"{psnr:.3f} ({psnr - base:+.3f})",
            f"{found['render']['median'] * 1e3:.0f} ms", gain("render"), gain("whole")]


if __name__ == "__main__":
    sys.exit(main())
