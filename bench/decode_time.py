"""Decode time against the scale for LIIF, LTE, LM-LIIF and LM-LTE: the published way, and ours. Measures and draws.

    python -m bench.decode_time                              # both, under five minutes on an idle machine
    python -m bench.decode_time --scales 2,3 --seconds 0.2 --results DIR --out SVG
    python -m bench.decode_time --draw FILE                  # the figure of a results file again

Decoding is everything after the encoder: the latent and the render stage, in float32, to pixels in [-1, 1]. The
published way (`python_ref`) is measured up to the scale where a call is expected to take longer than --seconds. Writes
bench/results/decode-time/PROCESSOR.json and docs/decode-time.svg. Needs matplotlib: pip install '.[bench]'.
"""

import argparse
import json
import math
import pathlib
import sys
import time

import torch

import python_ref
from lmf_kernels.request import output_size

from . import cases, config, machine, plot, results_file
from .peers import options_of
from .samples import summary

RESULTS, FIGURE = config.ROOT / "bench" / "results" / "decode-time", config.ROOT / "docs" / "decode-time.svg"
NAMES = {"liif": "LIIF", "lte": "LTE", "lmliif": "LM-LIIF", "lmlte": "LM-LTE"}
SCALES = (2, 3, 4, 6, 8, 12, 16, 20, 24, 30)
LR = (48, 48)
WAYS = {"before": ("the published way", "--"), "after": ("lmf_kernels", "-")}
COLOURS = {"liif": "#d1603d", "lte": "#c79a2b", "lmliif": "#2f7fd8", "lmlte": "#9a6fc4"}
LABELS_UP = {"liif": -7, "lte": 7, "lmliif": -3, "lmlte": 3}  # points, so that labels of lines that meet stay apart
CLOSE = 5e-5  # of the two ways, away from the last row and column, where the published weights are rounding noise


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scales", type=lambda text: tuple(map(float, text.split(","))), default=SCALES, metavar="S,S")
    parser.add_argument("--seconds", type=float, default=4, help="longest call of the published way  [default: 4]")
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS, metavar="DIR")
    parser.add_argument("--out", type=pathlib.Path, default=FIGURE, metavar="SVG")
    parser.add_argument("--draw", type=pathlib.Path, metavar="FILE", help="measure nothing, draw these results")
    chosen = parser.parse_args(arguments)
    if chosen.draw:
        path = chosen.draw
    else:
        path = results_file.write(measure(sorted(chosen.scales), chosen.seconds), chosen.results, machine.slug())
    draw(json.loads(path.read_text(encoding="utf-8")), chosen.out)
    print(f"{path}: results\n{chosen.out}: figure")
    return 0


@torch.no_grad()
def measure(scales, longest):
    """The record of a run: {"lr", "cases": [{"model", "scale", "size", "way", "seconds": summary}], ...}."""
    torch.set_num_threads(config.THREADS)
    neighbours, found = machine.Neighbours(), []
    started = results_file.now()
    for name in NAMES:
        expected = 0.0  # seconds of the published way
        for position, scale in enumerate(scales):
            size = output_size(LR, scale)
            before, after = ways(name, size)
            if position == 0:
                compare(before(), after(), name)
            runs = {"after": after}
            if expected <= longest:
                runs["before"] = before
            for way, run in runs.items():
                samples = timed(run)
                found.append({"model": name, "scale": scale, "size": list(size), "way": way,
                              "seconds": summary(samples)})
                median = found[-1]["seconds"]["median"]
                print(f"{NAMES[name]:8} x{scale:<5g} {way:7} {median * 1e3:10.1f} ms", flush=True)
                if way == "before" and position + 1 < len(scales):
                    expected = min(samples) * (scales[position + 1] / scale) ** 2
    return {**results_file.environment(), "started": started, "finished": results_file.now(), "lr": list(LR),
            "dtype": "float32", "others_share": neighbours.share(), "cases": found}


def ways(name, size):
    """(the published way, ours) as functions without arguments, both from the encoder's features."""
    model, (inp, features) = cases.model(name), cases.features(name, LR)
    module, skip = getattr(python_ref, name), {"skip": inp} if model.has_skip else {}

    def before():
        return module.decode_published(features, model.state_dict(), size=size, options=options_of(model), **skip)

    def after():
        return model.render_grid(inp, size, fields=model.fields(features, model.rel_cell_of(LR, size)))

    return before, after


def compare(before, after, name):
    """Raise ValueError unless both ways give the same pixels."""
    off = (before - after)[:, :, :-1, :-1].abs().max().item()
    if not off <= CLOSE:
        raise ValueError(f"{name}: the published way and ours differ by {off:.2g}, more than {CLOSE}.")


def timed(run, least=0.5, most=15):
    """Seconds of each call: one to warm up, then for `least` seconds, at most `most` calls. A call that takes longer
    counts itself, without a warm-up."""
    samples, begun = [], time.perf_counter()
    while not samples or (time.perf_counter() - begun < least and len(samples) <= most):
        started = time.perf_counter()
        run()
        samples.append(time.perf_counter() - started)
    return samples[1:] or samples


def draw(run, out):
    """Write the figure of a run's record: a pair of lines for each model."""
    plt = plot.pyplot()
    figure, axes = plt.subplots(figsize=(7.6, 4.4))
    for name in NAMES:
        for way, (_, style) in WAYS.items():
            line = [(case["scale"], case["seconds"]["median"]) for case in run["cases"]
                    if case["model"] == name and case["way"] == way]
            axes.plot(*zip(*line), color=COLOURS[name], linestyle=style, marker="o", linewidth=2, markersize=4)
            if way == "after":
                axes.annotate(NAMES[name], line[-1], xytext=(10, LABELS_UP[name]), textcoords="offset points",
                              va="center", color=COLOURS[name], fontweight="bold")
    for label, style in WAYS.values():
        axes.plot([], [], color=plot.TEXT, linestyle=style, linewidth=2, label=label)
    axes.legend(frameon=False, labelcolor=plot.TEXT, loc="upper left")
    axes.set(xscale="log", yscale="log")
    scales = sorted({case["scale"] for case in run["cases"]})
    axes.set_xticks(scales, [f"x{scale:g}" for scale in scales])
    axes.set_xticks([], minor=True)
    medians = [case["seconds"]["median"] for case in run["cases"]]
    powers = range(math.floor(math.log10(min(medians))), math.ceil(math.log10(max(medians))) + 1)
    axes.set_yticks([10.0 ** power for power in powers],
                    [f"{10 ** power:g} s" if power >= 0 else f"{10 ** (power + 3):g} ms" for power in powers])
    axes.set_yticks([], minor=True)
    h, w = run["lr"]
    threads = run["machine"]["threads"]
    axes.set_title(f"Decoding a {w}x{h} picture on a CPU, {threads} thread{'s' * (threads > 1)}", loc="left",
                   fontsize=12, color=plot.TEXT)
    axes.set_xlabel("scale", color=plot.TEXT)
    plot.finish(figure, out, axes)


if __name__ == "__main__":
    sys.exit(main())
