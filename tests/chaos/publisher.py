"""Writers by NATS beside those by HTTP: one to a subject of core NATS, one to a stream, until they are stopped."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from nats.js.api import PubAck

from chaos.program import Program
from natsserver import NatsServer

CORE, KEPT, STREAM = "core", "kept", "KEPT"
THREADS = 10  # series of each host: lines of a message
AT_ONCE = 20  # messages between two pauses
PAUSE = 0.01
MESSAGES = 150_000  # one second of time each: less than the retention of 48 h
SETTINGS = "max_payload: 65536"  # of the server: the store asks for as many messages as it has room for of this size


def body(host: str, number: int, start: int) -> bytes:
    """A message: the value of every line is its number."""
    lines = [f"n,hostname={host},type=hwthread,type-id={thread} value={number} {start + number}" for thread in range(THREADS)]
    return "\n".join(lines).encode()


class Publisher(threading.Thread):
    """Sends to both; `sent`: how many messages of each the server has taken."""

    def __init__(self, server: NatsServer) -> None:
        super().__init__(daemon=True)
        self.start_time = int(time.time()) - MESSAGES - 600
        self.sent = 0
        self.stop = threading.Event()
        self._server = server
        self._failure: BaseException | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._publish())
        except BaseException as error:  # noqa: BLE001 - raised again by `finish`
            self._failure = error

    async def _publish(self) -> None:
        async with self._server.client() as connection:
            stream = connection.jetstream()
            while not self.stop.is_set() and self.sent + AT_ONCE <= MESSAGES:
                waiting: list[asyncio.Future[PubAck]] = []
                for number in range(self.sent, self.sent + AT_ONCE):
                    await connection.publish(CORE, body("core", number, self.start_time))
                    waiting.append(await stream.publish_async(KEPT, body("kept", number, self.start_time)))
                await asyncio.gather(*waiting)
                await connection.flush()
                self.sent += AT_ONCE
                await asyncio.sleep(PAUSE)

    def finish(self) -> None:
        """End it; what surprised it is raised."""
        self.stop.set()
        self.join()
        if self._failure is not None:
            raise self._failure


def nats_books(store: Program) -> Counter[str]:
    """`metricstore_nats_*`: sums over all subjects, and "<subject> <name>" of each; for messages the name is the outcome."""
    found: Counter[str] = Counter()
    for line in store.ask("GET", "/metrics/self", port=store.ops).text.splitlines():
        if line.startswith("metricstore_nats_"):
            name, _, value = line.removeprefix("metricstore_nats_").rpartition(" ")
            short, _, labels = name.partition("{")
            subject, outcome = (labels.partition(f'{label}="')[2].partition('"')[0] for label in ("subject", "outcome"))
            for key in {short, f"{subject} {outcome or short}"}:
                found[key] += float(value)  # type: ignore[assignment]
    return found


def await_books(store: Program, wanted: Callable[[Counter[str]], bool]) -> None:
    """Wait until the books are so."""
    deadline = time.monotonic() + 60
    while not wanted(nats_books(store)):
        assert time.monotonic() < deadline, nats_books(store)
        time.sleep(0.01)


async def acknowledged(server: NatsServer) -> int:
    """How many messages of the stream the store has acknowledged, without a gap; some at least."""
    deadline = time.monotonic() + 60
    while not (count := (await server.consumer(STREAM)).ack_floor.stream_seq):
        assert time.monotonic() < deadline, "nothing is acknowledged"
        await asyncio.sleep(0.05)
    return count


async def drained(server: NatsServer) -> None:
    """Wait until the stream has nothing more for the store."""
    deadline = time.monotonic() + 300
    while (info := await server.consumer(STREAM)).num_pending or info.num_ack_pending:
        assert time.monotonic() < deadline, f"{info.num_pending} messages are still in the stream"
        await asyncio.sleep(0.05)


def there(store: Program, host: str, start: int, count: int) -> npt.NDArray[np.bool_]:
    """Which of the host's messages are stored whole; a value that is not what was sent is an error."""
    whole = np.ones(count, bool)
    for thread in range(THREADS):
        query = {"metric": "n", "host": host, "type": "hwthread", "type-ids": [str(thread)]}
        asked = {"cluster": "c", "from": start, "to": start + count, "queries": [query], "with-padding": False}
        answer = store.ask("POST", "/api/query", json.dumps(asked | {"with-stats": False}))
        values = np.full(count, np.nan)
        for entry in answer.json["results"][0]:
            data = np.array(entry["data"], float)
            values[entry["from"] - start : entry["from"] - start + len(data)] = data
        has = ~np.isnan(values)
        assert (values[has] == np.flatnonzero(has)).all(), "a value that nobody sent"
        whole &= has
    return whole
