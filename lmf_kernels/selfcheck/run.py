"""Runs a self-check: one at a time for each kind of GPU, in child processes, in bounded time.

Where several processes come to need a check, the first makes it and the others wait for its verdicts (a lock on a file
beside them).
"""

import fcntl
import logging
import os
import time
from contextlib import contextmanager
from typing import NamedTuple

from . import measure, process
from .lookup import SWITCH
from .verdicts import CACHE, Item, Verdict
from ..backends.evidence import SELF_TEST, TASKS
from ..errors import InputError

LIMIT = "LMF_KERNELS_SELFCHECK_SECONDS"  # how long a check at first need may take in all
DEFAULT_LIMIT = 60
SELF_TEST_SECONDS = 10  # for one, the start of the GPU and the loading of kernels included
POLL = 0.1  # seconds between two looks at a lock that another process holds

logger = logging.getLogger("lmf_kernels")


class Outcome(NamedTuple):
    """What a check found, and why it found nothing about some Items."""

    verdicts: list
    unresolved: dict  # Item: why


def limit():
    """Seconds that a check at first need may take. Raises InputError."""
    text = os.environ.get(LIMIT) or str(DEFAULT_LIMIT)
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"{LIMIT}={text!r:.40}: give a whole number of seconds, 1 or more.")
    return int(text)


def fill(store, device, required, backends):
    """Make the missing verdicts on `required`, a list of Items, at first need: {Item: why it has none}.

    Says so in a line, or waits while another process makes them. backends: see `check`.
    """
    seconds = limit()
    with turn(store.path, seconds) as mine:
        store.read()
        missing = [item for item in required if item not in store.known]
        if not missing:
            return {}
        if not mine:
            return dict.fromkeys(missing, f"another process has been checking it for more than {seconds} s")
        first = [item for name in backends for item in measure.self_tests(name, device) if item not in store.known]
        logger.warning("lmf_kernels: checking kernels once on %s: %s, %s; takes up to %d s, %s=0 turns it off",
                       store.about["gpu"], " and ".join(item.backend for item in missing), missing[0].work, seconds,
                       SWITCH)
        outcome = check(store, device, first + missing, backends, seconds)
        for verdict in outcome.verdicts:
            logger.info("lmf_kernels: %s", verdict)
        keep(store, outcome.verdicts)
    return {item: why for item, why in outcome.unresolved.items() if item in missing}


def keep(store, verdicts):
    """Add verdicts to the store; a line where they last no longer than this process."""
    problem = store.add(verdicts) if verdicts else None
    if problem:
        logger.warning("lmf_kernels: the self-check cannot be kept, so every process makes its own (%s); "
                       "%s names another folder", problem, CACHE)


def check(store, device, required, backends, seconds, each=None, tell=lambda verdict: None):
    """Judge `required`, a list of Items, in child processes: the Outcome.

    backends: those whose other kinds are judged too where that takes no time to speak of. seconds: that all may take;
    each: that one Item may take, None: as long as there is. tell: called with each Verdict as it arrives.
    """
    deadline = time.monotonic() + seconds
    session = _Session(tell)
    tests = {item for name in {item.backend for item in required} for item in measure.self_tests(name, device)}
    left, why = list(required), ""
    while left:
        remaining = deadline - time.monotonic()
        if remaining < 1:
            why = f"the limit of {seconds} s had passed before its turn"
            break
        one = max(1, min(each or seconds, round(remaining)))
        request = {"key": store.about, "device": str(device), "required": left, "backends": list(backends),
                   "known": [*store.known, *session.done],
                   "seconds": {**dict.fromkeys(TASKS, one), SELF_TEST: min(one, SELF_TEST_SECONDS)},
                   "tested": [v.to_json() for v in {**store.known, **session.found}.values() if v.item in tests]}
        why = session.serve(request, remaining)
        before, left = len(left), [item for item in left if item not in session.done]
        if why or len(left) == before:
            break
    unresolved = {**session.refused, **dict.fromkeys(left, why)}
    return Outcome(list(session.found.values()), {item: unresolved[item] for item in required if item in unresolved})


class _Session:
    """What the child processes of one check say."""

    def __init__(self, tell):
        self.found, self.refused = {}, {}  # Item: Verdict, Item: why
        self._tell = tell
        self._begun = self._stop = None

    @property
    def done(self):
        return {**self.found, **self.refused}

    def serve(self, request, seconds):
        """Run one child process to its end. Returns why there can be no more verdicts, or None."""
        self._begun = self._stop = None
        try:
            ended = process.converse(f"{__package__}.child", request, seconds, {SWITCH: "0"}, self._hear)
        except process.CannotStart as error:
            return f"no child process can be started ({error})"
        if self._stop:
            return self._stop
        if self._begun is None:
            how = "time was up" if ended.how == "time" else f"{ended.how}: {ended.last_words}".rstrip(": ")
            return f"the self-check's process ended before it began ({how})"
        item, late = self._begun, ended.how == "time"
        if item in self.done or late and item not in request["required"]:  # that one nobody waits for
            return None
        fault = f"ended the self-check's process with {ended.how}"
        if late:
            fault = f"did not finish within {request['seconds'][item.task]} s"
        self._take(measure.verdict(item, False, fault))
        return None

    def _hear(self, message):
        if "begin" in message:
            self._begun = Item(*message["begin"])
        elif "verdict" in message:
            self._take(Verdict.from_json(message["verdict"]))
        elif "refused" in message:
            self.refused[self._begun] = message["refused"]
        else:
            self._stop = message["stop"]

    def _take(self, verdict):
        self.found[verdict.item] = verdict
        self._tell(verdict)


@contextmanager
def turn(path, seconds):
    """Hold the lock beside `path`. Yields whether a check may be made: False where another process held it for all the
    time that a check may take. A folder or file system without locks keeps nobody."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path.with_suffix(".lock"), "a")  # noqa: SIM115  (closed below)
    except OSError:
        yield True
        return
    with file:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    yield False
                    return
                time.sleep(POLL)
            except OSError:
                break
        yield True
