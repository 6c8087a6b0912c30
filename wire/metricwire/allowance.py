"""How often an address may do something. The clock is the caller's."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

KEPT = 65536  # addresses that are remembered: the one asked about longest ago goes first
LATELY = 1024  # whose network is known: in a flood, reading the address took longer than anything else


@dataclass(slots=True)
class _Left:
    count: float
    at: float


class Allowances:
    """Each address may `most` times at once; what it used comes back evenly, all of it within `seconds`."""

    def __init__(self, most: int, seconds: float, clock: Callable[[], float]) -> None:
        self._most, self._seconds, self._clock = most, seconds, clock
        self._left: OrderedDict[str, _Left] = OrderedDict()

    def __len__(self) -> int:
        return len(self._left)

    def wait(self, address: str) -> float:
        """Seconds until the address may; 0: now."""
        found = self._left.get(network_of(address))
        return 0.0 if found is None else self._wait(found)

    def take(self, address: str) -> float:
        """Use one up, if there is one. Seconds until there is one; 0: there was."""
        network = network_of(address)
        found = self._left.setdefault(network, _Left(self._most, self._clock()))
        self._left.move_to_end(network)
        if len(self._left) > KEPT:
            self._left.popitem(last=False)
        wait = self._wait(found)
        found.count -= not wait
        return wait

    def give(self, address: str) -> None:
        """It did not count after all."""
        found = self._left.get(network_of(address))
        if found is not None:
            found.count += 1

    def _wait(self, found: _Left) -> float:
        now = self._clock()
        found.count = min(found.count + max(now - found.at, 0.0) * self._most / self._seconds, self._most)
        found.at = now
        return max((1 - found.count) * self._seconds / self._most, 0.0)


@lru_cache(LATELY)
def network_of(address: str) -> str:
    """Whose doings count together: of an IPv6 address the network, for one host has all of it."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))
    return str(found)
