"""Time on a device: CUDA events with the queue kept full, host time of a call, time until a result is there.

A GPU that waits for the host would have its waiting measured too. So before the timed calls the GPU is made to spin for
longer than the host takes to queue them all, and a round counts only if the spin was still going on when the last call
was queued. On the CPU, in a dry run, the same functions read the clock around each call.
"""

import itertools
import statistics
import time

import torch

from bench.samples import summary

QUEUE = 10  # calls between two waits, at most
WARM = 0.05  # seconds of work before the first round: a GPU takes some time to leave its idle clocks
PROBE = 1_000_000  # cycles of the spin that the SM clock is read from, about half a millisecond
LONGER = 2.0  # the spin, as a multiple of the time that the host needs
MARGIN = 2e-4  # seconds, of the spin: events, and the host's own hiccups
TRIES = 8  # rounds that may be thrown away before a case is called not covered
LONGEST = 0.5  # seconds, of a spin


class Cuda:
    """What is asked of a GPU; the tests put a simulated one in its place."""

    spin = staticmethod(lambda cycles: torch.cuda._sleep(cycles))
    wait = staticmethod(lambda: torch.cuda.synchronize())
    event = staticmethod(lambda: torch.cuda.Event(enable_timing=True))
    now = staticmethod(time.perf_counter)


def device_time(run, inputs, run_config, gpu=Cuda):
    """The time of run(*inputs[i]) on the device, the inputs in turn, as a part of a record of the results file:

    {"seconds": as `samples.summary`, "rounds": their number, "host_s": seconds that a call keeps the host,
    "sm_clock_mhz": [before, after], "covered": whether the queue was full in every round; False: the times contain
    launches}.
    """
    limit, least, most = run_config.rounds
    turns = itertools.cycle(inputs)
    if run_config.device.type == "cpu":
        run(*next(turns))
        seconds = summary([_timed_call(run, next(turns)) for _ in range(least)])
        return {"seconds": seconds, "rounds": least, "host_s": seconds["median"], "sm_clock_mhz": None, "covered": True}
    host = warm_up(run, turns, gpu)
    clocks = [sm_clock(gpu)]
    samples, count, fits, longer, lost = [], 1, QUEUE, LONGER, 0  # the first round, one call, shows how long one takes
    started = gpu.now()
    while len(samples) < least or (len(samples) < most and gpu.now() - started < limit):
        spin = min(longer * count * host + MARGIN, LONGEST)
        times, covered, took = timed_round(run, [next(turns) for _ in range(count)], int(spin * clocks[0]), gpu)
        if not covered and lost < TRIES:
            lost += 1
            longer *= 2
            if lost % 2 == 0 and count > 1:  # that did not help: the launches of so many calls may not fit the queue
                count = fits = count // 2
                longer = LONGER
            continue
        samples += times
        host = max(host, took / count) if covered else host
        count = 1 if statistics.median(times) > limit / QUEUE else fits
    clocks.append(sm_clock(gpu))
    return {"seconds": summary(samples), "rounds": len(samples), "host_s": host,
            "sm_clock_mhz": [round(clock / 1e6) for clock in clocks], "covered": lost < TRIES}


def warm_up(run, turns, gpu):
    """WARM seconds of spinning, then of calls; the median seconds that a call keeps the host."""
    run(*next(turns))  # compiles and allocates
    gpu.wait()
    started = gpu.now()
    while gpu.now() - started < WARM:  # calls alone may leave the GPU idle most of the time
        gpu.spin(PROBE)
        gpu.wait()
    started = gpu.now()
    run(*next(turns))
    gpu.wait()
    took = gpu.now() - started
    batch = 1 if took > WARM / QUEUE else QUEUE
    host, started = [], gpu.now()
    while not host or gpu.now() - started < WARM:
        begun = gpu.now()
        for _ in range(batch):
            run(*next(turns))
        host.append((gpu.now() - begun) / batch)
        gpu.wait()
    return statistics.median(host)


def timed_round(run, given, cycles, gpu):
    """(seconds of each call on the device, whether all were queued before the spin ended, seconds to queue them)."""
    spun, pairs = gpu.event(), [(gpu.event(), gpu.event()) for _ in given]
    gpu.spin(cycles)
    spun.record()
    begun = gpu.now()
    for (before, after), one in zip(pairs, given):
        before.record()
        run(*one)
        after.record()
    took = gpu.now() - begun
    covered = not spun.query()
    gpu.wait()
    return [before.elapsed_time(after) / 1e3 for before, after in pairs], covered, took


def sm_clock(gpu=Cuda):
    """Cycles a second of the multiprocessors, now: a spin of known cycles between two events."""
    before, after = gpu.event(), gpu.event()
    gpu.spin(PROBE // 5)  # the host queues the rest meanwhile
    before.record()
    gpu.spin(PROBE)
    after.record()
    gpu.wait()
    return PROBE / (before.elapsed_time(after) / 1e3)


def host_time(run, run_config, calls=200, rounds=10):
    """Seconds that a call of run() keeps the host, the device's work not waited for."""
    calls, rounds = (5, 2) if run_config.dry else (calls, rounds)
    run()
    samples = []
    for _ in range(rounds):
        wait(run_config)
        started = time.perf_counter()
        for _ in range(calls):
            run()
        samples.append((time.perf_counter() - started) / calls)
    wait(run_config)
    return summary(samples)


def latency(run, run_config, rounds=50):
    """Seconds from the call of run() until its result is there."""
    samples = []
    for k in range(5 + (2 if run_config.dry else rounds)):
        wait(run_config)
        started = time.perf_counter()
        run()
        wait(run_config)
        if k >= 5:
            samples.append(time.perf_counter() - started)
    return summary(samples)


def wait(run_config):
    """Until the device has done what was asked of it."""
    if run_config.device.type == "cuda":
        torch.cuda.synchronize()


def _timed_call(run, given):
    started = time.perf_counter()
    run(*given)
    return time.perf_counter() - started
