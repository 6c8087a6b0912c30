"""Lines from NATS, with a real nats-server: core and JetStream, coming and going, and books that close."""

import asyncio
import json
import logging
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.js import api
from nats.js.errors import NotFoundError

import natsserver
from chaos.program import Program
from metricstore.app import App
from metricstore.feeds.books import count_lines
from metricstore.feeds.feed import Feed
from metricstore.feeds.notice import QUIET, Trouble
from metricstore.ingest import Ingest, Receipt
from metricwire.errors import SettingsError, Unavailable
from metricwire.lineprotocol import decode
from natsfeed import CORE, START, STREAM, MakeServer, MakeStore, Store, line, messages, until
from natsserver import NatsServer
from storeapp import MakeApp

KILLS = 2


async def settled(server: NatsServer) -> None:
    """Wait until the server itself knows that all messages of the stream are stored."""
    deadline = time.monotonic() + 60
    while (info := await server.consumer("METRICS")).num_pending or info.num_ack_pending:
        assert time.monotonic() < deadline, f"{info.num_pending} wait, {info.num_ack_pending} are not acknowledged"
        await asyncio.sleep(0.01)


# Core NATS


@natsserver.needed
def test_messages_of_core_nats_are_stored(server: NatsServer, make_store: MakeStore, loop: asyncio.AbstractEventLoop) -> None:
    """As in cc-metric-store's config.json: two subscriptions to one subject, each gives its cluster to lines without one."""
    store = make_store(server.url, CORE, CORE | {"cluster-tag": "alex"})

    async def play() -> None:
        await until(lambda: store.nats("connected") == 1)
        await server.publish("hpc-nats", [line(0) + b"\n" + line(1) + b"\n", line(2), b"m,cluster=woody,hostname=h value=3"])
        await until(lambda: store.nats("messages_total", outcome="stored") == 6)
        assert await store.values(count=3) == await store.values(count=3, cluster="alex") == [0, 1, 2]
        assert store.nats("received_total", cluster="fritz") == 3
        assert store.nats("bytes_total", cluster="fritz") == len(line(0)) * 3 + 2 + len(b"m,cluster=woody,hostname=h value=3")
        assert store.nats("pending") == store.nats("pending_bytes") == 0
        assert "metricstore_nats_connected 1.0" in (await store.ask("GET", "/metrics/self")).text

    loop.run_until_complete(play())


@natsserver.needed
def test_bad_lines_do_not_take_good_ones_with_them(
    server: NatsServer, make_store: MakeStore, loop: asyncio.AbstractEventLoop
) -> None:
    """Not even where messages are stored together, and one leaves a string open."""
    store = make_store(server.url, CORE)

    async def play() -> None:
        await until(lambda: store.nats("connected") == 1)
        bad = [b"nonsense\n" + line(1), b'm,hostname=h value="', b'x" 5', bytes(range(256)), b"", b"# nothing"]
        await server.publish("hpc-nats", [line(0), *bad, line(2)])
        await until(lambda: store.nats("messages_total", outcome="stored") == 8)
        assert await store.values(count=3) == [0, 1, 2]
        lines = await store.lines()
        assert lines["stored"] == 3
        assert lines["received"] == sum(value for outcome, value in lines.items() if outcome != "received")

    loop.run_until_complete(play())


