"""Who tries to log in too often: TRIES a minute for a uid from an address, then a lock that grows up to LOCK_MAX.

Unknown uids are counted as known ones are, and a lock holds for the right password too: otherwise it would tell. It concerns
that uid from that address alone, so that nobody can lock a user out from elsewhere.
"""

import hashlib
import ipaddress
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from metricwire.errors import TooMany

TRIES = 10  # within WINDOW
WINDOW = 60.0  # seconds
LOCK_MAX = 900.0  # seconds; the first lock is of WINDOW, each further one of twice the time
KEPT = 65536  # pairs of uid and address that are remembered: the one tried longest ago goes first


@dataclass(slots=True)
class _Tries:
    times: list[float] = field(default_factory=list)
    locks: int = 0
    until: float = 0.0


class Attempts:
    """The tries of late."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tries: OrderedDict[bytes, _Tries] = OrderedDict()

    def begin(self, uid: str, address: str) -> None:
        """Count a try; TooMany when there were too many."""
        key, now = _key(uid, address), self._clock()
        tries = self._tries.setdefault(key, _Tries())
        self._tries.move_to_end(key)
        if len(self._tries) > KEPT:
            self._tries.popitem(last=False)
        if now < tries.until:
            raise _too_many(tries.until - now)
        if now > tries.until + LOCK_MAX:
            tries.locks = 0
        tries.times = [time for time in tries.times if now - time < WINDOW]
        if len(tries.times) >= TRIES:
            tries.locks += 1
            tries.until = now + min(WINDOW * 2 ** (tries.locks - 1), LOCK_MAX)
            tries.times.clear()
            raise _too_many(tries.until - now)
        tries.times.append(now)

    def succeeded(self, uid: str, address: str) -> None:
        """Forget the tries: it was the right one."""
        self._tries.pop(_key(uid, address), None)


def _too_many(seconds: float) -> TooMany:
    return TooMany("cannot log in: too many tries; wait", math.ceil(seconds))


def _key(uid: str, address: str) -> bytes:
    """Of bounded size, whatever is sent. Of an IPv6 address the network counts: one host has all of it."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        network = address
    else:
        if isinstance(found, ipaddress.IPv6Address):
            mapped = found.ipv4_mapped
            network = str(mapped or ipaddress.ip_network((found, 64), strict=False))
        else:
            network = str(found)
    return hashlib.sha256(f"{network} {uid}".encode()).digest()
