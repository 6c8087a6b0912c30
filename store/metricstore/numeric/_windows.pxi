"""Writing samples into windows, and adding their rows. Part of `_kernels.pyx`."""


cdef struct Window:
    int32_t frequency
    int64_t number
    Py_ssize_t capacity
    uint64_t *cells
    bint touched


cdef struct Scattering:
    Py_ssize_t n, count
    const uint32_t *numbers
    const int64_t *timestamps
    const double *values
    const int32_t *step
    const int32_t *phase
    const int32_t *row
    int64_t *first
    int64_t *last
    Window *targets
    int64_t *others


cdef struct Spanning:
    const int32_t *step
    const int32_t *phase
    const int64_t *first
    const int64_t *last
    int64_t start, end


cdef struct Extent:
    int64_t time  # when it begins
    int64_t slot
    int64_t slots
    bint mixed  # it begins in another slot in some of its series


def scatter(numbers, timestamps, values, step, phase, row, first, last, frequencies, windows, list arrays not None):
    """Write samples into the arrays of their windows. See plain.scatter."""
    cdef Py_ssize_t count = len(arrays)
    cdef Buffers buffers = Buffers.__new__(Buffers, 10 + count)
    cdef Py_buffer *samples = buffers.packed(numbers, b"I", 4)
    cdef Py_buffer *series = buffers.packed(step, b"i", 4)
    cdef Py_ssize_t n = samples.shape[0], known = series.shape[0], left = 0, j
    cdef Scattering work
    cdef Py_buffer *view
    cdef Window *targets
    work.n, work.count = n, count
    work.numbers = <const uint32_t *>samples.buf
    work.timestamps = <const int64_t *>column_of(buffers, timestamps, b"lq", 8, n, 0)
    work.values = <const double *>column_of(buffers, values, b"d", 8, n, 0)
    work.step = <const int32_t *>series.buf
    work.phase = <const int32_t *>column_of(buffers, phase, b"i", 4, known, 0)
    work.row = <const int32_t *>column_of(buffers, row, b"i", 4, known, 0)
    work.first = <int64_t *>column_of(buffers, first, b"lq", 8, known, PyBUF_WRITABLE)
    work.last = <int64_t *>column_of(buffers, last, b"lq", 8, known, PyBUF_WRITABLE)
    frequency = <const int32_t *>column_of(buffers, frequencies, b"i", 4, count, 0)
    window = <const int64_t *>column_of(buffers, windows, b"lq", 8, count, 0)
    for j in range(n):
        if work.numbers[j] >= <size_t>known:
            raise IndexError(f"cannot scatter: series {work.numbers[j]} of {known}")
    work.targets = <Window *>malloc((count + 1) * sizeof(Window))
    work.others = <int64_t *>malloc((n + 1) * 8)
    try:
        if work.targets == NULL or work.others == NULL:
            raise MemoryError(f"cannot scatter {n} samples into {count} windows")
        for j in range(count):
            view = buffers.packed(arrays[j], b"LQ", 8, 2, PyBUF_WRITABLE)
            if view.shape[1] != WIDTH:
                raise ValueError(f"cannot scatter: a window has {WIDTH} columns, not {view.shape[1]}")
            targets = &work.targets[j]
            targets.frequency, targets.number = frequency[j], window[j]
            targets.capacity, targets.cells, targets.touched = view.shape[0], <uint64_t *>view.buf, False
        left = scatter_all(&work)
        return column(INT64, work.others, left, 8), [bool(work.targets[j].touched) for j in range(count)]
    finally:
        free(work.targets)
        free(work.others)


cdef void *column_of(Buffers buffers, array, const char *formats, Py_ssize_t size, Py_ssize_t length, int flags) except NULL:
    cdef Py_buffer *view = buffers.packed(array, formats, size, 1, flags)
    if view.shape[0] != length:
        raise ValueError(f"cannot scatter: a column has {view.shape[0]} values, not {length}")
    return view.buf


cdef Py_ssize_t scatter_all(const Scattering *work) noexcept nogil:
    """Scatter; how many were left in `others`."""
    cdef uint64_t *cells[GROUP]
    cdef Py_ssize_t i = 0, k, size, at = 0, left = 0
    cdef uint32_t m
    cdef int64_t t
    while i < work.n:
        size = min(<Py_ssize_t>GROUP, work.n - i)
        for k in range(size):
            m = work.numbers[i + k]
            cells[k] = cell_of(work, &at, work.timestamps[i + k], work.step[m], work.phase[m], work.row[m])
            if cells[k] != NULL:
                work.targets[at].touched = True
                fetch_to_write(cells[k])
        for k in range(size):
            if cells[k] == NULL:
                work.others[left] = i + k
                left += 1
                continue
            m, t = work.numbers[i + k], work.timestamps[i + k]
            cells[k][0] = as_cell(work.values[i + k])
            work.first[m] = min(work.first[m], t)
            work.last[m] = max(work.last[m], t)
        i += size
    return left


