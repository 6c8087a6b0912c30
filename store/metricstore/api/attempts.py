"""Who tries to log in too often: TRIES a minute for a uid from an address, then a lock that grows up to LOCK_MAX.

Unknown uids are counted as known ones are, and a lock holds for the right password too: otherwise it would tell. It concerns
that uid from that address alone, so that nobody can lock a user out from elsewhere. An address has TRIES_ADDRESS a minute over
all uids: they cost us more than whoever sends them. That locks no uid, and tries at a locked one do not count for it.
"""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from metricwire.allowance import KEPT, Allowances, network_of
from metricwire.errors import TooMany

TRIES = 10  # within WINDOW
WINDOW = 60.0  # seconds
LOCK_MAX = 900.0  # seconds; the first lock is of WINDOW, each further one of twice the time
TRIES_ADDRESS = 100  # within WINDOW, of an address


@dataclass(slots=True)
class _Tries:
    times: list[float] = field(default_factory=list)
    locks: int = 0
    until: float = 0.0


class Attempts:
    """The tries of late: KEPT pairs of uid and address, and as many addresses; the one tried longest ago goes first."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._tries: OrderedDict[bytes, _Tries] = OrderedDict()
        self._left = Allowances(TRIES_ADDRESS, WINDOW, clock)

    def begin(self, uid: str, address: str) -> None:
        """Count a try; TooMany when there were too many."""
        network, now = network_of(address), self._clock()
        key = _key(uid, network)
        tries = self._tries.get(key)
        if tries is not None and now < tries.until:
            self._tries.move_to_end(key)
            raise _too_many(tries.until - now)
        wait = self._left.take(address)
        if wait:
            raise _too_many(wait)
        tries = self._tries.setdefault(key, _Tries())
        self._tries.move_to_end(key)
        if len(self._tries) > KEPT:
            self._tries.popitem(last=False)
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
        self._tries.pop(_key(uid, network_of(address)), None)
        self._left.give(address)


def _too_many(seconds: float) -> TooMany:
    return TooMany("cannot log in: too many tries; wait", math.ceil(seconds))


def _key(uid: str, network: str) -> bytes:
    """Of bounded size, whatever is sent."""
    return hashlib.sha256(f"{network} {uid}".encode(errors="surrogatepass")).digest()
