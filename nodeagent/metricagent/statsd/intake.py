"""Packets to readings: what each holds, whose it is, and the books on both.

    packets = parsed + bad + dropped (+ those that the kernel dropped before)

A packet is bad if anything in it is; its other values are taken all the same. A pod may send before the API server has said
what its address is: values of senders that are unknown wait until the end of the interval, and are asked for again.
"""

import logging
import threading
from collections import Counter
from collections.abc import Iterable

from metricagent.attribution import NOBODY, Attribution, Sender
from metricagent.collector import Reading
from metricagent.statsd.aggregation import Aggregation, Arrival, Series
from metricagent.statsd.datagrams import PACKET_MOST, Datagram, address_text
from metricagent.statsd.packets import CONTAINER_TAG, REASONS, Claim, Value, parse

WAITING_MOST = 1000  # values of unknown senders that wait; with more of them none does until the interval is over

logger = logging.getLogger(__name__)


class Intake:
    """One thread takes packets, another one collects."""

    def __init__(self, attribution: Attribution, aggregation: Aggregation) -> None:
        self._attribution, self._aggregation = attribution, aggregation
        self._lock = threading.Lock()
        self._waiting: dict[bytes, list[Value]] = {}  # by address
        self._wait_for = WAITING_MOST  # values more that may wait
        self._told: set[str] = set()
        self.packets = Counter({"parsed": 0, "bad": 0, "dropped": 0})
        self.bad = Counter(dict.fromkeys(REASONS, 0))
        self.left_out = Counter({"event": 0, "service-check": 0})
        self.unknown = 0  # values whose sender was not found

    def take(self, datagrams: Iterable[Datagram]) -> None:
        """What came from the socket, in order."""
        senders: dict[tuple[bytes, Claim], Sender] = {}  # not kept: pods come and go
        arrivals: list[Arrival] = []
        with self._lock:
            for packet, address in datagrams:
                for value in self._values(packet, address):
                    asked = (address, value.tail.claim)
                    sender = senders.get(asked)
                    if sender is None:
                        sender = senders[asked] = self._sender(*asked)
                    if sender is NOBODY and self._wait_for:
                        self._wait_for -= 1
                        self._waiting.setdefault(address, []).append(value)
                        continue
                    if self._waiting and (sender is NOBODY or address in self._waiting):
                        arrivals += self._waited(None if sender is NOBODY else address)
                    arrivals.append(self._arrival(sender, value))
            self._aggregation.add(arrivals)

    def collect(self, now: float) -> list[Reading]:
        """See Collector: what is shown at the end of an interval."""
        with self._lock:
            self._aggregation.add(self._waited())
            self._wait_for = WAITING_MOST
        return self._aggregation.collect(now)

    def _values(self, packet: bytes | None, address: bytes) -> list[Value]:
        if packet is None:
            self.packets["dropped"] += 1
            self._tell(address, f"a packet of more than {PACKET_MOST} bytes", "dropped")
            return []
        values, bad, events, checks = parse(packet)
        self.packets["bad" if bad else "parsed"] += 1
        for text, reason in bad:
            self.bad[reason] += 1
            self._tell(address, f"'{text}' is not understood", reason)
        if events or checks:
            self.left_out["event"] += events
            self.left_out["service-check"] += checks
        return values

    def _sender(self, address: bytes, claim: Claim) -> Sender:
        return self._attribution.sender(address_text(address), *claim)

    def _waited(self, address: bytes | None = None) -> list[Arrival]:
        """Those who wait, of one address or of all: they do no longer."""
        if address is None:
            found, self._waiting = self._waiting, {}
        else:
            found = {address: self._waiting.pop(address)}
        return [
            self._arrival(self._sender(address, value.tail.claim), value)
            for address, values in found.items()
            for value in values
        ]

    def _arrival(self, sender: Sender, value: Value) -> Arrival:
        metric, number, relative, tail = value
        tags = tail.tags
        if sender is NOBODY:
            self.unknown += 1
        elif sender.by_name:
            tags = tuple([tag for tag in tags if tag[0] != CONTAINER_TAG])
        return Arrival(Series(sender.owner, metric, tail.kind, tags), number, tail.weight, relative)

    def _tell(self, address: bytes, what: str, reason: str) -> None:
        """The first of each reason is a line in the log, the others are counted."""
        if reason not in self._told:
            self._told.add(reason)
            logger.warning("statsd: %s: %s, from %s; others of this kind are only counted", reason, what, address_text(address))