cdef inline uint64_t *cell_of(
    const Scattering *work, Py_ssize_t *at, int64_t t, int32_t step, int32_t phase, int32_t row
) noexcept nogil:
    """The cell of a sample, NULL for none. `at` is the window of the sample before, often the same."""
    cdef int64_t slot
    cdef Py_ssize_t j = at[0], tried
    cdef const Window *target
    if step <= 0:
        return NULL
    t += step // 2 - phase
    slot = t // step
    slot -= slot * step > t  # C rounds to zero
    for tried in range(work.count):
        target = &work.targets[j]
        if target.frequency == step and target.number == slot >> SLOT_BITS:
            at[0] = j
            return target.cells + <Py_ssize_t>row * WIDTH + (slot & (WIDTH - 1)) if 0 <= row < target.capacity else NULL
        j = j + 1 if j + 1 < work.count else 0
    return NULL


def sums(array, rows, offsets, Py_ssize_t low, Py_ssize_t high, out):
    """Sums over groups of rows of a window. See plain.sums."""
    cdef Buffers buffers = Buffers.__new__(Buffers, 4)
    cdef Py_buffer *cells = buffers.packed(array, b"LQ", 8, 2)
    cdef Py_buffer *members = buffers.packed(rows, b"i", 4)
    cdef Py_buffer *cuts = buffers.packed(offsets, b"lq", 8)
    cdef Py_buffer *result = buffers.of(out, b"d", 8, 2, PyBUF_WRITABLE)
    cdef Py_ssize_t groups = cuts.shape[0] - 1, width = high - low, total = members.shape[0], k
    cdef const int32_t *row = <const int32_t *>members.buf
    cdef const int64_t *cut = <const int64_t *>cuts.buf
    cdef int32_t least = 0, most = -1
    if groups < 0 or not 0 <= low <= high <= cells.shape[1] or result.shape[0] != groups or result.shape[1] != width:
        raise ValueError(f"cannot sum columns {low} to {high} of {array.shape} into {out.shape} by {groups + 1} offsets")
    if width > 1 and groups and result.strides[1] != 8:
        raise ValueError("cannot sum: the values of a row are not contiguous")
    for k in range(groups):
        if cut[k] > cut[k + 1]:
            raise ValueError("cannot sum: the offsets do not cut the rows into groups")
    if cut[0] < 0 or cut[groups] > total:
        raise ValueError("cannot sum: the offsets do not cut the rows into groups")
    for k in range(total):
        least, most = min(least, row[k]), max(most, row[k])
    if least < -1 or most >= cells.shape[0]:
        raise IndexError(f"cannot sum: a row is not one of {cells.shape[0]}")
    for k in range(groups):
        sum_group(
            <const uint64_t *>cells.buf + low,
            cells.shape[1],
            row + cut[k],
            cut[k + 1] - cut[k],
            total - cut[k],
            width,
            <double *>(<char *>result.buf + k * result.strides[0]),
        )


cdef void sum_group(
    const uint64_t *cells,
    Py_ssize_t columns,
    const int32_t *rows,
    Py_ssize_t count,
    Py_ssize_t more,
    Py_ssize_t width,
    double *out,
) noexcept nogil:
    """The sum of `count` rows; `more` of them can be looked at, the next groups' included."""
    cdef const uint64_t *row
    cdef Py_ssize_t i, c
    cdef bint missing = count == 0
    for i in range(count):
        missing |= rows[i] < 0
    if missing:
        for c in range(width):
            out[c] = as_value(0)
        return
    for i in range(count):
        if i + ROWS_AHEAD < more and rows[i + ROWS_AHEAD] >= 0:
            row = cells + rows[i + ROWS_AHEAD] * columns
            for c in range(0, width, 8):  # cells of a cache line
                fetch_to_read(row + c)
        row = cells + rows[i] * columns
        if i == 0:
            for c in range(width):
                out[c] = as_value(row[c])
        else:
            for c in range(width):
                out[c] += as_value(row[c])


