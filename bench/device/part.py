"""A part of the run: a process of its own with a limit on its time, so that no failure reaches the others.

The process is forked before anything has touched the GPU: each part starts a CUDA context of its own, and a crash in
one leaves the others theirs.
"""

import json
import multiprocessing
import os
import signal
import sys
import time
import traceback

GRACE = 5  # seconds between asking a part to end and ending it


class Job:
    """What a part works with: the setting, the time it has, and where its findings go, each written at once."""

    def __init__(self, name, setting, folder, seconds):
        self.name, self.setting, self.folder = name, setting, folder
        self.until = time.monotonic() + seconds
        self._path = folder / f"{name}.jsonl"

    def left(self):
        """Seconds left, some kept for ending well."""
        return self.until - time.monotonic() - 2

    def case(self, record):
        """A record of the results file's `cases`."""
        self._append({"case": record})

    def fact(self, name, value):
        """A value of the results file's `facts`."""
        self._append({"fact": name, "value": value})

    def warn(self, text):
        """What a reader of the numbers should know."""
        self._append({"warning": text})

    def fail(self, text):
        """Something is wrong, and the part goes on: the run's exit status will say so."""
        self._append({"failure": text})
        print(f"failure: {text}", flush=True)

    def found(self):
        """Everything written so far, a dict a line; what a killed process left half-written is dropped."""
        if not self._path.exists():
            return []
        lines = self._path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def _append(self, entry):
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def run(work, job, log):
    """Run work(job) in a process of its own, its output going to the end of the file `log`.

    Returns None, or in words why it failed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    process = multiprocessing.get_context("fork").Process(target=_child, args=(work, job, log))
    process.start()
    process.join(max(job.until - time.monotonic(), 0) + 1)
    late = process.is_alive()
    for order in (signal.SIGTERM, signal.SIGKILL):  # also to what an ended part has left running
        try:
            os.killpg(process.pid, order)
        except (ProcessLookupError, PermissionError):
            break
        process.join(GRACE)
    process.join()
    if late:
        return "it was still running when its time was over"
    if process.exitcode < 0:
        return f"it died of signal {signal.Signals(-process.exitcode).name}"
    return None if process.exitcode == 0 else "it raised; the log has the traceback"


def _child(work, job, log):
    os.setpgid(0, 0)
    sys.stdout = sys.stderr = open(log, "a", encoding="utf-8", buffering=1)  # open for as long as the process lives
    for descriptor in (1, 2):  # for what it starts, and for libraries
        os.dup2(sys.stdout.fileno(), descriptor)
    try:
        work(job)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)