@natsserver.needed
def test_what_finds_no_room_is_dropped_and_counted(
    server: NatsServer, make_store: MakeStore, loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    store = make_store(server.url, CORE, nats={"pending-bytes": 4000})

    async def play() -> None:
        await until(lambda: store.nats("connected") == 1)
        sent = [b"\n".join([line(n), b"", b"# ", b"bad"]) for n in range(1000)]
        await server.publish("hpc-nats", [b"\n".join(sent), *sent])
        await until(lambda: store.nats("received_total") == 1001 and store.nats("pending") == 0)
        outcomes = {
            name: store.nats("messages_total", outcome=name) for name in ("stored", "refused", "unavailable", "dropped")
        }
        assert outcomes["stored"] + outcomes["dropped"] == 1001
        assert outcomes["dropped"] >= 1
        assert store.nats("lost_lines_total", reason="full") == 4000 - (await store.lines())["received"]
        stored = [value for value in await store.values(count=1000) if value is not None]
        assert len(stored) == outcomes["stored"]

    loop.run_until_complete(play())
    assert [text for text in messages(caplog) if "dropped" in text] == [
        "messages of hpc-nats are dropped: more than nats.pending-bytes wait to be stored"
    ]


@natsserver.needed
def test_stores_of_one_queue_share_messages(
    server: NatsServer, make_store: MakeStore, loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    stores = [make_store(server.url, CORE | {"queue": "stores"}, directory=str(tmp_path / name)) for name in "ab"]

    async def play() -> None:
        for store in stores:
            await until(lambda store=store: store.nats("connected") == 1)
        await server.publish("hpc-nats", [line(n) for n in range(100)])
        await until(lambda: sum(store.nats("messages_total", outcome="stored") for store in stores) == 100)
        both = zip(*[await store.values(count=100) for store in stores], strict=True)
        assert all((one is None) != (other is None) for one, other in both)

    loop.run_until_complete(play())


@natsserver.needed
def test_a_message_above_the_limit_of_bodies_is_refused(
    server: NatsServer, make_store: MakeStore, loop: asyncio.AbstractEventLoop
) -> None:
    loop.run_until_complete(server.make_stream("METRICS", "kept"))
    kept = {"subscribe-to": "kept", "stream": "METRICS", "cluster-tag": "fritz"}
    store = make_store(server.url, CORE, kept, limits={"body-bytes": 100})

    async def play() -> None:
        await until(lambda: store.nats("connected") == 1)
        large = b"\n".join(map(line, range(10)))
        await server.publish("hpc-nats", [large, line(0)])
        await server.keep("kept", [large, line(1)])
        await until(lambda: store.nats("messages_total", outcome="stored") == 2)
        assert store.nats("messages_total", outcome="refused") == 2
        assert store.nats("lost_lines_total", reason="too_large") == 20
        assert await store.values(count=3) == [0, 1, None]

    loop.run_until_complete(play())


class Failing(Ingest):
    """Fails once, as it is told."""

    def __init__(self, app: App, error: Exception) -> None:
        super().__init__(app.engine, app.settings)
        self._error: Exception | None = error

    async def write(self, body: bytes, cluster: str, node: str | None = None) -> Receipt:
        error, self._error = self._error, None
        if error is not None:
            raise error
        return await super().write(body, cluster, node)


@natsserver.needed
@pytest.mark.parametrize(
    ("subscription", "error", "said"),
    [
        (CORE, Unavailable("cannot store now: full", 1), "messages of hpc-nats are lost: cannot store now: full"),
        (CORE, RuntimeError("x"), "BUG: cannot store messages of hpc-nats"),
        (STREAM, Unavailable("cannot store now: full", 1), "taking hpc-nats from stream METRICS as consumer metricstore"),
    ],
)
def test_what_cannot_be_stored_is_counted_and_the_next_is_tried(
    server: NatsServer,
    make_app: MakeApp,
    loop: asyncio.AbstractEventLoop,
    caplog: pytest.LogCaptureFixture,
    subscription: dict[str, str],
    error: Exception,
    said: str,
) -> None:
    """Core NATS does not send it again; a stream does."""

    stream = "stream" in subscription
    caplog.set_level(logging.INFO)

    async def play() -> None:
        await server.make_stream("METRICS", "hpc-nats")
        store = {"nats-subscriptions": [subscription]}
        app = make_app({"nats": {"address": server.url}, "metric-store": store, "metrics": {"m": {"frequency": 1}}})
        feed = Feed(app.settings, Failing(app, error))
        client = Store(app, feed)
        feed.start()
        await until(lambda: client.nats("connected") == 1)
        await server.keep("hpc-nats", [line(0)])
        await until(lambda: client.nats("messages_total", outcome="unavailable") == 1)
        await server.keep("hpc-nats", [line(1)])
        await until(lambda: client.nats("messages_total", outcome="stored") == 1 + stream)
        await feed.stop()
        assert await client.values(count=2) == [0 if stream else None, 1]

    loop.run_until_complete(play())
    assert messages(caplog)[1:] == [said]


# JetStream


@natsserver.needed
def test_messages_of_a_stream_are_stored_and_acknowledged(
    server: NatsServer, make_store: MakeStore, loop: asyncio.AbstractEventLoop
) -> None:
    """Those from before the store was there as well. What nobody can store is ended, and does not come again."""
    loop.run_until_complete(server.make_stream("METRICS", "hpc-nats"))
    loop.run_until_complete(server.keep("hpc-nats", [line(0), b"bad\n" + line(1), b"bad", bytes(range(256)), b""]))
    store = make_store(server.url, STREAM)

    async def play() -> None:
        await until(lambda: store.nats("acknowledged_total") == 5)
        await server.keep("hpc-nats", map(line, range(2, 1000)))
        await until(lambda: store.nats("acknowledged_total") == 1003)
        assert await store.values(count=1000) == list(range(1000))
        assert store.nats("messages_total", outcome="stored") == 1001
        assert store.nats("messages_total", outcome="refused") == 2
        assert store.nats("redelivered_total") == 0
        await settled(server)
        info = await server.consumer("METRICS")
        assert (info.num_pending, info.num_ack_pending) == (0, 0)
        assert info.config.ack_policy == api.AckPolicy.EXPLICIT
        assert info.config.max_ack_pending == 256

    loop.run_until_complete(play())


class Held(Ingest):
    """Stores when it is let."""

    def __init__(self, app: App) -> None:
        super().__init__(app.engine, app.settings)
        self.asked, self.let = asyncio.Event(), asyncio.Event()

    async def write(self, body: bytes, cluster: str, node: str | None = None) -> Receipt:
        self.asked.set()
        await self.let.wait()
        return await super().write(body, cluster, node)


@natsserver.needed
def test_a_message_is_acknowledged_after_it_is_stored_not_before(
    server: NatsServer, make_app: MakeApp, loop: asyncio.AbstractEventLoop
) -> None:
    async def play() -> None:
        await server.make_stream("METRICS", "hpc-nats")
        app = make_app({"nats": {"address": server.url}, "metric-store": {"nats-subscriptions": [STREAM]}})
        held = Held(app)
        feed = Feed(app.settings, held)
        feed.start()
        await server.keep("hpc-nats", [line(0)])
        await held.asked.wait()
        assert (await server.consumer("METRICS")).num_ack_pending == 1
        stopping = asyncio.create_task(feed.stop())  # which waits for what has come
        assert (await server.consumer("METRICS")).num_ack_pending == 1
        held.let.set()
        await stopping
        await settled(server)

    loop.run_until_complete(play())


@natsserver.needed
def test_what_cannot_be_stored_now_comes_again(
    server: NatsServer, make_store: MakeStore, loop: asyncio.AbstractEventLoop
) -> None:
    store = make_store(server.url, STREAM, limits={"waiting": 1})

    async def play() -> None:
        await server.make_stream("METRICS", "hpc-nats")
        await server.keep("hpc-nats", map(line, range(20)))
        await until(lambda: store.nats("acknowledged_total") == 20)
        assert await store.values(count=20) == list(range(20))
        unavailable = store.nats("messages_total", outcome="unavailable")
        assert unavailable > 0
        assert store.nats("redelivered_total") == unavailable
        assert store.nats("received_total") == 20 + unavailable

    loop.run_until_complete(play())


@natsserver.needed
def test_a_stream_that_is_missing_is_named_and_awaited(
    server: NatsServer, make_store: MakeStore, loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    """And a consumer that somebody deletes is made again; other subscriptions go on meanwhile."""
    caplog.set_level(logging.INFO)
    store = make_store(server.url, STREAM, {"subscribe-to": "other", "cluster-tag": "fritz"})

    async def play() -> None:
        await until(lambda: len(messages(caplog)) == 2)
        await server.publish("other", [line(0)])
        await until(lambda: store.nats("messages_total", outcome="stored", subject="other") == 1)
        await server.make_stream("METRICS", "hpc-nats")
        await server.keep("hpc-nats", [line(1)])
        await until(lambda: store.nats("acknowledged_total") == 1)
        async with server.client() as connection:
            await connection.jsm().delete_consumer("METRICS", "metricstore")
        await server.keep("hpc-nats", [line(2)])
        await until(lambda: store.nats("acknowledged_total") == 3)  # a new consumer begins with the first message
        assert await store.values(count=3) == [0, 1, 2]

    loop.run_until_complete(play())
    missing, taking = (
        "cannot take hpc-nats from stream METRICS: there is no such stream; `nats stream add` makes it; trying again",
        "taking hpc-nats from stream METRICS as consumer metricstore",
    )
    found = messages(caplog)
    assert found[:3] == [f"taking metrics from NATS at 127.0.0.1:{server.port}", missing, taking]
    assert found[3].startswith("cannot take hpc-nats from stream METRICS: ")
    assert found[4:] == [taking]


@natsserver.needed
@pytest.mark.parametrize(
    ("consumer", "said"),
    [
        ({"deliver_subject": "elsewhere"}, "its consumer metricstore is not one that is pulled and acknowledged explicitly"),
        ({"filter_subject": "hpc-nats.b"}, "its consumer metricstore is for hpc-nats.b; set another `durable`"),
    ],
)
def test_a_consumer_that_does_not_fit_is_said(
    server: NatsServer,
    make_store: MakeStore,
    loop: asyncio.AbstractEventLoop,
    caplog: pytest.LogCaptureFixture,
    consumer: dict[str, str],
    said: str,
) -> None:
    async def prepare() -> None:
        await server.make_stream("METRICS", "hpc-nats.*")
        async with server.client() as connection:
            config = api.ConsumerConfig(durable_name="metricstore", **consumer)  # type: ignore[arg-type]
            await connection.jsm().add_consumer("METRICS", config)

    loop.run_until_complete(prepare())
    make_store(server.url, STREAM | {"subscribe-to": "hpc-nats.*"})
    loop.run_until_complete(until(lambda: any(said in text for text in messages(caplog))))


# NATS comes and goes


@natsserver.needed
def test_nats_comes_late_goes_and_comes_back(
    make_server: MakeServer, make_store: MakeStore, loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = make_server()
    kept = {"subscribe-to": "kept", "stream": "METRICS", "cluster-tag": "fritz"}
    store = make_store(server.url, CORE, kept)

    async def play() -> None:
        await until(lambda: bool(messages(caplog)))
        assert (await store.ask("GET", "/metrics/self")).status_code == 200
        assert store.nats("connected") == 0
        server.start()
        await server.make_stream("METRICS", "kept")
        await until(lambda: store.nats("connected") == 1)
        await server.publish("hpc-nats", [line(0)])
        await server.keep("kept", [line(1)])
        await until(lambda: store.nats("messages_total", outcome="stored") == 2)
        await settled(server)  # or the server brings line 1 once more when it is back
        server.stop()
        await until(lambda: store.nats("connected") == 0)
        server.start()
        await server.keep("kept", map(line, range(2, 9)))  # the store may be away still: these wait for it
        await until(lambda: store.nats("connected") == 1)
        await server.publish("hpc-nats", [line(9)])
        await until(lambda: store.nats("messages_total", outcome="stored") == 10)
        assert await store.values(count=10) == list(range(10))
        assert store.nats("reconnects_total") == 1

    loop.run_until_complete(play())
    found = [text for text in messages(caplog) if "stream" not in text]
    where = f"NATS at 127.0.0.1:{server.port}"
    assert sum(text == f"taking metrics from {where}" for text in found) == 2
    assert all(text.startswith((f"taking metrics from {where}", f"no {where}: ")) for text in found)
    assert len(found) <= 5, found  # away (why), here, away (why; perhaps another why), here


@pytest.fixture
def make_program(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    programs: list[Program] = []

    def make(url: str, *subscriptions: dict[str, str]) -> Program:
        programs.append(Program(tmp_path, store={"nats-subscriptions": list(subscriptions)}))
        programs[-1].settings["nats"] = {"address": url, "ack-wait": "1s"}
        return programs[-1]

    yield make
    for one in programs:
        one.kill()
        one.check_logs()


@natsserver.needed
def test_kill_9_under_load_loses_nothing_of_a_stream(server: NatsServer, make_program: Callable[..., Program]) -> None:
    """Killed while messages come: what it acknowledged is on disk, the rest comes again."""
    store = make_program(server.url, STREAM)
    count, size, hosts = 200, 20, 7
    all_lines = [[line(m * size + n, f"h{m % hosts}") for n in range(size)] for m in range(count * (KILLS + 1))]
    sent = [b"\n".join(lines) for lines in all_lines]

    async def play() -> list[int]:
        """Messages that were not acknowledged when the store was killed, for each time."""
        await server.make_stream("METRICS", "hpc-nats")
        open_ = []
        async with server.client() as connection:
            acknowledged = 0
            for part in range(KILLS + 1):
                store.run()
                publishing = asyncio.create_task(server.keep("hpc-nats", sent[part * count : (part + 1) * count]))
                while part < KILLS:
                    with suppress(NotFoundError):  # the store has yet to make it
                        info = await connection.jsm().consumer_info("METRICS", "metricstore")
                        if info.ack_floor.stream_seq > acknowledged:
                            store.end(signal.SIGKILL)
                            acknowledged = info.ack_floor.stream_seq
                            open_.append(info.num_ack_pending)
                            break
                await publishing
            while info.num_pending or info.num_ack_pending or info.delivered.stream_seq < len(sent):
                info = await connection.jsm().consumer_info("METRICS", "metricstore")
        return open_

    open_ = asyncio.run(play())
    assert store.end(signal.SIGTERM)[0] == 0
    store.run()
    queries = [{"metric": "m", "host": f"h{n}"} for n in range(hosts)]
    total = count * (KILLS + 1) * size
    asked = {"cluster": "fritz", "from": START, "to": START + total, "queries": queries, "with-padding": False}
    for host, (entry,) in enumerate(store.ask("POST", "/api/query", json.dumps(asked)).json["results"]):
        found = dict(enumerate(entry["data"], entry["from"] - START))
        assert all(found.get(n) == (n if n // size % hosts == host else None) for n in range(total))
    print(f"{len(sent)} messages of {size} lines, {KILLS} kills with {open_} messages not acknowledged, 0 lines lost")


def test_a_store_without_its_nats_starts_serves_and_ends(make_program: Callable[..., Program]) -> None:
    store = make_program("nats://127.0.0.1:1", CORE).run()
    assert store.ask("GET", "/healthz", port=store.ops).status == 200
    assert store.ask("POST", "/api/write", "m,cluster=c,hostname=h value=1").status == 200
    assert store.gauge("metricstore_nats_connected") == 0
    deadline = time.monotonic() + 60
    while "no NATS at" not in store._path("log").read_text():
        assert time.monotonic() < deadline, "nobody has tried"
        time.sleep(0.01)
    status, log = store.end()
    assert status == 0
    (warning,) = [one["message"] for one in log if one["level"] == "warning"]
    assert warning == "no NATS at 127.0.0.1:1: Connection refused; trying again"


# Settings


@pytest.mark.parametrize(
    ("nats", "subscriptions", "cause"),
    [
        ({"address": "http://x"}, [CORE], "nats.address is not of the form nats://host:port or tls://host:port"),
        ({"address": "nats://u:hidden@x:port"}, [CORE], "nats.address is not of the form nats://host:port or tls://host:port"),
        ({"address": "a, nats://"}, [CORE], "nats.address is not of the form nats://host:port or tls://host:port"),
        ({"password": "hidden", "password-file": "f"}, [CORE], "nats.password and nats.password-file exclude each other"),
        ({}, [CORE, CORE], "there is another one of the same subject and cluster, or stream and durable"),
        (
            {},
            [STREAM, STREAM | {"cluster-tag": "x"}],
            "there is another one of the same subject and cluster, or stream and durable",
        ),
        ({}, [STREAM | {"queue": "q"}], "a stream needs no queue; stores that share a `durable` share its messages"),
        (
            {},
            [CORE | {"cluster-tag": "../x"}],
            "cannot use the default cluster: cluster '../x' must not contain '..', '/' or '\\'",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(
    make_app: MakeApp, nats: dict[str, str], subscriptions: list[dict[str, str]], cause: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        make_app({"nats": nats, "metric-store": {"nats-subscriptions": subscriptions}})
    assert str(refused.value).endswith(cause)
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize(
    ("nats", "subscriptions", "missing"),
    [({"address": "x"}, [], "metric-store.nats-subscriptions"), ({}, [CORE], "nats.address")],
)
def test_half_of_the_settings_is_a_warning(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture, nats: dict[str, str], subscriptions: list[dict[str, str]], missing: str
) -> None:
    make_app({"nats": nats, "metric-store": {"nats-subscriptions": subscriptions}}).feed.start()
    assert messages(caplog) == [f"nothing is taken from NATS: {missing} is not set"]


# Parts


@given(st.lists(st.sampled_from([b"m,hostname=h value=1", b"bad", b"", b" ", b"#c", b" # c", b"\r", b"e event=1", b"\x00"])))
def test_lines_are_counted_as_they_are_decoded(lines: list[bytes]) -> None:
    body = b"\n".join(lines)
    batch = decode(body, now=0, cluster="c")
    assert count_lines(body) == len(batch.samples) + len(batch.labels) + batch.bad_count + batch.messages


def test_a_trouble_that_goes_on_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    trouble = Trouble(lambda: now)
    for now in (0, QUIET - 1, 2 * QUIET - 2, 3 * QUIET - 2, 3 * QUIET - 1):
        trouble.say("trouble at %d", now)
    assert messages(caplog) == ["trouble at 0", f"trouble at {3 * QUIET - 2:g}"]
