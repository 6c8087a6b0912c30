# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, auto_pickle=False
"""The kernels in C speed; `plain.py` says what each must do. No NumPy headers, no state but a HeadTable's own.

Decoding a line
- Every line looked at ends with an LF that is there, and 8 bytes behind it can be read: the last lines of a body, which have
  no such room, are copied to a buffer with padding. So no loop compares against the end of the body.
- A head is hashed in words of eight bytes while its end is looked for: the first byte below "!". Words are folded with a
  64-bit product and a seed that nobody outside knows, so heads that all collide cannot be sent on purpose.
- A number's digits are read eight at a time. With a mantissa below 2^53 and at most 22 decimals, mantissa and power of ten
  are both exact, so one division rounds correctly (Clinger 1990); with more digits Python's own float() reads it.
- Lines are worked on in groups, in three passes: read the lines, look at the table's entries, compare the keys. Each pass asks
  for the memory that the next one needs, since a table of many series does not fit the caches.

Table: entries of 16 bytes, open addressing, linear probing, at most 3/4 full; keys in one arena, each padded with zeros to
eight bytes. A head is never removed alone. A large table asks for huge pages.

The pieces: `_lines.pxi` reads a line, `_fingerprints.pxi` knows which heads are of no series, `_heads.pxi` has the table and decodes a
body with it, `_windows.pxi` writes and adds.
"""

import os

cimport cython

import numpy as np

from metricstore.numeric.plain import NAMED as NAMED_MOST
from metricstore.numeric.plain import NAN_BITS, SKIP, Lines

from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_STRIDES, PyBUF_WRITABLE, PyBuffer_IsContiguous, PyBuffer_Release, PyObject_GetBuffer
)
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy, memset, strchr


cdef extern from *:
    """
    #define EVERY(byte) (0x0101010101010101ULL * (byte))
    #define MIX 0x9E3779B97F4A7C15ULL  /* 2^64 divided by the golden ratio */
    #define VALUE 0x3D65756C6176ULL  /* "value=", least byte first */
    #define VALUE_MASK 0xFFFFFFFFFFFFULL
    #define EXACT (1ULL << 53)
    #define DROPPED 0xFFFFFFFFU
    static const unsigned long long SCALES[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
    static const double POWERS[18] = {
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17,
    };
    static inline unsigned long long fold(unsigned long long a, unsigned long long b)
    {
        unsigned __int128 product = (unsigned __int128)a * b;
        return (unsigned long long)product ^ (unsigned long long)(product >> 64);
    }
    static inline unsigned long long load(const void *at)
    {
        unsigned long long word;
        memcpy(&word, at, 8);
        return word;
    }
    static inline unsigned long long eight_digits(unsigned long long word)  /* from bytes 0 to 9, the first in the least */
    {
        word = word * 10 + (word >> 8);
        return ((word & 0x000000FF000000FFULL) * 0x000F424000000064ULL
            + ((word >> 16) & 0x000000FF000000FFULL) * 0x0000271000000001ULL) >> 32;
    }
    static inline double as_value(unsigned long long cell)
    {
        double value;
        cell ^= 0x7FF8000000000000ULL;
        memcpy(&value, &cell, 8);
        return value;
    }
    static inline unsigned long long as_cell(double value)
    {
        return load(&value) ^ 0x7FF8000000000000ULL;
    }
    #define fetch_to_read(at) __builtin_prefetch(at, 0)
    #define fetch_to_write(at) __builtin_prefetch(at, 1)
    """
    const uint64_t MIX, VALUE, VALUE_MASK, EXACT
    const uint32_t DROPPED
    const uint64_t[9] SCALES
    const double[18] POWERS
    uint64_t EVERY(int byte) noexcept nogil
    uint64_t fold(uint64_t a, uint64_t b) noexcept nogil
    uint64_t eight_digits(uint64_t word) noexcept nogil
    uint64_t load(const void *at) noexcept nogil
    double as_value(uint64_t cell) noexcept nogil
    uint64_t as_cell(double value) noexcept nogil
    void fetch_to_read(const void *at) noexcept nogil
    void fetch_to_write(const void *at) noexcept nogil
    int first_bit "__builtin_ctzll"(uint64_t word) noexcept nogil

