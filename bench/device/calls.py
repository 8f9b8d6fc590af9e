"""Runs the parts of a call in turn; what each found is written as it ends."""

import time

from . import part
from .plan import TRAIN

LEAST = 10  # seconds: with less left, a part is not begun
MOST = 2  # a part may take so many times its limit, where the parts before it left the time over
PROCESSES = 5  # of one part, where a GPU's context is lost in its midst


def run_all(parts, run_config, folder, log, found, seconds, known=lambda: (), ended=lambda: None, options=None):
    """Run the parts into the report `found`; none of them begins when `seconds` are over.

    Args:
        parts: of plan.Part.
        folder: where parts leave files.
        log: the file that their output goes to.
        known: gives the names of the cases of earlier calls.
        ended: called when a part has ended.
        options: of the command line, for the parts.
    """
    until = time.monotonic() + seconds
    for k, entry in enumerate(parts):
        left = until - time.monotonic()
        if left < (LEAST if entry.name == TRAIN else min(LEAST, entry.limit)):
            found.lost(entry.name, "no time was left to begin it")
            ended()
            continue
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"======== {entry.name}\n")
        print(f"{entry.name} ...", flush=True)
        started = time.monotonic()
        job = part.Job(entry.name, run_config, folder, _seconds(entry, parts[k + 1:], left), known(), options)
        for _ in range(PROCESSES):
            reason = part.run(entry.work, job, log)
            if reason is None or not job.to_repeat() or job.left() < LEAST:
                break
        found.take(job, reason, time.monotonic() - started)
        ended()


def _seconds(entry, later, left):
    """What a part may take: its limit, and of what is over beyond the limits of the later parts as much again."""
    if entry.name == TRAIN:
        return left
    return min(left, max(entry.limit, min(MOST * entry.limit, left - sum(one.limit for one in later))))
