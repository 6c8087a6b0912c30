"""What is freed goes back to the system: told to glibc's malloc (mallopt(3)) when the agent starts.

A tick takes a few blocks of half a megabyte for a moment. By default malloc learns from the first ones to keep such blocks, in
an arena of each thread; here they are mapped, and unmapped when they are freed: 3 MB less of 63 with 100 containers.
"""

import ctypes

SMALL = 128 * 1024  # bytes: larger blocks are mapped, and more than this is not kept at the end of the heap
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of malloc.h
SETTINGS = ((_TRIM_THRESHOLD, SMALL), (_MMAP_THRESHOLD, SMALL), (_ARENA_MAX, 1))


def be_frugal() -> bool:
    """Set it; False where the C library has no such settings."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # musl
        return False
    return all(mallopt(option, value) for option, value in SETTINGS)
