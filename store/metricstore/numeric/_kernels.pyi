import numpy as np
from numpy.typing import NDArray

from metricstore.numeric.plain import Closed, Lines
from metricwire.samples import SeriesKey

class Fingerprints:
    def __len__(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def add(self, key: SeriesKey) -> None: ...
    def remove(self, key: SeriesKey) -> None: ...

class HeadTable:
    def __init__(self, line_max: int) -> None: ...
    def __len__(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def add(self, head: bytes, number: int) -> None: ...
    def clear(self) -> None: ...
    def decode(
        self, body: bytes, now: int, oldest: int, latest: int, alive: NDArray[np.uint8], closed: Closed | None = None
    ) -> Lines: ...

def scatter(
    numbers: NDArray[np.uint32],
    timestamps: NDArray[np.int64],
    values: NDArray[np.float64],
    step: NDArray[np.int32],
    phase: NDArray[np.int32],
    row: NDArray[np.int32],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    frequencies: NDArray[np.int32],
    windows: NDArray[np.int64],
    arrays: list[NDArray[np.uint64]],
) -> tuple[NDArray[np.int64], list[bool]]: ...
def spans(
    numbers: NDArray[np.int64],
    begins: NDArray[np.int64],
    step: NDArray[np.int32],
    phase: NDArray[np.int32],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    start: int,
    end: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]: ...
def sums(
    array: NDArray[np.uint64],
    rows: NDArray[np.int32],
    offsets: NDArray[np.int64],
    low: int,
    high: int,
    out: NDArray[np.float64],
) -> None: ...
