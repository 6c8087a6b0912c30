"""Whether a head can be of a series there is, told without decoding it whole. Part of `_kernels.pyx`.

A series has one fingerprint, however its head is spelt: the sum of the hashes of its parts, so that tags may stand in any order.
A head whose fingerprint no series has is of none; one whose fingerprint is there may be of another one than it seems.
Only plain heads are looked at: printable ASCII, no backslash, no tag twice. All others are for the reference decoder.
"""

cdef enum:
    PARTS_MOST = 64  # further tags of a head that is looked at
    LEVEL_LONGEST = 512  # bytes of a type and its id
    FIRST_FINGERPRINTS = 1024

cdef enum:  # what a tag's name means: those that say where, then the others
    CLUSTER, HOST, KIND, KIND_ID, BELOW, BELOW_ID, KNOWN, META, OTHER


cdef struct Part:
    const uint8_t *text
    uint32_t length


cdef inline uint64_t hash_text(const uint8_t *text, Py_ssize_t size, uint64_t seed) noexcept nogil:
    cdef uint64_t hash = seed, word = 0, length = size
    while size >= 8:
        hash = fold(hash ^ load(text), MIX)
        text += 8
        size -= 8
    memcpy(&word, text, size)
    return fold(hash ^ word, MIX ^ length)


cdef inline bint is_text(Part part, const char *text, uint32_t length) noexcept nogil:
    return part.length == length and memcmp(part.text, text, length) == 0


cdef inline int which(Part key) noexcept nogil:
    """What a tag's name means."""
    if is_text(key, "hostname", 8) or is_text(key, "host", 4):
        return HOST
    if is_text(key, "cluster", 7):
        return CLUSTER
    if is_text(key, "type", 4):
        return KIND
    if is_text(key, "type-id", 7):
        return KIND_ID
    if is_text(key, "stype", 5):
        return BELOW
    if is_text(key, "stype-id", 8):
        return BELOW_ID
    if is_text(key, "unit", 4) or is_text(key, "source", 6) or is_text(key, "group", 5):
        return META
    return OTHER


cdef inline uint32_t name_length(const uint8_t *at, const uint8_t *end, bint metric) noexcept nogil:
    """Bytes of a name up to "," or "=" or the end, where all of them are plain; 0 where they are not."""
    cdef const uint8_t *begin = at
    while at < end and at[0] != c"," and (metric or at[0] != c"="):
        if at[0] > 0x7E or at[0] < 0x21 or at[0] == c"\\":
            return 0
        at += 1
    return <uint32_t>(at - begin)


cdef inline bint is_folder(Part name) noexcept nogil:
    """Whether a cluster or host may be called that: these are names of folders elsewhere."""
    cdef uint32_t k
    for k in range(name.length):
        if name.text[k] == c"/" or (name.text[k] == c"." and (name.length == 1 or (k and name.text[k - 1] == c"."))):
            return False
    return True


@cython.final
cdef class Fingerprints:
    """Those of all series there are."""

    cdef uint64_t *table  # 0: free
    cdef uint64_t mask, seed
    cdef Py_ssize_t used

    def __cinit__(self):
        self.seed = int.from_bytes(os.urandom(8), "little")

    def __dealloc__(self):
        free(self.table)

    def __len__(self):
        return self.used

    @property
    def nbytes(self):
        """What the table takes."""
        return <Py_ssize_t>(self.mask + 1) * sizeof(uint64_t) if self.table else 0

    def add(self, key not None):
        """A series (SeriesKey) that was not there."""
        cdef uint64_t mark = self._of(key)
        if self.table == NULL:
            self._spread(FIRST_FINGERPRINTS)
        elif <uint64_t>self.used * 2 > self.mask:
            self._spread((self.mask + 1) * 2)
        self._put(mark)
        self.used += 1

    def remove(self, key not None):
        """A series that was there."""
        cdef uint64_t mark = self._of(key), at = mark & self.mask, hole
        if self.table == NULL:
            return
        while self.table[at] != mark:
            if self.table[at] == 0:
                return
            at = (at + 1) & self.mask
        self.used -= 1
        hole = at
        while True:  # those behind it move up, so that nothing is looked for beyond a free place
            at = (at + 1) & self.mask
            if self.table[at] == 0:
                break
            if ((at - self.table[at]) & self.mask) >= ((at - hole) & self.mask):
                self.table[hole] = self.table[at]
                hole = at
        self.table[hole] = 0

    cdef void _put(self, uint64_t mark) noexcept nogil:
        cdef uint64_t at = mark & self.mask
        while self.table[at]:
            at = (at + 1) & self.mask
        self.table[at] = mark

    cdef bint has(self, uint64_t mark) noexcept nogil:
        cdef uint64_t at = mark & self.mask
        if self.table == NULL:
            return False
        while self.table[at]:
            if self.table[at] == mark:
                return True
            at = (at + 1) & self.mask
        return False

    cdef int _spread(self, uint64_t capacity) except -1:
        """Move all to a table of another size, a power of two."""
        cdef uint64_t *old = self.table
        cdef uint64_t k, before = self.mask + 1 if old else 0
        cdef uint64_t *table = <uint64_t *>spacious(capacity * sizeof(uint64_t))
        memset(table, 0, capacity * sizeof(uint64_t))
        self.table = table
        self.mask = capacity - 1
        for k in range(before):
            if old[k]:
                self._put(old[k])
        free(old)
        return 0

    cdef inline uint64_t _role(self, int role) noexcept nogil:
        return self.seed + <uint64_t>(role + 1) * MIX

    cdef uint64_t _text(self, str text, uint64_t seed) except? 0:
        cdef Py_ssize_t size
        cdef const char *bytes = PyUnicode_AsUTF8AndSize(text, &size)
        return hash_text(<const uint8_t *>bytes, size, seed)

    cdef uint64_t _of(self, object key) except? 0:
        """The fingerprint of a series."""
        place, metric, tags = key
        cluster, host, kind, kind_id, below, below_id = place
        first, second = kind + kind_id, below + below_id
        cdef uint64_t sum = self._text(metric, self._role(OTHER))
        sum += self._text(cluster, self._role(CLUSTER)) + self._text(host, self._role(HOST))
        if not first:
            first, second = second, first
        if first:
            sum += self._text(first, self._role(KIND))
        if second:
            sum += self._text(second, self._role(BELOW))
        for name, value in tags:
            sum += self._text(value, self._text(name, self._role(META)))
        return sum if sum else 1


