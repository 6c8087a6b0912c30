"""The table of heads, and decoding with it. Part of `_kernels.pyx`."""


cdef struct Entry:
    uint32_t tag  # upper half of the hash
    uint32_t number
    uint32_t place  # of the key in the arena, in words
    uint32_t length  # of the key, bytes; 0: the entry is free


cdef struct Run:  # of lines that follow one another, or the head of one
    Py_ssize_t line  # number of the first
    Py_ssize_t start  # bytes of the body
    Py_ssize_t end


cdef struct Runs:
    Run *items
    Py_ssize_t count, most


cdef Run *another(Runs *runs) except NULL:
    """Room for one more."""
    cdef Run *items
    if runs.count == runs.most:
        items = <Run *>realloc(runs.items, (2 * runs.most + 8) * sizeof(Run))
        if items == NULL:
            raise MemoryError(f"cannot decode: no memory for {2 * runs.most + 8} runs of lines")
        runs.items = items
        runs.most = 2 * runs.most + 8
    runs.count += 1
    return &runs.items[runs.count - 1]


cdef list listed(const Run *runs, Py_ssize_t count):
    return [(runs[k].line, runs[k].start, runs[k].end) for k in range(count)]


cdef struct Columns:
    int64_t *timestamps
    double *values
    uint32_t *numbers
    uint32_t *lines
    Py_ssize_t count


cdef inline bint same(const uint64_t *key, const uint8_t *head, uint32_t length) noexcept nogil:
    """Whether a key, padded with zeros, is the head; bytes behind the head can be read."""
    cdef uint64_t different = 0
    while length >= 8:
        different |= key[0] ^ load(head)
        key += 1
        head += 8
        length -= 8
    if length:
        different |= key[0] ^ (load(head) & ((1ULL << (8 * length)) - 1))
    return different == 0


cdef uint64_t hash_of(const uint64_t *key, uint32_t length, uint64_t seed) noexcept nogil:
    """As read_line hashes; the key is padded with zeros."""
    cdef uint64_t hash = seed
    cdef uint32_t words = length >> 3, k
    for k in range(words):
        hash = fold(hash ^ key[k], MIX)
    return hash_end(hash, key[words] if length & 7 else 0, length)


cdef void *spacious(Py_ssize_t size) except NULL:
    """Memory that is read in random order: in huge pages where the kernel has some, so that finding a page costs little."""
    cdef void *memory = NULL
    if size < HUGE_PAGE:
        memory = malloc(size)
    elif posix_memalign(&memory, HUGE_PAGE, size) == 0:
        madvise(memory, size, MADV_HUGEPAGE)  # only advice: without it the memory is as good, but slower
    if memory == NULL:
        raise MemoryError(f"cannot keep {size} bytes of heads")
    return memory


