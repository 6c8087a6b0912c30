"""Reading a line. Part of `_kernels.pyx`."""


cdef struct Line:
    const uint8_t *start
    const uint8_t *end  # its LF
    const uint8_t *digits  # of the value, where float() must read it
    uint64_t hash
    int64_t timestamp
    double value
    uint32_t length  # of the head, bytes
    bint usual
    bint stamped
    Entry *entry  # where to begin looking


cdef inline int read_digits(const uint8_t *at, uint64_t *number) noexcept nogil:
    """Up to eight digits, appended to the number; how many there were."""
    cdef uint64_t word = load(at) ^ EVERY(c"0")
    cdef uint64_t over = ((word + EVERY(0x76)) | word) & EVERY(0x80)
    cdef int count = 8
    if over:
        count = first_bit(over) >> 3
        if count == 0:
            return 0
        word <<= 64 - 8 * count
    number[0] = number[0] * SCALES[count] + <uint32_t>eight_digits(word)
    return count


cdef inline const uint8_t *read_value(const uint8_t *at, Line *line) noexcept nogil:
    """`-?` digits [`.` digits]; where it ends, NULL where it is none."""
    cdef uint64_t mantissa = 0
    cdef int whole, decimals = 0, more
    cdef bint minus = at[0] == c"-"
    line.digits = at
    at += minus
    whole = read_digits(at, &mantissa)
    if whole == 8:
        whole += read_digits(at + 8, &mantissa)
    if whole == 0 or whole > 15:
        return NULL
    at += whole
    if at[0] == c".":
        at += 1
        more = 8
        while more == 8 and decimals <= 16:
            more = read_digits(at, &mantissa)
            at += more
            decimals += more
        if decimals == 0 or decimals > 17:
            return NULL
    if mantissa < EXACT and whole + decimals <= 19:  # more digits can have left the 64 bits
        line.digits = NULL
        line.value = <double>mantissa / POWERS[decimals]
        if minus:
            line.value = -line.value
    return at


cdef inline const uint8_t *read_rest(const uint8_t *at, Line *line) noexcept nogil:
    """What follows the head, a space first: its LF, NULL where it is not usual."""
    cdef uint64_t seconds = 0
    cdef int count
    if at[0] != c" " or (load(at + 1) & VALUE_MASK) != VALUE:
        return NULL
    at = read_value(at + 7, line)
    if at == NULL:
        return NULL
    line.stamped = at[0] == c" "
    if line.stamped:
        count = read_digits(at + 1, &seconds)
        if count == 8:
            count += read_digits(at + 9, &seconds)
        if count == 0 or count > 10:
            return NULL
        line.timestamp = <int64_t>seconds
        at += 1 + count
    return at if at[0] == c"\n" else NULL


cdef inline uint64_t hash_end(uint64_t hash, uint64_t word, uint64_t length) noexcept nogil:
    return fold(hash ^ word, MIX ^ length)


cdef inline void read_line(const uint8_t *at, const uint8_t *end, uint64_t seed, Line *line) noexcept nogil:
    """Read the line at `at`. `end` is behind an LF."""
    cdef const uint8_t *p = at
    cdef uint64_t hash = seed, word = load(p), low = (word - EVERY(c"!")) & ~word & EVERY(0x80)
    cdef int count
    while not low:
        hash = fold(hash ^ word, MIX)
        p += 8
        word = load(p)
        low = (word - EVERY(c"!")) & ~word & EVERY(0x80)
    count = first_bit(low) >> 3
    p += count
    line.start = at
    line.length = <uint32_t>(p - at)
    line.hash = hash_end(hash, word & ((1ULL << (8 * count)) - 1), line.length)
    line.end = read_rest(p, line)
    line.usual = line.end != NULL
    if not line.usual:
        line.end = <const uint8_t *>memchr(p, c"\n", end - p)
