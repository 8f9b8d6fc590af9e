"""How the C library hands memory back between the steps of a run on a CPU."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h of glibc


def keep_freed_memory():
    """Tell glibc to keep what is freed, for the rest of this process; elsewhere, do nothing.

    Every step allocates the same hundreds of megabytes. By default large blocks go back to the system when freed, and
    the next step pays for each page again: filling 120 MB of fresh pages took seven times as long as of kept ones.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # no glibc
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2 ** 31 - 1)