@cython.final
cdef class HeadTable:
    """From the bytes of a line before its first space to the number of its series."""

    cdef Entry *entries
    cdef uint64_t *arena
    cdef uint64_t mask, seed
    cdef Py_ssize_t used, words, words_most, line_max

    def __cinit__(self, Py_ssize_t line_max):
        self.line_max = line_max
        self.seed = int.from_bytes(os.urandom(8), "little")

    def __dealloc__(self):
        free(self.entries)
        free(self.arena)

    def __len__(self):
        return self.used

    @property
    def nbytes(self):
        """What the table takes."""
        return (<Py_ssize_t>(self.mask + 1) * sizeof(Entry) if self.entries else 0) + self.words_most * 8

    def clear(self):
        """Forget all heads."""
        free(self.entries)
        free(self.arena)
        self.entries = NULL
        self.arena = NULL
        self.mask = 0
        self.used = self.words = self.words_most = 0

    def add(self, bytes head not None, uint32_t number):
        """Remember, or change, the number of a head. One that is empty or has a byte below "!" is no line's, and not kept."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(head)
        cdef const uint8_t *text = <const uint8_t *>PyBytes_AS_STRING(head)
        cdef Py_ssize_t k
        cdef uint32_t length
        cdef uint64_t hash
        cdef uint64_t *key
        cdef Entry *entry
        if size == 0 or size > self.line_max:
            return
        for k in range(size):
            if text[k] < 0x21:
                return
        self._make_room((size + 7) >> 3)
        length = <uint32_t>size
        key = self.arena + self.words
        key[(size - 1) >> 3] = 0
        memcpy(key, text, size)
        hash = hash_of(key, length, self.seed)
        entry = &self.entries[hash & self.mask]
        while entry.length:
            if entry.tag == hash >> 32 and entry.length == length and memcmp(self.arena + entry.place, text, size) == 0:
                entry.number = number
                return
            entry = self._after(entry)
        entry.tag = <uint32_t>(hash >> 32)
        entry.number = number
        entry.place = <uint32_t>self.words
        entry.length = length
        self.words += (size + 7) >> 3
        self.used += 1

    cdef inline Entry *_after(self, Entry *entry) noexcept nogil:
        return self.entries if entry == &self.entries[self.mask] else entry + 1

    cdef int _make_room(self, Py_ssize_t words) except -1:
        """Of one more head; a word behind it, since comparing reads whole words."""
        cdef Py_ssize_t most = self.words_most
        cdef uint64_t *arena
        if self.words + words + 1 > most:
            most += max(most // 4, words + 1, FIRST_CAPACITY)
            if most >= 1LL << 32:
                raise MemoryError("cannot keep more than 32 GiB of heads")
            arena = <uint64_t *>spacious(most * 8)
            if self.words:
                memcpy(arena, self.arena, self.words * 8)
            free(self.arena)
            self.arena = arena
            self.words_most = most
        if self.entries == NULL:
            self._spread(FIRST_CAPACITY)
        elif <uint64_t>self.used * 4 >= (self.mask + 1) * 3:
            self._spread((self.mask + 1) * 2)
        return 0

    cdef int _spread(self, uint64_t capacity) except -1:
        """Move the entries to a table of another size, a power of two."""
        cdef Entry *old = self.entries
        cdef Entry *entry
        cdef uint64_t k, before = self.mask + 1 if old else 0
        cdef Entry *entries = <Entry *>spacious(capacity * sizeof(Entry))
        memset(entries, 0, capacity * sizeof(Entry))
        self.entries = entries
        self.mask = capacity - 1
        for k in range(before):
            if old[k].length:
                entry = &entries[hash_of(self.arena + old[k].place, old[k].length, self.seed) & self.mask]
                while entry.length:
                    entry = self._after(entry)
                entry[0] = old[k]
        free(old)
        return 0

    def decode(self, bytes body not None, int64_t now, int64_t oldest, int64_t latest, alive, closed=None):
        """The usual lines of a body as samples; where the others are. See Lines.

        now: seconds, for lines without a timestamp. A line is usual when it is a head of this table, one space, `value=`,
        a number of the form `_USUAL` of metricwire.lineprotocol, with or without a timestamp of seconds, has at most
        `line_max` bytes, and its timestamp is from `oldest` to `latest`. A series whose entry in `alive`, by its number, is
        0 or absent counts as not in the table: its head is fresh. With `closed` (Closed), such a line is refused where that is
        sure.
        A body with a quotation mark must not come here: its strings may hold LFs.
        """
        cdef const uint8_t *text = <const uint8_t *>PyBytes_AS_STRING(body)
        cdef Py_ssize_t size = PyBytes_GET_SIZE(body), cut
        cdef Decoding decoding = Decoding.__new__(Decoding)
        cdef uint8_t *tail
        cdef Buffers buffers = Buffers.__new__(Buffers, 1)
        cdef Py_buffer *view = buffers.packed(alive, b"B", 1)
        decoding.table = self
        decoding.alive, decoding.series = <const uint8_t *>view.buf, view.shape[0]
        decoding.now, decoding.oldest, decoding.latest = now, oldest, latest
        decoding.door = None if closed is None else Door(closed)
        decoding.reserve(size // LEAST_LINE + 1)
        cut = size - PADDING
        while cut > 0 and text[cut - 1] != c"\n":
            cut -= 1
        cut = max(cut, 0)
        if size:
            tail = <uint8_t *>malloc(size - cut + 1 + PADDING)
            if tail == NULL:
                raise MemoryError("cannot decode: no memory for the last line")
            memcpy(tail, text + cut, size - cut)
            memset(tail + size - cut, 0, 1 + PADDING)
            try:
                decoding.take(text, text + cut, 0)
                if text[size - 1] != c"\n":
                    tail[size - cut] = c"\n"
                    size += 1
                decoding.take(tail, tail + size - cut, cut)
            finally:
                free(tail)
        return decoding.result()


@cython.final
cdef class Decoding:
    """One call of HeadTable.decode. Until `result` it makes no Python object: collecting garbage could change the table."""

    cdef HeadTable table
    cdef const uint8_t *alive
    cdef Py_ssize_t series
    cdef int64_t now, oldest, latest
    cdef Columns columns
    cdef Runs others  # the last can still grow while `open`
    cdef bint open
    cdef Runs fresh  # heads
    cdef Door door
    cdef Run[NAMED] refused  # the first of those that are
    cdef void *memory
    cdef Py_ssize_t count, skipped, refused_count

    def __dealloc__(self):
        free(self.memory)
        free(self.others.items)
        free(self.fresh.items)

    cdef int reserve(self, Py_ssize_t samples) except -1:
        self.memory = malloc(samples * 24)
        if self.memory == NULL:
            raise MemoryError(f"cannot decode: no memory for {samples} samples")
        self.columns.timestamps = <int64_t *>self.memory
        self.columns.values = <double *>(self.columns.timestamps + samples)
        self.columns.numbers = <uint32_t *>(self.columns.values + samples)
        self.columns.lines = self.columns.numbers + samples
        return 0

    cdef int take(self, const uint8_t *text, const uint8_t *end, Py_ssize_t offset) except -1:
        """Decode whole lines, of which the first is at `offset` of the body."""
        cdef Line[GROUP] group
        cdef const uint8_t *at = text
        cdef int lines, k
        while at < end:
            lines = 0
            while at < end and lines < GROUP:
                read_line(at, end, self.table.seed, &group[lines])
                at = group[lines].end + 1
                if group[lines].usual and self.table.entries:
                    fetch_to_read(&self.table.entries[group[lines].hash & self.table.mask])
                lines += 1
            for k in range(lines):
                if group[k].usual:
                    self.find_entry(&group[k])
            for k in range(lines):
                self.count += 1
                if not (group[k].usual and self.fit(&group[k]) and (self.keep(&group[k]) or self.note(&group[k], text - offset))):
                    self.leave(group[k].start - text + offset, group[k].end - text + offset)
        return 0

    cdef inline void find_entry(self, Line *line) noexcept nogil:
        """The first entry that can be the line's, and ask for its key."""
        cdef Entry *entry
        cdef const uint8_t *key
        line.entry = NULL
        if self.table.entries == NULL:
            return
        entry = &self.table.entries[line.hash & self.table.mask]
        while entry.length and not (entry.tag == line.hash >> 32 and entry.length == line.length):
            entry = self.table._after(entry)
        if entry.length:
            line.entry = entry
            key = <const uint8_t *>(self.table.arena + entry.place)
            fetch_to_read(key)
            fetch_to_read(key + line.length - 1)

    cdef inline bint fit(self, Line *line) noexcept nogil:
        """Whether a usual line is of a time and size that are allowed."""
        if not line.stamped:
            line.timestamp = self.now
        return line.end - line.start <= self.table.line_max and self.oldest <= line.timestamp <= self.latest

    cdef inline bint keep(self, Line *line) except -1:
        """Take the sample of a line that fits, if it is a living series'."""
        cdef Entry *entry = line.entry
        cdef Py_ssize_t n = self.columns.count
        if entry == NULL:
            return False
        while not (
            entry.tag == line.hash >> 32
            and entry.length == line.length
            and same(self.table.arena + entry.place, line.start, line.length)
        ):
            entry = self.table._after(entry)
            if entry.length == 0:
                return False
        if entry.number == DROPPED:
            self.skipped += 1
        elif entry.number >= <size_t>self.series or self.alive[entry.number] == 0:
            return False
        else:
            self.columns.numbers[n] = entry.number
            self.columns.timestamps[n] = line.timestamp
            self.columns.values[n] = line.value if line.digits == NULL else self.read_long(line.digits)
            self.columns.lines[n] = <uint32_t>self.count
            self.columns.count = n + 1
        self.open = False
        return True

    cdef inline bint note(self, Line *line, const uint8_t *body) except -1:
        """Whether a line that fits is refused, since it would start a series while none can be started; else note its head."""
        cdef bint refused = self.door is not None and self.door.refuses(line.start, line.length)
        cdef Run *run = NULL
        if not refused and self.fresh.count < FRESH:
            run = another(&self.fresh)
            run.end = line.start - body + line.length
        elif refused and self.refused_count < NAMED:
            run = &self.refused[self.refused_count]
            run.end = line.end - body
        if run != NULL:
            run.line = self.count
            run.start = line.start - body
        if refused:
            self.refused_count += 1
            self.open = False
        return refused

    cdef double read_long(self, const uint8_t *digits) except? -1.0:
        """A number of many digits, which a space or LF ends."""
        cdef char *end
        return PyOS_string_to_double(<const char *>digits, &end, NULL)

    cdef int leave(self, Py_ssize_t start, Py_ssize_t end) except -1:
        """Note a line for the reference decoder; an empty one only inside a run, where it does no harm."""
        cdef Run *run
        if not self.open:
            if start == end:
                return 0
            run = another(&self.others)
            run.line = self.count
            run.start = start
            self.open = True
        self.others.items[self.others.count - 1].end = end
        return 0

    cdef object result(self):
        cdef Py_ssize_t n = self.columns.count
        return Lines(
            column(UINT32, self.columns.numbers, n, 4),
            column(INT64, self.columns.timestamps, n, 8),
            column(FLOAT64, self.columns.values, n, 8),
            column(UINT32, self.columns.lines, n, 4),
            self.skipped,
            listed(self.others.items, self.others.count),
            self.count,
            listed(self.refused, min(self.refused_count, NAMED)),
            self.refused_count,
            listed(self.fresh.items, self.fresh.count),
        )
