"""Draws docs/time-per-pixel.svg: time per output pixel against the scale, from the newest complete CPU results.

    python -m bench.plot [FILE] [--out SVG]      FILE: a results file of `pytest bench`

Needs matplotlib: pip install '.[bench]'.
"""

import argparse
import json
import pathlib
import sys

from .formats import times

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
SCALES = {"x2": 2, "x3.7": 3.7, "x4": 4, "x12": 12}
TEXT, GRID = "#7b8086", "#7b8086"  # greys that are legible on white and on GitHub's dark background
COLOURS = {"published": "#d1603d", "compiled-published": "#9a6fc4", "ours": "#2f7fd8"}
LABELS = {"published": "the published way", "compiled-published": "torch.compile of it", "ours": "lmf_kernels"}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=pathlib.Path, help="default: the newest complete CPU run")
    parser.add_argument("--out", metavar="SVG", type=pathlib.Path, default=ROOT / "docs" / "time-per-pixel.svg")
    chosen = parser.parse_args(arguments)
    try:
        path = chosen.file or newest()
        draw(json.loads(path.read_text(encoding="utf-8")), chosen.out)
    except (OSError, ValueError) as error:
        print(f"bench.plot: {error}", file=sys.stderr)
        return 2
    print(f"{chosen.out}: drawn from {path.name}")
    return 0


def newest():
    """The complete results file of the CPU's suite that was finished last."""
    runs = {path: json.loads(path.read_text(encoding="utf-8")) for path in RESULTS.glob("*.json")}
    complete = [path for path, run in runs.items() if run["complete"] and run.get("on", "cpu") == "cpu"]
    if not complete:
        raise ValueError(f"there is no complete run of the CPU's suite in {RESULTS}; run pytest bench, or name a file.")
    return max(complete, key=lambda path: runs[path]["finished"])


def draw(run, out):
    """Write the plot of a run's LM-LIIF render stage."""
    plt = pyplot()
    cases = {case["name"]: case for case in run["cases"]}
    ours = {scale: cases[f"cpu/lmliif/{scale}/{run['machine']['isa']}"] for scale in SCALES}
    lines = {way: {scale: cases[f"{way}/lmliif/{scale}"] for scale in SCALES} for way in LABELS if way != "ours"}
    figure, axes = plt.subplots(figsize=(7.6, 3.5))
    for way, found in {**lines, "ours": ours}.items():
        values = [case["ns_per_pixel"] for case in found.values()]
        axes.plot(SCALES.values(), values, color=COLOURS[way], marker="o", linewidth=2.2, markersize=5)
        label = LABELS[way] if way == "ours" else f"{LABELS[way]}\n({times(ours['x12'], way)} times ours)"
        axes.annotate(label, (12, values[-1]), xytext=(12, 0), textcoords="offset points", va="center",
                      color=COLOURS[way], fontweight="bold")
    axes.set(xscale="log", yscale="log", xlim=(1.85, 12.5), ylim=(10, 10000))
    axes.set_title("Render stage of LM-LIIF on a CPU: time per output pixel", loc="left", fontsize=12, color=TEXT)
    axes.set_xlabel("scale", color=TEXT)
    axes.set_xticks(list(SCALES.values()), list(SCALES))
    for tick, side in zip(axes.get_xticklabels()[1:3], ("right", "left")):  # x3.7 and x4 are neighbours
        tick.set_horizontalalignment(side)
    axes.set_xticks([], minor=True)
    axes.set_yticks([10, 100, 1000, 10000], ["10 ns", "100 ns", "1 µs", "10 µs"])
    axes.set_yticks([], minor=True)
    finish(figure, out, axes)


def pyplot():
    """matplotlib.pyplot, set up to write the same SVG for the same numbers, with text as text."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.hashsalt": "lmf_kernels", "svg.fonttype": "none", "font.size": 11,
                                "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"]})
    import matplotlib.pyplot

    return matplotlib.pyplot


def finish(figure, out, *axes):
    """Style the axes, write the figure to `out` whole or not at all, and close it."""
    for each in axes:
        each.tick_params(colors=TEXT, length=0)
        each.grid(axis="y", color=GRID, alpha=0.35, linewidth=0.8)
        each.spines[:].set_visible(False)
    part = out.with_name(f".{out.name}.part")
    figure.savefig(part, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None, "Creator": None})
    pyplot().close(figure)
    part.replace(out)


if __name__ == "__main__":
    sys.exit(main())
