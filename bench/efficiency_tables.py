"""The tables of docs/efficiency.md and its plot, from the counts and the newest times of `bench.efficiency`."""

from lmf_kernels.files import atomic_write

from . import config, plot

PAGE, PLOT = config.ROOT / "docs" / "efficiency.md", config.ROOT / "docs" / "efficiency.svg"
START, END = "<!-- python -m bench.efficiency --write: from here -->", "<!-- to here -->"
PIXELS = 320 * 180

# As printed in arXiv 2306.12321, table 3: EDSR-baseline, 320x180 input, MACs in T and seconds on an RTX 2080 Ti.
PRINTED = {
    "MetaSR": (457, {2: (0.17, 0.02), 3: (0.29, 0.06), 4: (0.47, 0.16), 6: (0.97, 0.34), 12: (3.75, 1.47),
                     18: (8.34, 3.39), 24: (14.77, 6.05)}),
    "LIIF": (355, {2: (0.38, 0.02), 3: (0.77, 0.51), 4: (1.35, 1.00), 6: (2.94, 2.47), 12: (11.55, 9.81),
                   18: (25.89, 22.06), 24: (45.97, 39.20)}),
    "DIIF": (474, {2: (0.28, 0.03), 3: (0.36, 0.03), 4: (0.48, 0.04), 6: (0.78, 0.22), 12: (2.08, 0.93),
                   18: (3.91, 2.01), 24: (6.28, 3.43)}),
    "LTE": (506, {2: (0.26, 0.02), 3: (0.49, 0.22), 4: (0.80, 0.43), 6: (1.73, 1.02), 12: (6.64, 6.60),
                  18: (14.84, 16.79), 24: (26.32, 30.97)}),
    "DLTE": (347, {2: (0.16, 0.03), 3: (0.23, 0.04), 4: (0.31, 0.09), 6: (0.52, 0.34), 12: (1.54, 1.23),
                   18: (3.09, 2.43), 24: (5.19, 4.14)}),
}
# Table 4, the ablation: 160x90 to x16, parameters in K and MACs in T.
ABLATION = {"LIIF": (355, 5.117), "DIIF w/o se": (356, 0.542), "DIIF cs": (474, 0.512), "DIIF": (474, 0.790),
            "DIIF c4+f3": (609, 0.908), "DIIF c2+f5": (609, 1.292), "LTE": (506, 2.936), "DLTE": (347, 0.613)}
SCALES = (2, 3, 4, 6, 12, 18, 24)


def write(counts, run):
    """Replace the tables in the page, and draw the plot. run: the record of a measurement, or None."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{PAGE} has no lines {START} and {END}")
    parts = [_macs_table(counts), _ablation_table(counts), _times_table(run)]
    with atomic_write(str(PAGE)) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(before + START + "\n" + "\n".join(parts) + "\n" + END + after)
    draw(counts, run)
    print(f"{PAGE}, {PLOT}")


def as_printed(macs):
    """MACs in T by the paper's convention: those below 1 T are printed as G / 1024."""
    return macs / 1e12 if macs >= 1e12 else macs / 1e9 / 1024


def _by_paper(count, scale, pixels=PIXELS):
    return pixels * (count["encoder"] + count["published"][scale])


