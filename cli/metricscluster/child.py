"""A program run beside us: started, listened to, started again when it dies, stopped with us.

It never outlives us: where the kernel can (Linux), it is sent SIGTERM when we die, however that happens.
"""

import asyncio
import ctypes
import os
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import TextIO

from metricscluster.lines import event
from metricwire.errors import MetricsError

QUICK = 10.0  # seconds; who dies younger has not really lived
QUICK_DEATHS = 3  # in a row, after which it is given up
FIRST_WAIT = 0.5  # seconds between death and next start; twice as long after the next quick death
LINE = 65536  # bytes of a line of output; longer ones are cut into several
_PR_SET_PDEATHSIG = 1

Say = Callable[[str, str], None]
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Died(MetricsError):
    """The program does not stay up; the text holds its last error."""


class Child:
    """One program: `say(name, text)` is told of what happens, the file that `open_log` opens gets all it writes."""

    def __init__(self, name: str, command: Sequence[str], *, say: Say, open_log: Callable[[], TextIO], patience: float) -> None:
        self.name = name
        self._command = command
        self._say = say
        self._open_log = open_log
        self._patience = patience  # seconds that it may take to stop
        self._process: Process | None = None
        self._stopping = False
        self._last = ""

    async def run(self) -> None:
        """Keep it running until `stop`; Died when it cannot be."""
        with self._open_log() as log:
            await self._keep_alive(log)

    async def _keep_alive(self, log: TextIO) -> None:
        loop = asyncio.get_running_loop()
        deaths, wait = 0, FIRST_WAIT
        while not self._stopping:
            born = loop.time()
            status = await self._live(log)
            if self._stopping:
                return
            quick = loop.time() - born < QUICK
            deaths, wait = (deaths + 1, wait * 2 if deaths else FIRST_WAIT) if quick else (0, FIRST_WAIT)
            end = f"ended with status {status}" if status >= 0 else f"was ended by {signal.Signals(-status).name}"
            if deaths == QUICK_DEATHS:
                raise Died(f"{self.name} {end}, {QUICK_DEATHS} times in a row: {self._last or 'it said nothing'}")
            self._say(self.name, f"{end}; starting it again in {wait:g} s")
            await asyncio.sleep(wait)

    async def stop(self) -> None:
        """End it and wait until it has; after `patience` seconds it is killed."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(self._patience):
                await process.wait()
        except TimeoutError:
            self._say(self.name, f"does not stop within {self._patience:g} s: killed")
            self.kill()
            await process.wait()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()

    async def _live(self, log: TextIO) -> int:
        """One life: its exit status, negative for a signal. A session of its own: Ctrl-C is for us to pass on."""
        parent = os.getpid()
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            start_new_session=True,
            preexec_fn=lambda: die_with(parent),
            limit=LINE,
        )
        assert self._process.stdout is not None
        await self._listen(self._process.stdout, log)
        return await self._process.wait()

    async def _listen(self, stream: asyncio.StreamReader, log: TextIO) -> None:
        async for line in _lines(stream):
            log.write(line + "\n")
            log.flush()
            found = event(line)
            if found:
                self._say(self.name, found.text)
            if found is None or found.level in ("error", "critical"):
                self._last = found.message if found else line


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Its lines, without their LF; one that is longer than LINE comes in pieces."""
    while True:
        try:
            line = await stream.readuntil(b"\n")
        except asyncio.LimitOverrunError as error:
            line = await stream.readexactly(error.consumed)
        except asyncio.IncompleteReadError as error:
            line = error.partial
        if not line:
            return
        yield line.decode("utf-8", "replace").rstrip("\n")


def die_with(parent: int) -> None:
    """In the new process: ask for SIGTERM when `parent` ends, and end now if it already has."""
    if LIBC is not None:
        LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
