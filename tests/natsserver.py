"""A real nats-server on a port and a folder of its own, and what tests say to it."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.js import api

from chaos.program import free_port

START_SECONDS = 30.0
ASKED_SECONDS = 30.0  # that JetStream is given for an answer

BINARY = shutil.which("nats-server", path=os.environ.get("PATH", "") + ":/usr/sbin")
needed = pytest.mark.skipif(BINARY is None, reason="nats-server is not installed here (Debian package nats-server)")


class NatsServer:
    """With JetStream. `settings` are more lines of its configuration."""

    def __init__(self, folder: Path, settings: str = "") -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._folder, self._settings = folder, settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "NatsServer":
        """Started, and taking connections."""
        assert BINARY is not None
        config = self._folder / f"nats-{self.port}.conf"
        kept = json.dumps(str(self._folder / "jetstream"))
        config.write_text(f"listen: 127.0.0.1:{self.port}\njetstream {{store_dir: {kept}}}\n{self._settings}")
        log = self._folder / f"nats-{self.port}.log"
        self._process = subprocess.Popen([BINARY, "-c", str(config), "-l", str(log)])
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self._process.poll() is None, log.read_text()
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                if connection.recv(5) == b"INFO ":
                    return self
            time.sleep(0.01)
        raise AssertionError(f"nats-server is not there after {START_SECONDS:g} s: {log.read_text()}")

    def stop(self) -> None:
        """Gone; what JetStream keeps is in its folder."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
            self._process = None

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[Client]:
        """A connection of the test's own."""
        connection = await nats.connect(self.url, **options)
        try:
            yield connection
        finally:
            await connection.close()

    async def publish(self, subject: str, messages: Iterable[bytes], **options: Any) -> None:
        """Send messages; when this returns the server has them."""
        async with self.client(**options) as connection:
            for message in messages:
                await connection.publish(subject, message)
            await connection.flush()

    async def make_stream(self, name: str, *subjects: str) -> None:
        """A stream that keeps these subjects."""
        async with self.client() as connection:
            await connection.jetstream(timeout=ASKED_SECONDS).add_stream(name=name, subjects=list(subjects))

    async def keep(self, subject: str, messages: Iterable[bytes]) -> None:
        """Publish to a stream; when this returns it has them."""
        async with self.client() as connection:
            stream = connection.jetstream()
            sent = [await stream.publish_async(subject, message) for message in messages]
            await asyncio.gather(*sent)

    async def consumer(self, stream: str, name: str = "metricstore") -> api.ConsumerInfo:
        """What the server knows of a consumer."""
        async with self.client() as connection:
            return await connection.jsm(timeout=ASKED_SECONDS).consumer_info(stream, name)