cdef inline bint concatenated(Part first, Part second, uint8_t *into, Part *whole) noexcept nogil:
    """Both in a row, where there is room for them."""
    if first.length + second.length > LEVEL_LONGEST:
        return False
    memcpy(into, first.text, first.length)
    memcpy(into + first.length, second.text, second.length)
    whole.text = into
    whole.length = first.length + second.length
    return True


@cython.final
cdef class Door:
    """What is refused while no series can be started: see Closed of `plain.py`."""

    cdef Fingerprints fingerprints
    cdef object texts  # keeps alive what the parts point to
    cdef Part cluster, host, only
    cdef uint32_t tags, name

    def __cinit__(self, closed):
        self.fingerprints = closed.fingerprints
        self.texts = closed
        self._point(&self.cluster, closed.cluster)
        self._point(&self.host, closed.host)
        self._point(&self.only, closed.only)
        self.tags, self.name = min(closed.tags, PARTS_MOST), closed.name

    cdef void _point(self, Part *part, bytes text):
        part.text = <const uint8_t *>PyBytes_AS_STRING(text)
        part.length = <uint32_t>PyBytes_GET_SIZE(text)

    cdef bint refuses(self, const uint8_t *at, uint32_t length) noexcept nogil:
        """Whether the head is a good one, may be written from here, and is of no series."""
        cdef const uint8_t *end = at + length
        cdef Part[KNOWN] known
        cdef uint64_t[PARTS_MOST] names  # hashes
        cdef uint32_t count = 0, others = 0, k
        cdef uint64_t sum
        cdef Part metric, key, value
        cdef int what
        memset(known, 0, sizeof(known))
        metric.text = at
        metric.length = name_length(at, end, True)
        if metric.length == 0 or metric.length > self.name or at[0] == c"#" or is_text(metric, "info", 4):
            return False
        sum = hash_text(metric.text, metric.length, self.fingerprints._role(OTHER))
        at += metric.length
        while at < end:
            key.text = at + 1  # behind the comma
            key.length = name_length(key.text, end, False)
            at = key.text + key.length
            if key.length == 0 or key.length > self.name or at >= end or at[0] != c"=":
                return False
            value.text = at + 1
            value.length = name_length(value.text, end, False)
            at = value.text + value.length
            count += 1
            if value.length == 0 or value.length > self.name or (at < end and at[0] != c",") or count > self.tags:
                return False
            what = which(key)
            if what == OTHER:
                names[others] = hash_text(key.text, key.length, self.fingerprints._role(META))
                for k in range(others):
                    if names[k] == names[others]:
                        return False
                sum += hash_text(value.text, value.length, names[others])
                others += 1
            elif what != META:
                if known[what].text != NULL:
                    return False
                known[what] = value
        return self.add_place(known, &sum) and not self.fingerprints.has(sum if sum else 1)

    cdef bint add_place(self, Part *known, uint64_t *sum) noexcept nogil:
        """Add what the tags that say where hash to; whether they are good ones, of a place that may be written."""
        cdef uint8_t[LEVEL_LONGEST] first_text, second_text
        cdef Part first, second, cluster = known[CLUSTER] if known[CLUSTER].text != NULL else self.cluster
        if cluster.length == 0 or known[HOST].text == NULL or not is_folder(cluster) or not is_folder(known[HOST]):
            return False
        if self.host.length and not is_text(known[HOST], <const char *>self.host.text, self.host.length):
            return False
        if self.only.length and not is_text(cluster, <const char *>self.only.text, self.only.length):
            return False
        if is_text(known[KIND], "node", 4):
            known[KIND].length = known[KIND_ID].length = 0
        if (known[KIND_ID].length and not known[KIND].length) or (known[BELOW_ID].length and not known[BELOW].length):
            return False
        if not concatenated(known[KIND], known[KIND_ID], first_text, &first):
            return False
        if not concatenated(known[BELOW], known[BELOW_ID], second_text, &second):
            return False
        if first.length == 0:
            first, second = second, first
        sum[0] += hash_text(cluster.text, cluster.length, self.fingerprints._role(CLUSTER))
        sum[0] += hash_text(known[HOST].text, known[HOST].length, self.fingerprints._role(HOST))
        if first.length:
            sum[0] += hash_text(first.text, first.length, self.fingerprints._role(KIND))
        if second.length:
            sum[0] += hash_text(second.text, second.length, self.fingerprints._role(BELOW))
        return True