def _macs_table(counts):
    lines = ["MACs of 320x180 input in T, encoder (EDSR-baseline) included: printed in the paper / counted, by the",
             "paper's way of printing / what this package computes (true T).", "",
             "| model | parameters: printed, counted | " + " | ".join(f"x{s}" for s in SCALES) + " |",
             "|---|---|" + "---|" * len(SCALES)]
    for row in ("MetaSR", *(row for row in counts if row in PRINTED or row.startswith("LM"))):
        parameters, printed = PRINTED.get(row, ("", {}))
        if row not in counts:
            lines.append(f"| {row} | {parameters}K | " + " | ".join(f"{printed[s][0]:.2f}" for s in SCALES) + " |")
            continue
        count = counts[row]
        cells = []
        for s in SCALES:
            ours = (PIXELS * count["encoder"] + count["restructured"][s]) / 1e12
            first = f"{printed[s][0]:.2f}" if printed else "-"
            cells.append(f"{first} / {as_printed(_by_paper(count, s)):.2f} / {ours:.2f}")
        told = f"{parameters}K, {count['parameters']:,}" if parameters else f"-, {count['parameters']:,}"
        lines.append(f"| {row} | {told} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _ablation_table(counts):
    lines = ["160x90 input to x16 (the paper's tables 1 and 4), encoder included:", "",
             "| model | parameters: printed, counted | MACs in T: printed, counted by the paper's way of printing | "
             "decoder's MACs an output pixel: published, restructured |", "|---|---|---|---|"]
    for row, (parameters, macs) in ABLATION.items():
        count = counts[row]
        each = count["published"][16] / 256, count["restructured"][16] / PIXELS / 256
        lines.append(f"| {row} | {parameters}K, {count['parameters']:,} | {macs:.3f}, "
                     f"{as_printed(_by_paper(count, 16, 160 * 90)):.3f} | {each[0]:,.0f}, {each[1]:,.0f} |")
    return "\n".join([*lines, ""])


def _times_table(run):
    if run is None:
        return "There are no measured times yet: `python -m bench.efficiency` writes them.\n"
    scales = list(next(iter(run["times"].values())))
    h, w = run["lr"]
    computer = run["machine"]
    lines = [f"Decoder, {w}x{h} input, {computer['threads']} threads of {computer['cpu']}, float32, microseconds "
             f"an output pixel:", f"the published way / this package (best of {run['repeats']}).", "",
             "| model | " + " | ".join(scales) + " |", "|---|" + "---|" * len(scales)]
    for row, found in run["times"].items():
        cells = []
        for one in found.values():
            each = [one[way]["best"] / one["pixels"] * 1e6 for way in ("published", "ours")]
            cells.append(f"{each[0]:.2f} / {each[1]:.3f} ({each[0] / each[1]:.1f} times)")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def draw(counts, run):
    """MACs an output pixel against the scale, and the measured times beside them if there are any."""
    plt = plot.pyplot()
    colours = {"LIIF": "#d1603d", "LTE": "#9a6fc4", "DIIF": "#2f7fd8", "DLTE": "#3a9a5b",
                                "LM-LIIF": "#b8860b"}
    figure, axes = plt.subplots(1, 2 if run else 1, figsize=(9.2 if run else 5.2, 3.6), squeeze=False)
    left = axes[0][0]
    for row, colour in colours.items():
        count = counts[row]
        left.plot(SCALES, [count["published"][s] / s ** 2 for s in SCALES], color=colour, linewidth=1, linestyle="--")
        left.plot(SCALES, [count["restructured"][s] / PIXELS / s ** 2 for s in SCALES], color=colour, linewidth=2,
                  label=row)
    left.set_title("Decoder: MACs an output pixel\n(dashed: the published way)", loc="left", fontsize=10,
                   color=plot.TEXT)
    if run:
        right = axes[0][1]
        for row, colour in colours.items():
            if row not in run["times"]:
                continue
            found = {int(scale[1:]): one for scale, one in run["times"][row].items()}
            for way, style, width in (("published", "--", 1), ("ours", "-", 2)):
                each = [one[way]["best"] / one["pixels"] * 1e6 for one in found.values()]
                right.plot(list(found), each, color=colour, linestyle=style, linewidth=width)
        right.set_title("Decoder: microseconds an output pixel\n(CPU; dashed: the published way)", loc="left",
                        fontsize=10, color=plot.TEXT)
    for ax in axes[0]:
        ax.set(xscale="log", yscale="log")
        ax.set_xlabel("scale", color=plot.TEXT)
        ax.set_xticks([2, 4, 12, 24] if ax is left else [2, 4, 12], ["x2", "x4", "x12", "x24"][:4 if ax is left else 3])
        ax.set_xticks([], minor=True)
    figure.legend(frameon=False, labelcolor=plot.TEXT, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=len(colours))
    plot.finish(figure, PLOT, *axes[0])
