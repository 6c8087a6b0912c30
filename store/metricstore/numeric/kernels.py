"""The loops over samples: compiled where the extension was built, else the same functions in NumPy."""

from metricstore.numeric.plain import NAMED, NAN_BITS, NO_ROW, SKIP, Closed, Lines

try:
    from metricstore.numeric._kernels import Fingerprints, HeadTable, scatter, spans, sums
except ImportError:
    from metricstore.numeric.plain import Fingerprints, HeadTable, scatter, spans, sums  # type: ignore[assignment]

    COMPILED = False
else:
    COMPILED = True

__all__ = [
    "COMPILED",
    "NAMED",
    "NAN_BITS",
    "NO_ROW",
    "SKIP",
    "Closed",
    "Fingerprints",
    "HeadTable",
    "Lines",
    "scatter",
    "spans",
    "sums",
]
