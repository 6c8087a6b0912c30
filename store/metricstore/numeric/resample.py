"""Fewer points that look the same: largest-triangle-three-buckets (Steinarsson 2013), with cc-metric-store's bounds.

The first and last points stay. The others are cut into buckets of equal width; of each bucket the point stays that spans the
largest triangle with the point kept before it and the centre of the next bucket. A triangle with a missing corner counts as
larger than any other and the last such point wins: gaps stay visible, and answers equal cc-metric-store's.
"""

import numpy as np

from metricstore.numeric.aggregate import Values
from metricwire.errors import BadInput

POINTS_MIN = 1000  # shorter series are not resampled


def resample(values: Values, frequency: int, wanted: int) -> tuple[Values, int]:
    """Values at the wanted seconds per point where that thins them, and the seconds per point they then have.

    BadInput when `wanted` is coarser than the frequency but no multiple of it.
    """
    if wanted <= frequency:
        return values, frequency
    if wanted % frequency:
        raise BadInput(f"cannot resample to {wanted} s: must be a multiple of the metric's frequency, {frequency} s")
    count = len(values) // (wanted // frequency)
    if len(values) < POINTS_MIN or count < 1:
        return values, frequency
    if count < 3:
        return values[[0, -1]], wanted
    return values[_kept(values, count)], wanted


def _kept(values: Values, count: int) -> list[int]:
    """Indexes of the `count` points that stay."""
    last = len(values) - 1
    width = (len(values) - 2) / (count - 2)
    bounds = [1, *(min(int(n * width) + 1, last - 1) for n in range(1, count))]
    bounds[1] = int(width) + 1
    kept = [0]
    for low, middle, high in zip(bounds, bounds[1:], bounds[2:], strict=False):
        x = np.arange(low, middle)
        following = values[middle : high + 1]
        centre_x, centre_y = (middle + high) / 2, following.sum() / len(following)
        before = kept[-1]
        twice = (before - centre_x) * (values[low:middle] - values[before]) - (before - x) * (centre_y - values[before])
        area = np.abs(twice)
        missing = np.flatnonzero(np.isnan(area))
        kept.append(low + int(missing[-1] if len(missing) else area.argmax()))
    return [*kept, last]
