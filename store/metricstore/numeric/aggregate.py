"""What there is to say of series of values."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


class Statistics(NamedTuple):
    """Of the values of each row that are not missing; NaN for a row without any."""

    avg: Values
    min: Values
    max: Values


def statistics(rows: Values) -> Statistics:
    """Average, smallest and largest value of each row of (series, slots)."""
    count = (~np.isnan(rows)).sum(axis=1)
    missing = np.where(count, 0.0, np.nan)
    avg = np.nansum(rows, axis=1) / np.maximum(count, 1)
    smallest = np.fmin.reduce(rows, axis=1, initial=np.inf)
    largest = np.fmax.reduce(rows, axis=1, initial=-np.inf)
    return Statistics(avg + missing, np.where(count, smallest, np.nan), np.where(count, largest, np.nan))
