"""Which core and socket each hardware thread is in, from sysfs (Documentation/ABI/stable/sysfs-devices-system-cpu)."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from metricagent.host import integer


class Seat(NamedTuple):
    """Where a thread is, in the kernel's numbers; a die's and a core's count from 0 in each socket."""

    socket: int
    die: int
    core: int


def read(folder: Path) -> Seat | None:
    """The seat of the thread whose `topology` folder it is; None when there is none, as of a thread that is offline."""
    try:
        socket, core = integer(folder / "physical_package_id"), integer(folder / "core_id")
    except FileNotFoundError:
        return None
    try:
        die = integer(folder / "die_id")
    except FileNotFoundError:  # before Linux 5.2
        die = 0
    return Seat(socket, die, core)


def cores(seats: Mapping[str, Seat | None]) -> dict[str, str]:
    """The number of each thread's core: cores are counted in the order of their first threads, as ClusterCockpit does."""
    numbers: dict[Seat, str] = {}
    for thread in sorted(seats, key=int):
        seat = seats[thread]
        if seat is not None and seat not in numbers:
            numbers[seat] = str(len(numbers))
    return {thread: numbers[seat] for thread, seat in seats.items() if seat is not None}


class Topology:
    """The threads seen so far; one that goes offline keeps its seat, so that no core changes its number for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder  # /sys/devices/system/cpu
        self._seats: dict[str, Seat | None] = {}
        self.core: dict[str, str] = {}  # thread -> number of its core
        self.socket: dict[str, str] = {}  # thread -> number of its socket

    def learn(self, threads: Iterable[str]) -> None:
        """These threads are online."""
        new = [thread for thread in threads if thread not in self._seats]
        if new:
            self._seats |= {thread: read(self._folder / f"cpu{thread}" / "topology") for thread in new}
            self.core = cores(self._seats)
            self.socket = {thread: str(seat.socket) for thread, seat in self._seats.items() if seat and seat.socket >= 0}
