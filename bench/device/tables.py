"""The tables of a run of bench/device.sh. `bench.tables` prints them and writes them into docs/."""

from bench import formats
from bench.formats import median, number, percent, seconds, size_in_bytes, spread, table, times, wxh

TYPES = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
NAMES = {"lmliif": "LM-LIIF", "lmlte": "LM-LTE", "lmciaosr": "LM-CiaoSR", "liif": "LIIF", "lte": "LTE",
         "diif": "DIIF", "dlte": "DLTE"}


def headline(run):
    """The fastest kernel whose tests passed, at the largest scale of LM-LIIF."""
    able = [case for case in rendered(run) if case["model"] == "lmliif" and case["scale"] == "x12"]
    if not able:
        return "No kernel of LM-LIIF's render stage at x12 is among the results.\n"
    case = min(able, key=median)
    return (f"LM-LIIF's render stage, {wxh(case['lr'])} to {wxh(case['size'])}, {case['backend']} "
            f"{TYPES[case['dtype']]}, {case['device']}: **{seconds(median(case))}**, {number(case['gpixel_per_s'])} "
            f"Gpixel/s.\nPer pixel {times(case, 'published/float32')} times as fast as the published way in eager fp32 "
            f"and {times(case, 'compiled-published/float32')} times as fast as `torch.compile` of it, on the same "
            "GPU.\n")


def render(run):
    """Every kernel and peer, by model and size, the fastest first."""
    rows = []
    own = rendered(run, tested=False)
    places = dict.fromkeys((case["model"], tuple(case["lr"]), case["scale"]) for case in own + peers(run))
    for model, lr, scale in places:
        here = [case for case in own + peers(run) if (case["model"], tuple(case["lr"]), case["scale"]) ==
                (model, lr, scale)]
        for case in sorted(here, key=median):
            rows.append([f"{NAMES[model]} {scale}, {wxh(case['size'])}", f"{case['backend']} {TYPES[case['dtype']]}",
                         spread(case), clock(case), number(case["gpixel_per_s"]), percent(case.get("share_of_matmul")),
                         percent(case.get("share_of_mma_sync")), percent(case.get("share_of_copy")),
                         times(case, "published/float32"), times(case, "compiled-published/float32"),
                         {True: "yes", False: "no"}[case["numerics_passed"]] if case["kind"] == "render" else ""])
    heads = ["output", "way", "time (IQR)", "SM clock", "Gpixel/s", "of the matmul rate", "of mma.sync",
             "of the copy rate", "x published fp32", "x `torch.compile` of it", "tests passed"]
    return table(heads, rows) + caption(run, ceilings(run))


def pipeline(run):
    """Whole pipelines; the stages' shares are those of the graph."""
    rows = []
    for case in run.cases.values():
        if case["kind"] != "pipeline":
            continue
        stages = case.get("stages", {})
        shares = [percent(stages[name] / sum(stages.values())) if stages else ""
                  for name in ("encoder", "latent", "render")]
        rows.append([f"{case['scale']}, {wxh(case['size'])}", case["way"], TYPES[case["dtype"]],
                     case["backend"] if case["way"] != "published" else "", spread(case), *shares])
    return table(["output", "pipeline", "type", "render on", "time (IQR)", "encoder", "latent", "render"], rows
                 ) + caption(run, "LM-LIIF behind an EDSR-baseline of 16 blocks")


def training(run):
    """The render stage there and back and the whole step, each beside plain torch."""
    rows = []
    plain = {(case["kind"], case["model"]): case for case in run.cases.values() if case.get("backend") == "torch"}
    for case in run.cases.values():
        if case["kind"] not in ("gradients", "step") or case["backend"] == "torch":
            continue
        other = plain.get((case["kind"], case["model"]))
        what = {"gradients": "render stage there and back", "step": "whole step, EDSR 10 x 64"}[case["kind"]]
        rows.append([f"{NAMES[case['model']]}, {what}", case["backend"], spread(case), spread(other),
                     number(median(other) / median(case) if other else None),
                     {True: "yes", False: "no", None: ""}[case.get("numerics_passed")]])
    sizes = {"{} x {} queries on patches of {}".format(*case["size"], wxh(case["lr"])) for case in plain.values()
             if case["kind"] == "step"}
    heads = ["float32", "gradients by", "time (IQR)", "plain torch", "x plain torch", "tests passed"]
    return table(heads, rows) + caption(run, "; ".join(sizes))


def overheads(run):
    """Calls, latency, memory, first call, and what the tests and the sanitizer said."""
    rows = [[case["name"].replace("/", " "), spread(case)] for case in run.cases.values()
            if case["kind"] in ("call", "latency")]
    for key, fact in run.facts.items():
        if key.startswith("memory/"):
            rows.append([f"peak memory beyond inputs and output, {key.removeprefix('memory/').replace('/', ' ')}",
                         size_in_bytes(fact["beyond_bytes"])])
    first = run.facts.get("first_call", {})
    rows += [[f"fresh process, {first['backend']} {TYPES[first['dtype']]}: {name.replace('_', ' ')}", seconds(value)]
             for name, value in first.get("seconds", {}).items()]
    for key, fact in run.facts.items():
        if key.startswith("tests/"):
            counts = [f"{fact[word]} {word}" for word in ("passed", "failed", "skipped")]
            rows.append([f"tests on the device, {key.removeprefix('tests/')}",
                         ", ".join([*counts, *(["stopped before the end"] if fact["stopped"] else [])])])
    for tool, clean in (run.facts.get("sanitizer") or {}).items():
        rows.append([f"small renders watched by {tool}", "clean" if clean else "not clean"])
    return table(["what", "cost"], rows) + caption(run)


PARTS = {  # of bench/device/plan.py, that must have run before the README takes a table
    "gpu-headline": ("tests", "render", "peers", "compiled"), "gpu-render": ("tests", "render"),
    "gpu-pipeline": ("pipeline",), "gpu-training": ("gradient-tests", "gradients"), "gpu-overheads": ("overheads",)}
TABLES = {"gpu-headline": headline, "gpu-render": render, "gpu-pipeline": pipeline, "gpu-training": training,
          "gpu-overheads": overheads}


def ready(run):
    """The tables whose parts have run to their end without a failure."""
    parts = run.stored["parts"]
    ended = {name for name, part in parts.items() if not part["failures"] and name not in run.stored["missing"]}
    return [name for name, needed in PARTS.items() if ended.issuperset(needed) and not run.stored["quick"]]


def clock(case):
    """The multiprocessors' clock when a case's last round had ended."""
    return f"{case['sm_clock_mhz'][-1]} MHz" if case.get("sm_clock_mhz") else "-"


def rendered(run, tested=True):
    """The kernels' records; tested: only those whose tests passed on this GPU and these sources."""
    return [case for case in run.cases.values() if case["kind"] == "render" and (case["numerics_passed"] or not tested)]


def peers(run):
    return [case for case in run.cases.values() if case["kind"] == "peer"]


def ceilings(run):
    """The measured rates that shares refer to."""
    rates = run.facts.get("rates")
    if not rates:
        return ""
    products = ", ".join(f"{TYPES[name]} {number(rate / 1e12)}" for name, rate in rates["matmul_flop_per_s"].items())
    return f"matmul {products} TFLOP/s, copy {number(rates['copy_bytes_per_s'] / 1e12)} TB/s"


def caption(run, first=""):
    device = run.facts.get("device", {})
    return formats.caption(run.stored, run.file_name, first, device.get("name"),
                           f"torch {run.stored['versions']['torch']}",
                           f"driver {device['driver']}" if device.get("driver") else "")
