"""SIGTERM and SIGINT as a wish to stop: the step in progress ends, the run is saved, then the program leaves."""

import signal
import threading
from contextlib import contextmanager


class StopWish:
    """`wanted` turns true at the first signal; `signal` is its number. A second signal acts as it would without us."""

    def __init__(self):
        self.wanted = False
        self.signal = None
        self._before = {}

    def __call__(self, number, frame):
        self.wanted, self.signal = True, number
        self.restore()

    def listen(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self)

    def restore(self):
        while self._before:
            signal.signal(*self._before.popitem())


@contextmanager
def stop_wish():
    """A StopWish that listens inside the block, where Python allows it (the main thread)."""
    wish = StopWish()
    if threading.current_thread() is threading.main_thread():
        wish.listen()
    try:
        yield wish
    finally:
        wish.restore()
