"""The program of a self-check's child process: a fault of a kernel ends this process and harms nobody's work.

Reads a request, one JSON object, from stdin:

    key             what the parent's verdicts are kept under; the child must find the same
    device          "cuda:0"
    required        the Items to judge, in this order
    backends        whose other kinds are judged too while that takes no longer than SPARE_SECONDS in all
    known           Items that need no verdict
    tested          verdicts on self-tests, which kernels go by
    seconds         {task: how long one Item may take}; then SIGALRM ends the process

Writes JSON objects to stdout, a line each: {"begin": item} before it touches a kernel, then {"verdict": verdict} or
{"refused": reason}; {"stop": reason} where nothing can be judged for a reason that is no fault of a kernel.
"""

import importlib
import json
import os
import resource
import signal
import sys
import time

import torch

from . import measure, verdicts
from .verdicts import Item

HOOK = "LMF_KERNELS_SELFCHECK_HOOK"  # for tests: a module to import first, which may add backends
SPARE_SECONDS = 5  # precompiled kernels of every kind are judged in that time
SPARE_LIMIT = 20  # seconds that an Item may take which nobody waits for


class Stop(Exception):
    """Nothing can be judged here; the message says why."""


def main():
    """Serve one request."""
    report = _reporter()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is a result, not something to debug
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # a parent that ignores it hands that down
    torch.set_num_threads(1)  # the cases are small, and several processes may share the machine
    request = json.load(sys.stdin)
    if os.environ.get(HOOK):
        importlib.import_module(os.environ[HOOK])
    try:
        _serve(request, report)
    except Stop as stop:
        report(stop=str(stop))


def _reporter():
    """A function that writes a JSON object to stdout. What kernels and libraries print there goes to stderr."""
    lines = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def report(**message):
        print(json.dumps(message), file=lines, flush=True)

    return report


def _serve(request, report):
    device = torch.device(request["device"])
    complaint = _complaint(device)
    if complaint:
        raise Stop(f"a second process cannot use {device} ({complaint})")
    if json.loads(json.dumps(verdicts.key(device))) != request["key"]:
        raise Stop(f"{device} is another GPU or build in the child process than in yours")
    required = [Item(*item) for item in request["required"]]
    known = {Item(*item) for item in request["known"]} | set(required)
    spare = [item for name in request["backends"] for item in measure.items_of(name)]
    found = map(verdicts.Verdict.from_json, request["tested"])
    verdicts.store_of(device).known.update((verdict.item, verdict) for verdict in found)
    started = time.monotonic()
    for item in required:
        _judge(item, device, request["seconds"][item.task], report)
    for item in spare:
        if time.monotonic() - started > SPARE_SECONDS:
            break
        if item not in known:
            _judge(item, device, SPARE_LIMIT, report)


def _judge(item, device, seconds, report):
    """Report on one Item. Raises Stop where the device does not work after it."""
    report(begin=item)
    signal.alarm(seconds)
    try:
        found = measure.judge(item, device)
    except measure.Refused as refused:
        report(refused=str(refused))
    except torch.cuda.OutOfMemoryError:
        raise Stop("there is too little free memory on the GPU") from None
    except Exception as error:
        found = measure.verdict(item, False, f"raised {shown(error)}")
        report(verdict=found.to_json())
        if _complaint(device):
            raise SystemExit(1) from None  # the CUDA context is lost: the parent starts another process for the rest
    else:
        report(verdict=found.to_json())
    finally:
        signal.alarm(0)


def _complaint(device):
    """Why the device cannot be used, or None."""
    try:
        torch.zeros(1, device=device).add_(1).item()
    except Exception as error:
        return shown(error)
    return None


def shown(error):
    """An exception as part of a sentence: its type and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200].rstrip('.')}" if lines else type(error).__name__


if __name__ == "__main__":
    main()
