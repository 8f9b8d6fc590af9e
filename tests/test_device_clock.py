"""bench/device/clock.py on a simulated GPU: the time of a call is the device's, however slow the host is."""

import types

import pytest
import torch
from bench.device import clock

SETTING = types.SimpleNamespace(device=torch.device("cuda"), rounds=(0.25, 5, 60), dry=False)
LAUNCH, DEPTH = 5e-6, 1024  # seconds that a launch keeps the host; launches that may wait
IDLE, FULL, RAMP = 345e6, 1980e6, 0.04  # clocks in Hz; seconds of work until they are full


class Gpu:
    """A GPU and its host in simulated time: a queue of launches of limited depth, clocks that rise with work."""

    def __init__(self):
        self.host, self.ends, self.worked = 0.0, [0.0], 0.0

    @property
    def clock(self):
        return IDLE if self.worked < RAMP else FULL

    def launch(self, cycles):
        self.host += LAUNCH
        if len(self.ends) > DEPTH:
            self.host = max(self.host, self.ends[-DEPTH])
        seconds = cycles / self.clock
        self.worked += seconds
        self.ends.append(max(self.host, self.ends[-1]) + seconds)

    def now(self):
        self.host += 1e-7
        return self.host

    spin = launch

    def wait(self):
        self.host = max(self.host, self.ends[-1])

    def event(self):
        gpu = self

        class Event:
            def record(self):
                gpu.host += 1e-6
                self.at = max(gpu.host, gpu.ends[-1])

            def query(self):
                return self.at <= gpu.host

            def elapsed_time(self, other):
                return (other.at - self.at) * 1e3

        return Event()


def calls(gpu, launches, cycles, host=0.0, waits=False):
    """A function of `launches` kernels of `cycles` each, `host` seconds of Python, and perhaps a wait in its midst."""
    def run():
        gpu.host += host
        for k in range(launches):
            gpu.launch(cycles)
            if waits and k == launches // 2:
                gpu.wait()

    return run


def measured(gpu, run):
    return clock.device_time(run, [()], SETTING, gpu)


@pytest.mark.parametrize("launches, cycles, host", [
    (1, 400_000, 30e-6),  # a kernel of ours
    (1, 8_000, 60e-6),  # far shorter than its launch
    (300, 4_000, 1e-3),  # an eager peer: 2 us a kernel, its host slower than the 2 ms of any fixed spin
    (40, 5_000_000, 0.0),  # a slow peer
    (700, 2_000, 0.0)])  # two calls do not fit the queue
def test_the_time_is_the_device_s(launches, cycles, host):
    gpu = Gpu()
    found = measured(gpu, calls(gpu, launches, cycles, host))
    assert found["covered"] and found["rounds"] == len(found["seconds"]["samples"]) >= 5
    assert found["seconds"]["median"] == pytest.approx(launches * cycles / FULL, rel=0.01, abs=2e-6)
    assert found["sm_clock_mhz"] == [pytest.approx(FULL / 1e6, rel=0.01)] * 2
    assert found["host_s"] >= launches * LAUNCH + host


def test_a_spin_that_is_too_short_measures_launches(monkeypatch):
    """What the checks above would not see if they could not fail."""
    gpu = Gpu()
    monkeypatch.setattr(clock, "TRIES", 0)
    monkeypatch.setattr(clock, "LONGER", 0.0)
    found = measured(gpu, calls(gpu, 300, 4_000, 1e-3))
    assert not found["covered"] and found["seconds"]["median"] > 2 * 300 * 4_000 / FULL


def test_a_call_that_waits_for_the_device_is_named_as_such():
    gpu = Gpu()
    found = measured(gpu, calls(gpu, 10, 100_000, waits=True))
    assert not found["covered"] and found["rounds"] >= 5


def test_warm_before_the_first_round():
    gpu = Gpu()
    clock.warm_up(calls(gpu, 1, 20_000), iter([()] * 10**6), gpu)
    assert gpu.worked >= RAMP and gpu.clock == FULL
