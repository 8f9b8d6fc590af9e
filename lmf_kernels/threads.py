"""How OpenMP's threads wait for each other on the CPU: asleep, not spinning.

By default libgomp, the OpenMP runtime of torch and of our compiled module, lets a thread that waits spin for
milliseconds. A picture is hundreds of short parallel regions. Beside other work the thread that the others wait for
often has no processor, because they spin on it: two threads are then many times slower than one.

The program asks for OMP_WAIT_POLICY=passive before torch is loaded (`wait_passively`). libgomp reads that once, when it
is loaded, so a library that is imported after torch is too late. What still helps is libgomp's own rule for crowded
machines: while a process has more OpenMP threads than processors, waiting threads spin for microseconds only.
`spin_briefly` brings that about with a team of threads that sleeps until the process ends. OMP_WAIT_POLICY and
GOMP_SPINCOUNT, where a user has set one, turn both off.
"""

import _thread
import ctypes
import os
import sys
import threading

SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")

_lock = threading.Lock()
_settled = False


def wait_passively():
    """Make OpenMP's threads sleep while they wait, in this process and its children.

    Does nothing where torch is loaded already or a user has set one of `SETTINGS`.
    """
    if "torch" not in sys.modules and not _set_by_user():
        os.environ["OMP_WAIT_POLICY"] = "passive"


def spin_briefly(threads):
    """Keep libgomp's waiting threads from spinning for long, where `wait_passively` came too late. Once per process.

    Does nothing where a user has set one of `SETTINGS`, where no libgomp is loaded, and where `threads`, the number
    that torch uses, leaves more than half of the processors free.
    """
    global _settled
    processors = _processors()
    with _lock:
        if _settled or threads < 2 or 2 * threads < processors:
            return
        _settled = True
        if not _set_by_user():
            for path in _loaded_runtimes():
                _keep_asleep(path, processors - threads + 2)


def _set_by_user():
    return any(os.environ.get(name) for name in SETTINGS)


def _processors():
    """How many processors this process may use, as libgomp counts them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _loaded_runtimes():
    """The files of every libgomp in this process: some wheels bring their own."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            paths = {line.split(maxsplit=5)[5].strip() for line in file if "libgomp" in line}
    except OSError:
        return []
    return sorted(path for path in paths if os.path.basename(path).startswith("libgomp"))


def _keep_asleep(path, count):
    """Start a team of `count` threads in the libgomp at `path`, which sleeps until the process ends.

    The team belongs to a thread of its own, because libgomp ends a team with the thread that started it.
    """
    runtime, nothing = ctypes.CDLL(path), ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)
    runtime.GOMP_parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
    runtime.GOMP_parallel.restype = None
    started, forever = threading.Event(), _thread.allocate_lock()
    forever.acquire()

    def sleep():
        runtime.GOMP_parallel(nothing, None, count, 0)  # each thread runs free(NULL)
        started.set()
        forever.acquire()

    _thread.start_new_thread(sleep, ())
    started.wait()
