"""Numbers with their unit, short enough to read."""

import math

_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi")
_DECIMAL = ("", "k", "M", "G", "T", "P")
_SHORT = {
    "percent": "%",
    "seconds": "s",
    "bytes": "B",
    "bytes/s": "B/s",
    "hertz": "Hz",
    "watts": "W",
    "joules": "J",
    "count": "",
}
LARGEST = 1e6  # from where on a figure has an exponent
SMALLEST = 1e-6  # what is smaller is shown as 0


def figure(value: float | None, unit: str = "") -> str:
    """`1.5 GiB`, `12.3 %`, `840k`; `-` for none. Bytes go by 1024, all else by 1000."""
    if value is None or not math.isfinite(value):
        return "-"
    short = _SHORT.get(unit, unit)
    base, prefixes = (1024, _BINARY) if short.startswith("B") else (1000, _DECIMAL)
    if unit in {"percent", "celsius"} or abs(value) < base:
        digits, prefix = value, ""
    else:
        power = min(int(math.log(abs(value), base)), len(prefixes) - 1)
        digits, prefix = value / base**power, prefixes[power]
    if abs(digits) >= LARGEST:
        text = f"{digits:.3g}"
    else:
        text = f"{digits:.0f}" if digits == int(digits) and not prefix else f"{digits:.{_decimals(digits)}f}"
    tail = f"{prefix}{short}"
    return f"{text} {tail}" if short else f"{text}{tail}"


def _decimals(value: float) -> int:
    """So many that three digits are shown, six at most."""
    size = abs(value)
    if size >= 0.1 or size < SMALLEST:
        return 0 if size >= 100 else 1 if size >= 10 else 2
    return min(6, 2 - math.floor(math.log10(size)))


def sparkline(values: list[float | None], width: int) -> str:
    """The course of values in a word: a block of eight heights for each stretch of them, blank where there are none."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    blocks = "▁▂▃▄▅▆▇█"
    word = ""
    for column in range(min(width, len(values))):
        begin, end = (len(values) * at // min(width, len(values)) for at in (column, column + 1))
        part = [value for value in values[begin:end] if value is not None]
        mean = sum(part) / len(part) if part else None
        word += " " if mean is None else blocks[round((mean - low) / (high - low) * 7) if high > low else 0]
    return word