def spans(numbers, begins, step, phase, first, last, int64_t start, int64_t end):
    """What reading groups of series means. See plain.spans."""
    cdef Buffers buffers = Buffers.__new__(Buffers, 6)
    cdef Py_buffer *members = buffers.packed(numbers, b"lq", 8)
    cdef Py_buffer *cuts = buffers.packed(begins, b"lq", 8)
    cdef Py_buffer *series = buffers.packed(step, b"i", 4)
    cdef Py_ssize_t n = members.shape[0], groups = cuts.shape[0], known = series.shape[0], k, i, stop
    cdef const int64_t *number = <const int64_t *>members.buf
    cdef const int64_t *cut = <const int64_t *>cuts.buf
    cdef Spanning work
    cdef Extent found
    work.step = <const int32_t *>series.buf
    work.phase = <const int32_t *>column_of(buffers, phase, b"i", 4, known, 0)
    work.first = <const int64_t *>column_of(buffers, first, b"lq", 8, known, 0)
    work.last = <const int64_t *>column_of(buffers, last, b"lq", 8, known, 0)
    work.start, work.end = start, end
    for i in range(n):
        if not 0 <= number[i] < known:
            raise IndexError(f"cannot look at series {number[i]} of {known}")
        if work.step[number[i]] <= 0:
            raise ValueError(f"cannot look at series {number[i]}: it has no samples")
    if groups == 0 or cut[0] != 0:
        raise ValueError("cannot look at series: the groups do not fit")
    for k in range(groups):
        if cut[k] >= (cut[k + 1] if k + 1 < groups else n):
            raise ValueError("cannot look at series: the groups do not fit")
    columns = [empty(groups, INT64), empty(groups, INT64), empty(groups, INT64), empty(groups, BOOL)]
    cdef Buffers results = Buffers.__new__(Buffers, 4)
    starts = <int64_t *>results.of(columns[0], b"lq", 8, 1, PyBUF_WRITABLE).buf
    slots = <int64_t *>results.of(columns[1], b"lq", 8, 1, PyBUF_WRITABLE).buf
    counts = <int64_t *>results.of(columns[2], b"lq", 8, 1, PyBUF_WRITABLE).buf
    mixed = <uint8_t *>results.of(columns[3], b"?", 1, 1, PyBUF_WRITABLE).buf
    for k in range(groups):
        stop = cut[k + 1] if k + 1 < groups else n
        found = extent_of(&work, number + cut[k], stop - cut[k])
        starts[k], slots[k], counts[k], mixed[k] = found.time, found.slot, found.slots, found.mixed
    return tuple(columns)


cdef Extent extent_of(const Spanning *work, const int64_t *numbers, Py_ssize_t count) noexcept nogil:
    """Of one group, which is not empty."""
    cdef Extent whole
    cdef int64_t step = 0, phase = 0, first, slot = 0, wanted = 0, held, m
    cdef Py_ssize_t i
    whole.time = begin_of(work, numbers[0])
    for i in range(1, count):
        whole.time = min(whole.time, begin_of(work, numbers[i]))
    whole.slot = slot_of(whole.time, work.step[numbers[0]], work.phase[numbers[0]])
    whole.slots, whole.mixed = 0, False
    for i in range(count):
        m = numbers[i]
        if work.step[m] != step or work.phase[m] != phase:  # divisions are what this costs, and most series are alike
            step, phase = work.step[m], work.phase[m]
            slot = slot_of(whole.time, step, phase)
            wanted = max(-floor_of(whole.time - work.end, step), <int64_t>0)
            if slot != whole.slot:
                whole.mixed, whole.slot = True, min(whole.slot, slot)
        if whole.slots < wanted:
            first = work.first[m]
            held = min(wanted, slot_of(work.last[m], step, phase) + 1 - slot)
            if held > whole.slots and (first <= whole.time or slot_of(first, step, phase) < slot + wanted):
                whole.slots = held
    return whole


cdef inline int64_t begin_of(const Spanning *work, int64_t m) noexcept nogil:
    """When reading one series begins."""
    cdef int64_t step = work.step[m], phase = work.phase[m], first = work.first[m]
    if first + step <= work.start:  # its slot is no later either
        return work.start
    return max(work.start, slot_of(first, step, phase) * step + phase)


cdef inline int64_t floor_of(int64_t dividend, int64_t divisor) noexcept nogil:
    """As Python divides; C rounds to zero."""
    cdef int64_t quotient = dividend // divisor
    return quotient - (quotient * divisor > dividend)


cdef inline int64_t slot_of(int64_t time, int64_t step, int64_t phase) noexcept nogil:
    return floor_of(time - phase + step // 2, step)
