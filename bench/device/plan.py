"""What runs when: three calls of at most nine minutes each, for machines that cut a command off after ten.

Plain data, imported without torch, so that any machine can print it: `bench/device.sh --plan`. The seconds expected are
counted (cases times what one should take), not measured. A part may take longer than its limit by what the parts before
it left over.
"""

from typing import NamedTuple
from collections.abc import Callable

CALL = 540  # seconds, from the start of bench/device.sh
BUILD, BUILD_EXPECTED = 150, 60  # seconds; bench/device.sh keeps to the first
CLOSING = 10  # seconds, for the tables
TRAIN = "train"  # the one part without a limit: it takes what is left, and no record waits for it


class Part(NamedTuple):
    """One process. work: "module:function" of this package, imported in that process; gets a part.Job."""

    name: str
    work: str | Callable
    limit: float  # seconds
    base: float = 0  # seconds expected without cases: start, CUDA, models, pictures
    what: str = ""
    cases: int = 0
    each: float = 0  # seconds expected of a case

    @property
    def expected(self):
        return round(self.base + self.cases * self.each)


# First in each call: which GPU it is decides which earlier records go with the new ones.
GPU_INFO = Part("gpu-info", "gpu_info:gpu_info", 20, 10, "the GPU, its clocks, the versions")
TRAINING = Part(TRAIN, "train:train", 0, 0, "with --train DATA: EDSR-baseline LM-LIIF, with what is left of the call")

CALLS = {
    1: ("our CUDA kernels", (
        GPU_INFO,
        Part("self-tests", "self_tests:self_tests", 10, 6, "a tile by wgmma where the GPU has it; else nothing"),
        Part("tests", "device_tests:kernel_tests", 70, 45, "numerics of the CUDA kernels: without them no time counts"),
        # 7 sizes, 2 models, 3 types
        Part("render", "render_stage:kernels", 80, 8, "CUDA kernels at every size in fp16, bf16, fp32", 42, 1.2),
        # 4 models at 3 scales in fp16 and one in bf16
        Part("dense", "render_stage:dense_kernels", 40, 8, "CUDA kernels of DIIF, LIIF, DLTE, LTE in fp16, bf16", 16,
             1.2),
        Part("rates", "rates:rates", 20, 12, "the ceilings: copy, matrix products, mma.sync in registers"),
        Part("ncu", "counters:counters", 50, 40, "hardware counters of one launch of each kernel"),
        Part("memcheck", "sanitizer:memcheck", 50, 35, "small renders by the CUDA kernels under memcheck"),
        Part("other-tests", "device_tests:other_tests", 40, 30, "the other tests marked gpu, without Triton's"),
    )),
    2: ("Triton's kernels, peers, pipeline", (
        GPU_INFO,
        Part("triton-tests", "device_tests:triton_tests", 95, 50, "numerics of the Triton kernels"),
        Part("triton-render", "render_stage:triton_kernels", 105, 8, "Triton kernels at every size; each compiles", 42,
             2.0),
        # 3 sizes, 2 models: 3 kernels, the reference in 3 types, the published way in 2
        Part("peers", "render_stage:peers", 80, 8, "the reference and the published way at x12, x4, x2, the CUDA "
             "kernels again beside them", 48, 1.2),
        Part("pipeline", "pipeline:pipeline", 80, 8, "picture to picture, one CUDA graph, each stage", 21, 2.5),
    )),
    3: ("gradients, overheads, compiled peers", (
        GPU_INFO,
        Part("gradient-tests", "device_tests:gradient_tests", 100, 75, "numerics of the Triton backward kernels"),
        Part("gradients", "gradients:gradients", 55, 40, "a training step's render stage there and back, whole step"),
        Part("racecheck", "sanitizer:racecheck", 50, 40, "small renders under racecheck; Triton's under memcheck"),
        Part("overheads", "overheads:overheads", 50, 40, "host time of a call, a tile's latency, memory, first call"),
        Part("compiled", "render_stage:compiled", 105, 8, "torch.compile of the published way at x12, x4", 6, 15),
        TRAINING,
    )),
}
PARTS = tuple(dict.fromkeys(part for _, parts in CALLS.values() for part in parts))
NEEDED = tuple(part.name for part in PARTS if part.name != TRAIN)  # for a complete record


def parts_of(call, only=None, train=False):
    """The parts of a call (None: of all), of those the ones named in `only` (None: all) and always the first one."""
    chosen = PARTS if call is None else CALLS[call][1]
    return [part for part in chosen if part is GPU_INFO or (part.name == TRAIN and train) or
            (part.name != TRAIN and (only is None or part.name in only))]


def limits(call):
    """Seconds that the parts of a call may take together, building and closing included."""
    return BUILD + sum(part.limit for part in CALLS[call][1]) + CLOSING


def described():
    """The plan as text."""
    lines = []
    for call, (title, parts) in CALLS.items():
        rows = [("build", BUILD_EXPECTED, BUILD, "for the GPU at hand; a wheel (--wheel FILE) takes seconds"),
                *((part.name, part.expected, part.limit, part.what) for part in parts if part.name != TRAIN),
                ("closing", CLOSING // 2, CLOSING, "the results file and the tables")]
        lines += [f"call {call}: {title}", f"  {'part':15} {'expected':>8} {'limit':>6}  what"]
        lines += [f"  {name:15} {expected:6} s {limit:4} s  {what}" for name, expected, limit, what in rows]
        lines.append(f"  {'together':15} {sum(row[1] for row in rows):6} s {limits(call):4} s  of {CALL} s")
        if TRAINING in parts:
            lines.append(f"  {TRAIN:15} {'':8} {'':6}  {TRAINING.what}")
        lines.append("")
    return "\n".join(lines + ["The seconds expected are counted, not measured: nothing here has run on a GPU yet."])
