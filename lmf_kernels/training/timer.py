"""Time used by a run, over all its parts."""

import time


class Timer:
    """Seconds used, read only at laps, so that one step sees one time and a resumed run sees the time it was saved at.

    Args:
        used: seconds that earlier parts of the run have used.
        clock: callable giving seconds.
    """

    def __init__(self, used=0.0, clock=time.monotonic):
        self.used = used
        self._clock = clock
        self._last = clock()

    def lap(self):
        """Add the time since the last lap; the seconds used in all."""
        now = self._clock()
        self.used += now - self._last
        self._last = now
        return self.used
