"""Delivery over NATS: to a real nats-server, through it into a real store, and past everything it may refuse."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from nats.js import api

import natsserver
from certificates import write_pair
from metricagent.answers import Decision, Later, Smaller, Taken
from metricagent.encoding import Encoding
from metricagent.natsaccess import Access
from metricagent.natssubject import NatsSubject, acknowledgement
from metricagent.parcels import Parcel
from metricagent.spoolfile import Packed
from metricagent.tlsfiles import TlsFiles
from natsfeed import CORE, STREAM, MakeServer, MakeStore, line, until

SUBJECT = "hpc-nats"


def parcel(text: bytes) -> Parcel:
    return Parcel((Packed(Encoding.PLAIN, text.count(b"\n"), len(text), text),))


LINES = parcel(line(0) + b"\n" + line(1) + b"\n")


def play(subject: NatsSubject, scene: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        try:
            await scene()
        finally:
            await subject.aclose()

    asyncio.run(run())


@natsserver.needed
def test_what_a_stream_has_is_delivered_whether_or_not_anybody_listens(
    make_server: MakeServer, make_store: MakeStore, loop: asyncio.AbstractEventLoop
) -> None:
    server = make_server()
    subject = NatsSubject(Access([server.url]), SUBJECT)

    async def agent() -> None:
        assert (await send(subject)).kind == "unreachable"
        server.start()
        decision = await send(subject)
        assert decision.reason == "no stream keeps the subject hpc-nats; `nats stream add` makes one"
        await server.make_stream("METRICS", SUBJECT)
        assert await subject.send(LINES) == Taken()
        server.stop()
        assert isinstance(await subject.send(LINES), Later)
        server.start()
        assert await subject.send(parcel(line(2) + b"\n")) == Taken(), "the same agent, a new connection"
        await subject.aclose()

    loop.run_until_complete(agent())
    store = make_store(server.url, STREAM)

    async def check() -> None:
        await until(lambda: store.nats("messages_total", outcome="stored") == 2)
        assert await store.values(count=4) == [0, 1, 2, None]

    loop.run_until_complete(check())


async def send(subject: NatsSubject) -> Any:
    return await subject.send(LINES)


@natsserver.needed
def test_an_agent_a_stream_and_a_store(
    server: natsserver.NatsServer, make_store: MakeStore, loop: asyncio.AbstractEventLoop, write_settings: Callable[..., Path]
) -> None:
    """The program itself; its books close over what the stream has acknowledged, and the store has it."""
    settings = write_settings("", store=None, nats={"url": server.url, "subject": SUBJECT})
    store = make_store(server.url, STREAM)

    async def scene() -> None:
        await server.make_stream("METRICS", SUBJECT)
        command = (sys.executable, "-m", "metricagent", "--config", str(settings))
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        agent = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=environment)
        try:
            await until(lambda: store.nats("messages_total", outcome="stored") >= 2)
        finally:
            agent.terminate()
        output, _ = await agent.communicate()
        assert agent.returncode == 0
        messages = [json.loads(line)["message"] for line in output.splitlines()]
        assert "store reached" in messages
        assert messages[-1] == "agent stopped: 0 batches wait in the spool"
        asked = {
            "cluster": "fritz",
            "from": int(time.time()) - 60,
            "to": int(time.time()) + 1,
            "queries": [{"metric": "uptime", "host": "n1"}],
        }
        row = (await store.ask("POST", "/api/query", json=asked)).json()["results"][0]
        assert row[0]["data"]

    loop.run_until_complete(scene())


@natsserver.needed
def test_without_a_stream_delivery_is_best_effort(
    make_server: MakeServer, make_store: MakeStore, loop: asyncio.AbstractEventLoop
) -> None:
    server = make_server().start()
    subject = NatsSubject(Access([server.url]), SUBJECT, acknowledged=False)

    async def nobody_listens() -> None:
        assert await subject.send(LINES) == Taken()

    loop.run_until_complete(nobody_listens())
    store = make_store(server.url, CORE)

    async def somebody_listens() -> None:
        await until(lambda: store.nats("connected") == 1)
        await until(lambda: store.feed._feeds[0]._taken is not None)  # type: ignore[attr-defined]
        assert await subject.send(parcel(line(3) + b"\n")) == Taken()
        await until(lambda: store.nats("messages_total", outcome="stored") == 1)
        assert await store.values(count=4) == [None, None, None, 3]
        await subject.aclose()

    loop.run_until_complete(somebody_listens())


@natsserver.needed
@pytest.mark.parametrize("acknowledged", [True, False])
def test_what_the_server_does_not_permit_is_not_delivered(make_server: MakeServer, tmp_path: Path, acknowledged: bool) -> None:
    server = make_server('authorization {users: [{user: a, password: right, permissions: {publish: "_INBOX.>"}}]}').start()
    (tmp_path / "password").write_text("wrong\n")
    access = Access([server.url], username="a", password_file=tmp_path / "password")
    subject = NatsSubject(access, SUBJECT, acknowledged=acknowledged)

    async def scene() -> None:
        assert "Authorization Violation" in (await send(subject)).reason
        (tmp_path / "password").write_text("right\n")
        for _ in range(0 if acknowledged else 2):  # a request waits for its whole time before it says so
            decision = await send(subject)
            assert decision.kind == "permission"
            assert "Permissions Violation for Publish to" in decision.reason or "permissions violation" in decision.reason

    play(subject, scene)


@natsserver.needed
def test_messages_are_as_large_as_the_server_and_the_stream_take(make_server: MakeServer) -> None:
    server = make_server("max_payload: 2000").start()
    subject = NatsSubject(Access([server.url]), SUBJECT)

    async def scene() -> None:
        async with server.client() as client:
            await client.jetstream().add_stream(name="METRICS", subjects=[SUBJECT], max_msg_size=1000)
        assert await subject.send(parcel(b"x" * 2000 + b"\n")) == Smaller(by_store=True, most=2000)
        assert await subject.send(parcel(b"x" * 1500 + b"\n")) == Smaller(by_store=True)
        assert await subject.send(parcel(b"x" * 500 + b"\n")) == Taken()

    play(subject, scene)


@natsserver.needed
def test_a_full_stream_keeps_the_samples_in_the_spool(make_server: MakeServer) -> None:
    server = make_server().start()
    subject = NatsSubject(Access([server.url]), SUBJECT)

    async def scene() -> None:
        async with server.client() as client:
            await client.jetstream().add_stream(name="METRICS", subjects=[SUBJECT], max_msgs=1, discard=api.DiscardPolicy.NEW)
        assert await subject.send(LINES) == Taken()
        decision = await send(subject)
        assert (decision.kind, decision.reason) == ("stream", "its stream does not take it: maximum messages exceeded")

    play(subject, scene)


@natsserver.needed
def test_nothing_is_said_to_a_server_without_tls_when_tls_is_asked_for(make_server: MakeServer, tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path, "nats", "nats")
    tls = TlsFiles("nats", str(certificate), None, None)

    async def scene(url: str) -> Decision:
        subject = NatsSubject(Access([url], tls=tls), SUBJECT, acknowledged=False)
        try:
            return await subject.send(LINES)
        finally:
            await subject.aclose()

    plain = make_server().start()
    decision = asyncio.run(scene(plain.url))
    assert decision == Later("login", "the server does not speak TLS, which the settings ask for")
    secure = make_server(f'tls {{cert_file: "{certificate}", key_file: "{key}"}}').start()
    assert asyncio.run(scene(secure.url)) == Taken()


def test_a_login_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "creds").write_text("nothing")

    async def scene() -> None:
        for access, reason in (
            (
                Access(["nats://127.0.0.1:1"], credentials_file=tmp_path / "none"),
                "cannot read F/none: No such file or directory",
            ),
            (
                Access(["nats://127.0.0.1:1"], credentials_file=tmp_path / "creds"),
                "cannot use F/creds: it holds no NATS user JWT",
            ),
        ):
            decision = await send(NatsSubject(access, SUBJECT))
            assert decision.kind == "login"
            assert decision.reason.replace(str(tmp_path), "F").startswith(reason)

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("answer", "decision"),
    [
        ({"stream": "M", "seq": 1}, Taken()),
        ({"stream": "M", "seq": 1, "duplicate": True}, Taken()),
        ({"error": {"code": 400, "err_code": 10054, "description": "message size exceeds maximum allowed"}}, Smaller(True)),
        ({"error": {"code": 503, "description": "no"}}, Later("stream", "its stream does not take it: no")),
        ({"error": {}}, Later("stream", "its stream does not take it: None")),
        ({"error": "no", "stream": "M"}, Later("stranger", "what answers on that subject is no stream")),
        ({}, Later("stranger", "what answers on that subject is no stream")),
        ([], Later("stranger", "what answers on that subject is no stream")),
    ],
)
def test_what_answers_mean(answer: Any, decision: Decision) -> None:
    assert acknowledgement(json.dumps(answer).encode()) == decision


@pytest.mark.parametrize("answer", [b"", b"OK", b"\xff", b"[" * 100_000])
def test_what_is_no_answer_of_a_stream(answer: bytes) -> None:
    assert isinstance(acknowledgement(answer), Later)
