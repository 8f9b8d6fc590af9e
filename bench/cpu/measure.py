"""One case from first call to record: check, warm up, time in rounds, check again, record.

Before every round the machine's multiply-add rate is measured in registers, with the instruction set and threads of
the case. The best of all these in a run is the peak that every case of that instruction set is held against; how far
they fall beside a case shows a disturbed machine. Rounds are pytest-benchmark's (`pedantic`, one call a round): medians
and quartiles are computed from all of them.
"""

import itertools
import time

from lmf_kernels import _cpu

from bench import config
from bench.samples import summary


def timed(benchmark, results, name, run, inputs, *, check=None, pixels=None, flop=None, rounds=config.ROUNDS,
          iterations=1, compiles=False, **facts):
    """Measure `run(*inputs[i])` over the inputs in turn and append a record to `results`.

    check(output, *inputs) raises where the output is wrong. pixels: output pixels of a call. flop: its operations
    (`operations`). rounds: (least, most). iterations: calls per round, for calls too short to time one by one; then all
    calls take the first input. compiles: the first call compiles, and says nothing of the next. facts: what else the
    record says, `kind` at least. Returns the record, None with --benchmark-disable.
    """
    started = time.perf_counter()
    output = run(*inputs[0])
    estimate = time.perf_counter() - started
    first_call = estimate
    if check:
        check(output, *inputs[0])
    if estimate < 1 or compiles:  # other long calls need no second warm-up
        started = time.perf_counter()
        output = run(*inputs[-1])
        estimate = time.perf_counter() - started
    del output

    peaks, turns, current = [], itertools.cycle(inputs), []

    def setup():
        if flop:
            peaks.append(_cpu.fma_rate(config.PEAK_SECONDS, config.THREADS))
        current[:] = next(turns)
        return tuple(current), {}

    benchmark.group, benchmark.name = facts["kind"], name
    count = min(max(int(config.SECONDS / max(estimate * iterations, 1e-9)), rounds[0]), rounds[1])
    if iterations > 1:
        current[:] = inputs[0]
        output = benchmark.pedantic(run, args=inputs[0], rounds=count, iterations=iterations)
    else:
        output = benchmark.pedantic(run, setup=setup, rounds=count)
    if check:
        check(output, *current)
    if benchmark.stats is None:
        return None
    record = {"name": name, **facts, "rounds": count, "iterations": iterations, "first_call_s": first_call,
              "seconds": summary(list(benchmark.stats.stats.data))}
    _add_rates(record, pixels, flop, peaks)
    benchmark.extra_info.update({k: v for k, v in record.items() if k != "seconds"})
    results.cases.append(record)
    return record


def _add_rates(record, pixels, flop, peaks):
    median = record["seconds"]["median"]
    if pixels:
        record |= {"pixels": pixels, "mpixel_per_s": pixels / median / 1e6, "ns_per_pixel": median / pixels * 1e9}
    if flop:
        record |= {"flop": flop, "gflop_per_s": flop / median / 1e9, "peak_beside_gflop_per_s": max(peaks) / 1e9,
                   "lowest_peak_beside_gflop_per_s": min(peaks) / 1e9}
