"""A child process that takes one JSON request and answers in JSON lines, in bounded time."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from multiprocessing.spawn import get_executable
from typing import NamedTuple

TAIL = 4000  # bytes of stderr that are kept
START = "import sys; sys.path[:] = sys.argv[1:]; from {} import main; main()"  # the parent's path, whatever made it


class Ended(NamedTuple):
    """How a process came to its end."""

    how: str  # "status 1", "signal 11 (Segmentation fault)", or "time": its time was up
    last_words: str  # the last line that it wrote to stderr, "" without


class CannotStart(Exception):
    """No child process can be started; the message says why."""


def converse(module, request, seconds, environment, hear):
    """Run `main()` of a module in a process of its own: the Ended.

    request: what it gets on stdin, as JSON. seconds: after them it is killed, with what it started. environment: more
    environment variables. hear: called with each JSON object that it writes to stdout, as it arrives.

    Raises CannotStart.
    """
    deadline = time.monotonic() + seconds
    process = _start(module, environment)
    try:
        _send(process, request)
        tail = _listen(process, deadline, hear)
        process.wait(max(0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired as late:
        return Ended("time", _last_line(late.stderr))
    finally:
        _finish(process)
    if process.returncode == -signal.SIGALRM:  # the process had set itself a limit
        return Ended("time", _last_line(tail))
    if process.returncode < 0:
        number = -process.returncode
        return Ended(f"signal {number} ({signal.strsignal(number)})", _last_line(tail))
    return Ended(f"status {process.returncode}", _last_line(tail))


def _start(module, environment):
    program = os.fsdecode(get_executable() or "")
    if getattr(sys, "frozen", False) or "python" not in os.path.basename(program):
        raise CannotStart(f"{program or 'this program'} is no Python interpreter that could be started again")
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen([program, "-c", START.format(module), *sys.path], stdin=pipe, stdout=pipe, stderr=pipe,
                                start_new_session=True, env={**os.environ, **environment})
    except OSError as error:
        raise CannotStart(str(error)) from None


def _send(process, request):
    try:
        with process.stdin as stream:
            stream.write(json.dumps(request).encode())
    except OSError:  # it has ended already
        pass


def _listen(process, deadline, hear):
    """Hear every line until both streams end; the tail of stderr. Raises TimeoutExpired."""
    tail, rest = b"", b""
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            remaining = deadline - time.monotonic()
            ready = selector.select(min(1, max(0, remaining)))
            if not ready and process.poll() is not None:  # what it started may hold the streams open
                break
            if remaining <= 0:
                raise subprocess.TimeoutExpired(process.args, 0, stderr=tail)
            for key, _ in ready:
                data = os.read(key.fd, 1 << 16)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stderr:
                    tail = (tail + data)[-TAIL:]
                else:
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        hear(json.loads(line))
    return tail


def _finish(process):
    """Kill the process if it still runs, with what it started, such as a compiler."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    for stream in (process.stdout, process.stderr):
        stream.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:  # the driver holds it; it ends when the driver lets go
        pass


def _last_line(text):
    lines = (text or b"").decode(errors="replace").strip().splitlines()
    return lines[-1].strip()[:200] if lines else ""
