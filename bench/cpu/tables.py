"""The tables of a run of `pytest bench`. `bench.tables` prints them and writes them into the README and docs/."""

from bench import formats
from bench.formats import median, number, percent, seconds, size_in_bytes, spread, table, times, wxh
from bench.cmsr import cmsr
from bench.cpu.processors import processors
from bench.quality import quality, robustness

SCALES = ("x2", "x3.7", "x4", "x12")


def headline(run):
    """The gain of a whole picture, then that of the render stage alone."""
    case, whole, published = (run.case(name) for name in (f"cpu/lmliif/x12/{run.isa}", "pipeline/lmf_kernels",
                                                          "pipeline/published"))
    gain = number(median(published) / median(whole)) if whole and published else "-"
    stages, ours = whole.get("stages", {}), seconds(median(whole))
    encoder = stages["encoder"] / sum(stages.values()) if stages else None
    slow, compiled = (times(case, way) for way in ("published", "compiled-published"))
    return (
        f"- **A whole picture {gain} times as fast**: {wxh(whole.get('lr'))} to {wxh(whole.get('size'))} with LM-LIIF "
        f"on the EDSR-baseline encoder takes\n  {ours} instead of {seconds(median(published))}. {percent(encoder)} of "
        f"the {ours} is the encoder, the same network in both.\n"
        f"- **The render stage alone {slow} times as fast** per pixel as the published way, and {compiled} times as "
        f"fast as\n  `torch.compile` of it: {wxh(case.get('lr'))} to {wxh(case.get('size'))} takes "
        f"{seconds(median(case))}.\n")


def plot(run):
    """What stands below docs/time-per-pixel.svg, which bench/plot.py draws from the same run."""
    return caption(run, "float32; " + sizes(run)).lstrip()


def sizes(run):
    """Which inputs are rendered: slow peers get smaller ones."""
    at = {}
    for scale in SCALES:
        at.setdefault(wxh(run.case(f"published/lmliif/{scale}").get("lr")), []).append(scale)
    slow = " and ".join(f"{lr} at {', '.join(scales)}" for lr, scales in at.items())
    return f"ours from {wxh(run.case(f'cpu/lmliif/x12/{run.isa}').get('lr'))}, the published way from {slow}"


def render(run):
    rows = []
    for scale in SCALES:
        case = run.case(f"cpu/lmliif/{scale}/{run.isa}")
        rows.append([f"{scale}, {wxh(case.get('size'))}", spread(case), number(case.get("mpixel_per_s")),
                     f"{number(case.get('ns_per_pixel'))} ({number(case.get('per_pixel_of_x12'))})",
                     number(case.get("gflop_per_s")), percent(case.get("share_of_peak")),
                     *(times(case, way) for way in ("published", "compiled-published", "compiled-reference"))])
    heads = ["output", "time (IQR)", "Mpixel/s", "ns per pixel (x12 = 1)", "GFLOP/s", "of the FMA peak",
             "x published", "x `torch.compile` of it", "x `torch.compile` of the restructured maths"]
    return table(heads, rows) + caption(run, sizes(run))


def peers(run):
    ways = dict.fromkeys(name.split("/")[0] for name, record in run.cases.items() if record["kind"] == "peer")
    rows = []
    for way in ways:
        cells = []
        for scale in SCALES:
            case = run.case(f"{way}/lmliif/{scale}")
            cells.append(f"{number(case['ns_per_pixel'])} ({wxh(case['lr'])})" if case else "-")
        rows.append([way, *cells])
    return table(["ns per pixel (from)", *SCALES], rows) + caption(run)


def isa(run):
    rows = []
    for name in run.machine["isas"]:
        at = {scale: run.case(f"cpu/lmliif/{scale}/{name}") for scale in SCALES}
        rows.append([name, *(seconds(median(at[scale])) for scale in SCALES), number(at["x12"].get("mpixel_per_s")),
                     number(at["x12"].get("peak_gflop_per_s")), percent(at["x12"].get("share_of_peak"))])
    first = table(["instruction set", *SCALES, "Mpixel/s at x12", "its FMA peak, GFLOP/s", "of it at x12"], rows)
    rows = []
    for what, name in VARIANTS.items():
        case = run.case(name.format(isa=run.isa))
        if not case:
            continue
        size = "{} x {} points".format(*case["size"]) if case.get("kind") == "points" else wxh(case.get("size"))
        rows.append([what, size, spread(case), number(case.get("mpixel_per_s")), number(case.get("ns_per_pixel")),
                     percent(case.get("share_of_peak")), times(case, "published")])
    return first + "\n" + table(["case", "output", "time (IQR)", "Mpixel/s", "ns per pixel", "of the FMA peak",
                                 "x published"], rows) + caption(run)


