"""Energy and power of processors and their memory: RAPL, from /sys/class/powercap (Documentation/power/powercap).

The kernel lets only root read the counters (CVE-2020-8694). Left out: `psys`, which is the other zones and more, and the zones
of `intel-rapl-mmio`, which are the same ones again. Zones of dies count to their socket.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from metricagent.collector import Reading
from metricagent.collectors.rates import Rates
from metricagent.host import Host, Survey, folders, integer, word

logger = logging.getLogger(__name__)

ZONE = re.compile("intel-rapl:([0-9]+)(:[0-9]+)?")  # AMD's too
PACKAGE = re.compile("package-([0-9]+)(-die-[0-9]+)?")
MICRO = 1e-6


class Zone(NamedTuple):
    """A counter of a socket: its domain ("" all but the memory, else "core", "uncore", "dram"), its file, its range."""

    socket: str
    domain: str
    path: Path
    range: int  # microjoules after which it starts again


def zones(folder: Path) -> list[Zone]:
    """The zones of all sockets. PermissionError when they may not be read."""
    sockets: dict[str, str] = {}
    found = []
    for path in folders(folder):  # a package comes before its parts
        match = ZONE.fullmatch(path.name)
        if not match:
            continue
        name = word(path / "name")
        if package := PACKAGE.fullmatch(name):
            sockets[match[1]], name = package[1], ""
        if match[1] in sockets:
            integer(path / "energy_uj")
            found.append(Zone(sockets[match[1]], name, path / "energy_uj", integer(path / "max_energy_range_uj")))
    return found


class Meter:
    """Sums counters that start again at their range, every hour or so, into ones that do not."""

    def __init__(self) -> None:
        self._last: dict[Path, int] = {}
        self._joules: dict[tuple[str, str], float] = {}

    def add(self, counts: Mapping[Zone, int]) -> dict[tuple[str, str], float]:
        """Joules since the first call, by socket and domain, from the counters now, microjoules."""
        for zone, count in counts.items():
            used = count - self._last.get(zone.path, count)
            key = (zone.socket, zone.domain)
            self._joules[key] = self._joules.get(key, 0.0) + (used if used >= 0 else used + zone.range) * MICRO
            self._last[zone.path] = count
        return dict(self._joules)


class Energy:
    """The collector."""

    def __init__(self, host: Host) -> None:
        self._folder = host.sys / "class/powercap"
        self._zones = Survey(self._look)
        self._told = False
        self._meter = Meter()
        self._rates: Rates[tuple[str, str]] = Rates()

    def collect(self, now: float) -> list[Reading]:
        """Energy since the first call, power since the last."""
        zones = self._zones.at(now)
        if not zones:
            return []
        joules = self._meter.add({zone: integer(zone.path) for zone in zones})
        watts = self._rates.take(joules, now)
        values = (("rapl_energy", joules), ("rapl_average_power", watts))
        return [
            Reading(metric, value, "socket", socket, "domain" if domain else "", domain)
            for metric, found in values
            for (socket, domain), value in found.items()
        ]

    def _look(self) -> list[Zone]:
        try:
            return zones(self._folder)
        except PermissionError as error:
            if not self._told:
                self._told = True
                logger.info("cannot read %s: %s; no energy is shown", error.filename, error.strerror)
            return []