cdef extern from "<stdlib.h>" nogil:
    int posix_memalign(void **memory, size_t alignment, size_t size)

cdef extern from "<sys/mman.h>" nogil:
    int madvise(void *memory, size_t size, int advice)
    int MADV_HUGEPAGE

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    double PyOS_string_to_double(const char *text, char **end, void *overflow) except? -1.0


assert NAN_BITS == 0x7FF8000000000000 and SKIP == DROPPED and NAMED_MOST == NAMED  # as written here

cdef enum:
    GROUP = 32  # lines or samples worked on together: enough to wait for memory once, few enough for the first-level cache
    PADDING = 16  # bytes behind a segment that can be read
    FIRST_CAPACITY = 1024  # entries of a table's first allocation
    LEAST_LINE = 10  # bytes of the shortest usual line: head, " value=", digit, LF
    ROWS_AHEAD = 4  # of a window that are asked for while one is added
    HUGE_PAGE = 2 * 1024 * 1024  # bytes
    WIDTH = 64  # columns of a window
    SLOT_BITS = 6
    NAMED = 100  # refused lines that are named
    FRESH = 65536  # heads that are noted at once

cdef object empty = np.empty
cdef object BOOL = np.dtype(np.bool_), INT64 = np.dtype(np.int64), UINT32 = np.dtype(np.uint32), FLOAT64 = np.dtype(np.float64)


@cython.final
cdef class Buffers:
    """Memory of arrays, which stays theirs until this is gone. Cython's own views do the same at four times the cost."""

    cdef Py_buffer *views
    cdef Py_ssize_t count, most

    def __cinit__(self, Py_ssize_t most):
        self.most = most
        self.views = <Py_buffer *>malloc(most * sizeof(Py_buffer))
        if self.views == NULL:
            raise MemoryError(f"cannot look at {most} arrays")

    def __dealloc__(self):
        cdef Py_ssize_t k
        for k in range(self.count):
            PyBuffer_Release(&self.views[k])
        free(self.views)

    cdef Py_buffer *of(self, object array, const char *formats, Py_ssize_t size, int dimensions, int flags=0) except NULL:
        """An array whose items have `size` bytes and one of the formats, each a character as in the module struct."""
        cdef Py_buffer *view = &self.views[self.count]
        assert self.count < self.most
        PyObject_GetBuffer(array, view, PyBUF_FORMAT | PyBUF_STRIDES | flags)
        self.count += 1
        if view.ndim != dimensions or view.itemsize != size or view.format[1] or strchr(formats, view.format[0]) == NULL:
            raise ValueError(f"cannot use an array of {view.ndim} dimensions of {view.format} here")
        return view

    cdef Py_buffer *packed(
        self, object array, const char *formats, Py_ssize_t size, int dimensions=1, int flags=0
    ) except NULL:
        """The same of an array without gaps."""
        cdef Py_buffer *view = self.of(array, formats, size, dimensions, flags)
        if not PyBuffer_IsContiguous(view, c"C"):
            raise ValueError("cannot use an array with gaps here")
        return view


cdef object column(object kind, const void *items, Py_ssize_t count, Py_ssize_t size):
    """A new array of these items."""
    array = empty(count, kind)
    cdef Buffers buffers = Buffers.__new__(Buffers, 1)
    memcpy(buffers.of(array, b"lqILd", size, 1, PyBUF_WRITABLE).buf, items, count * size)
    return array


include "_lines.pxi"
include "_fingerprints.pxi"
include "_heads.pxi"
include "_windows.pxi"