VARIANTS = {
    "LM-LTE, x4": "cpu/lmlte/x4/{isa}",
    "LM-LTE, x12": "cpu/lmlte/x12/{isa}",
    "depth 8, hidden 16": "cpu/hidden16-depth8/x12",
    "depth 6, hidden 24": "cpu/hidden24-depth6/x12",
    "depth 6, hidden 32": "cpu/hidden32-depth6/x12",
    "LM-LIIF, x12, into memory already mapped": "cpu/lmliif-mapped/x12",
    "LM-LIIF, x4, stored as uint8 NHWC": "cpu/lmliif-uint8-nhwc/x4",
    "LM-LIIF, x4, no local ensemble": "cpu/lmliif-no-ensemble/x4",
    "LM-LIIF, random points": "cpu/lmliif/points",
    "LIIF, x2": "cpu/liif/x2/{isa}",
    "LIIF, x4": "cpu/liif/x4/{isa}",
    "LIIF, x4, bfloat16": "cpu/liif-bfloat16/x4/{isa}",
    "LTE, x2": "cpu/lte/x2/{isa}",
    "LTE, x4": "cpu/lte/x4/{isa}",
    "LTE, x4, bfloat16": "cpu/lte-bfloat16/x4/{isa}",
}


def pipeline(run):
    both = [run.case("pipeline/lmf_kernels"), run.case("pipeline/published")]
    rows = []
    for stage in ("encoder", "latent", "render"):
        spent = [case.get("stages", {}).get(stage) for case in both]
        shares = [s / sum(case["stages"].values()) if s else None for s, case in zip(spent, both)]
        rows.append([stage, *(cell for pair in zip(map(seconds, spent), map(percent, shares)) for cell in pair)])
    rows.append(["whole (IQR)", *(cell for case in both for cell in (spread(case), ""))])
    return table(["stage", "lmf_kernels", "share", "published decoder", "share"], rows) + caption(
        run, f"{wxh(both[0].get('lr'))} to {wxh(both[0].get('size'))}, EDSR-baseline with 16 blocks, LM-LIIF")


CALLS = {
    "a call of the operator on a 1x1 map": "call/operator",
    "of it, the compiled function": "call/kernel",
    "for comparison, torch's x + 1": "call/torch-add",
    "render stage of a 48x48 tile at x4": "cpu/lmliif-tile/x4",
}
FIRST = {
    "import_torch": "import torch", "import_lmf_kernels": "import lmf_kernels", "load_model": "load_model",
    "first_upscale": "first upscale of a 48x48 picture to x4", "second_upscale": "second upscale of it",
}
MEMORY = {
    "memory/cpu/lmliif/x12": "LM-LIIF", "memory/cpu/lmlte/x12": "LM-LTE",
    "memory/reference/lmliif/x12": "LM-LIIF on the reference",
    "memory/published/lmliif/x12": "LM-LIIF the published way",
}


def overheads(run):
    rows = [[what, spread(run.case(name))] for what, name in CALLS.items()]
    first = run.facts.get("first_call", {}).get("seconds", {})
    rows += [[f"fresh process: {what}", seconds(first.get(name))] for name, what in FIRST.items()]
    for key, what in MEMORY.items():
        fact = run.facts.get(key, {})
        each = number(fact.get("beyond_bytes_per_pixel"))
        rows.append([f"peak memory beyond inputs and output, {what}, {wxh(fact.get('lr'))} to {wxh(fact.get('size'))}",
                     f"{size_in_bytes(fact.get('beyond_bytes'))} ({each} bytes a pixel)"])
    bits = [fact for key, fact in run.facts.items() if key.startswith("equal_bits/")]
    same = bool(bits) and all(fact["threads"] and fact["bands"] for fact in bits)
    rows.append(["same bits at 1 and 2 threads and in bands, every instruction set", "yes" if same else "no"])
    return table(["what", "cost"], rows) + caption(run)


def training(run):
    rows, last = [], {}
    for what, name in (("a whole step", "step"), ("of it, render stage and back", "render")):
        fused, last = (run.case(f"training/{name}-{way}") for way in ("fused", "torch"))
        ratio = median(last) / median(fused) if fused and last else None
        rows.append([what, spread(fused), spread(last), number(ratio)])
    queries = "{} x {} queries".format(*last["size"]) if last else "-"
    return table(["LM-LIIF", "fused backward", "plain torch", "x plain torch"], rows) + caption(
        run, f"{queries} on patches of {wxh(last.get('lr'))}")


def threads(run):
    idle, busy = (run.facts.get(f"threads/{condition}", {}) for condition in ("idle", "busy"))
    ways = idle.get("time_over_one_thread") or busy.get("time_over_one_thread") or {}
    rows = [[way, *(number(fact.get("time_over_one_thread", {}).get(way, {}).get("median")) for fact in (idle, busy))]
            for way in ways]
    count = idle.get("threads") or busy.get("threads") or "all"
    return table([f"time with {count} threads over that with one", "idle machine", "beside one loop per processor"],
                 rows) + caption(run, f"The built-in model, {wxh(idle.get('lr') or busy.get('lr'))} at x4")


TABLES = {"headline": headline, "plot": plot, "quality": quality, "robustness": robustness, "cmsr": cmsr,
          "render": render, "peers": peers, "isa": isa, "pipeline": pipeline, "overheads": overheads,
          "training": training, "threads": threads, "processors": processors}


def caption(run, first=""):
    versions = run.stored["versions"]
    return formats.caption(run.stored, run.file_name, first, hardware(run),
                           f"torch {versions['torch']}, {versions['compiler']}")


def hardware(run):
    machine = run.machine
    family = f" (family {machine['cpu_family']})" if machine.get("cpu_family") else ""
    return f"{machine['threads']} thread{'s' if machine['threads'] > 1 else ''} of {machine['cpu']}{family}, {run.isa}"
