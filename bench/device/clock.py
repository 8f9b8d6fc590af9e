"""Time on a device: CUDA events with the queue kept full, host time of a call, time until a result is there.

On the CPU, in a dry run, the same functions read the clock around each call.
"""

import itertools
import statistics
import time

import torch

QUEUE = 10  # calls between two waits
SPIN = 4_000_000  # cycles, 2 ms: the GPU is kept busy while the host queues these calls, and never waits for it


def device_time(run, inputs, setting):
    """Seconds of run(*inputs[i]) on the device, the inputs in turn: a dict of median, quartiles and all samples."""
    limit, least, most = setting.rounds
    turns = itertools.cycle(inputs)
    for _ in range(3 if not setting.dry else 1):
        run(*next(turns))
    if setting.device.type == "cpu":
        return spread([_timed_call(run, next(turns)) for _ in range(least)])
    torch.cuda.synchronize()
    samples, started = [], time.perf_counter()
    while len(samples) < least or (len(samples) < most and time.perf_counter() - started < limit):
        count = min(QUEUE, most - len(samples)) if samples else 1  # the first shows how long a round takes
        if samples and samples[-1] > limit / QUEUE:
            count = 1
        pairs = [[torch.cuda.Event(enable_timing=True) for _ in range(2)] for _ in range(count)]
        torch.cuda._sleep(SPIN)
        for before, after in pairs:
            given = next(turns)
            before.record()
            run(*given)
            after.record()
        torch.cuda.synchronize()
        samples += [before.elapsed_time(after) / 1e3 for before, after in pairs]
    return spread(samples)


def host_time(run, setting, calls=200, rounds=10):
    """Seconds that a call of run() keeps the host, the device's work not waited for."""
    calls, rounds = (5, 2) if setting.dry else (calls, rounds)
    run()
    samples = []
    for _ in range(rounds):
        wait(setting)
        started = time.perf_counter()
        for _ in range(calls):
            run()
        samples.append((time.perf_counter() - started) / calls)
    wait(setting)
    return spread(samples)


def latency(run, setting, rounds=50):
    """Seconds from the call of run() until its result is there."""
    samples = []
    for k in range(5 + (2 if setting.dry else rounds)):
        wait(setting)
        started = time.perf_counter()
        run()
        wait(setting)
        if k >= 5:
            samples.append(time.perf_counter() - started)
    return spread(samples)


def wait(setting):
    """Until the device has done what was asked of it."""
    if setting.device.type == "cuda":
        torch.cuda.synchronize()


def spread(samples):
    """Samples as a results file has them, in seconds."""
    q1, median, q3 = statistics.quantiles(samples, method="inclusive") if len(samples) > 1 else samples * 3
    return {"median": median, "min": min(samples), "max": max(samples), "q1": q1, "q3": q3, "iqr": q3 - q1,
            "samples": samples}


def _timed_call(run, given):
    started = time.perf_counter()
    run(*given)
    return time.perf_counter() - started
