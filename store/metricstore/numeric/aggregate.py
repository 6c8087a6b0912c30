"""Putting series together, and what there is to say of one."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


class Statistics(NamedTuple):
    """Of the values that are not missing; all NaN where there are none."""

    avg: float
    min: float
    max: float


def combine(rows: Values, rule: Literal["sum", "avg"]) -> Values:
    """(series, slots) to (slots): a slot that one series lacks is missing in the result."""
    total: Values = rows.sum(axis=0)
    return total / len(rows) if rule == "avg" else total


def statistics(values: Values) -> Statistics:
    """Average, smallest and largest value."""
    present = values[~np.isnan(values)]
    if not len(present):
        return Statistics(np.nan, np.nan, np.nan)
    return Statistics(float(present.mean()), float(present.min()), float(present.max()))
