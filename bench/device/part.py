"""A part of the run: a process of its own with a limit on its time, so that no failure reaches the others.

The process is forked before anything has touched the GPU: each part starts a CUDA context of its own, and a crash in
one leaves the others theirs.
"""

import importlib
import json
import multiprocessing
import os
import signal
import sys
import time
import traceback

from bench.results_file import now

GRACE = 5  # seconds between asking a part to end and ending it


class Job:
    """What a part works with: the run_config, the time it has, and where its findings go, each written at once.

    known: names of cases that the record has from earlier calls. options: those of the command line.
    """

    def __init__(self, name, run_config, folder, seconds, known=(), options=None):
        self.name, self.run_config, self.folder, self.known, self.options = name, run_config, folder, known, options
        self.until = time.monotonic() + seconds
        self.done = set()  # names of cases that an earlier process of this part measured, or died of
        self._path = folder / f"{name}.jsonl"

    def left(self):
        """Seconds left, some kept for ending well."""
        return self.until - time.monotonic() - 2

    def case(self, record):
        """A record of the results file's `cases`."""
        self._append({"case": record, "at": now()})

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

    def todo(self, cases, least=3):
        """Of cases, tuples that begin with their name, those that there is time for: each takes `least` seconds.

        What the record has already comes last: a part that is run again, for lack of time, begins with what it missed.
        """
        for case in sorted(cases, key=lambda case: case[0] in self.known):
            if case[0] in self.done:
                continue
            if self.left() < least:
                self._append({"missed": case[0]})
            else:
                yield case

    def lost(self, name):
        """A case after which nothing can run in this process; the rest may run in another."""
        self._append({"lost": name})

    def to_repeat(self):
        """Whether the part's last process ended with `lost`; then `done` says what the next one leaves out."""
        found = self.found()
        self.done = {entry["case"]["name"] for entry in found if "case" in entry}
        self.done |= {entry["lost"] for entry in found if "lost" in entry}
        return bool(found) and "lost" in found[-1]

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

    work: a function, or "module:function" of this package, imported in that process: a module that cannot be imported
    fails its own part alone. Returns None, or in words why it failed.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    process = multiprocessing.get_context("fork").Process(target=_child, args=(work, job, log))
    process.start()
    try:
        process.join(max(job.until - time.monotonic(), 0) + 1)
        late = process.is_alive()
    finally:  # also where this process is told to end
        _end_group(process)
    if late:
        return "it was still running when its time was over"
    if process.exitcode < 0:
        return f"it died of signal {signal.Signals(-process.exitcode).name}"
    return None if process.exitcode == 0 else "it raised; the log has the traceback"


def _end_group(process):
    """End a process and what it has left running."""
    for order in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, order)
        except (ProcessLookupError, PermissionError):
            break
        process.join(GRACE)
    process.join()


def _child(work, job, log):
    os.setpgid(0, 0)
    sys.stdout = sys.stderr = open(log, "a", encoding="utf-8", buffering=1)  # noqa: SIM115  (open until the process ends)
    for descriptor in (1, 2):  # for what it starts, and for libraries
        os.dup2(sys.stdout.fileno(), descriptor)
    try:
        _resolved(work)(job)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    sys.stdout.flush()
    os._exit(0)


def _resolved(work):
    if callable(work):
        return work
    module, _, function = work.partition(":")
    return getattr(importlib.import_module(f"{__package__}.{module}"), function)
