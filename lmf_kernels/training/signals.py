"""SIGTERM and SIGINT stop a run in good order: the step in progress ends, the run is saved, then the program exits."""

import signal
import threading
from contextlib import contextmanager


class StopSignal:
    """`received` turns true at the first signal; `signal` is its number. A second signal has its usual effect."""

    def __init__(self):
        self.received = False
        self.signal = None
        self._before = {}

    def __call__(self, number, frame):
        self.received, self.signal = True, number
        self.restore()

    def listen(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self)

    def restore(self):
        while self._before:
            signal.signal(*self._before.popitem())


@contextmanager
def stop_signal():
    """A StopSignal that listens inside the block, where Python allows it (the main thread)."""
    stop = StopSignal()
    if threading.current_thread() is threading.main_thread():
        stop.listen()
    try:
        yield stop
    finally:
        stop.restore()
