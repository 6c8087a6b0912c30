"""The loops over samples: compiled where the extension was built, else the same functions in NumPy."""

from metricstore.numeric.plain import NAN_BITS, NO_ROW, SKIP, Lines

try:
    from metricstore.numeric._kernels import HeadTable, scatter, sums
except ImportError:
    from metricstore.numeric.plain import HeadTable, scatter, sums  # type: ignore[assignment]

    COMPILED = False
else:
    COMPILED = True

__all__ = ["COMPILED", "NAN_BITS", "NO_ROW", "SKIP", "HeadTable", "Lines", "scatter", "sums"]
