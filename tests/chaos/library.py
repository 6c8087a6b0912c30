"""The store as a library: an engine in this process, killed and opened again on its folder, and all that it holds."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from chaos.book import Found
from chaos.seam import Killed, Unsynced
from metricstore.disk.formats import Columns
from metricstore.engine import Engine
from metricstore.reading import Groups
from metricstore.settings import Limits, Metric
from metricwire.samples import Labels, Place, SeriesKey

NOW = 1_800_000_000
RETENTION = 7200
METRICS = {"m": Metric(10, "sum"), "slow": Metric(60, "avg")}
ALL_TIME = (-(2**40), 2**40)


class Library:
    """An engine on the folder; `clock` is what time it takes it to be. `passed`: seconds that nobody sets."""

    def __init__(self, path: Path, files: Unsynced | None = None, clock: int = NOW, **options: Any) -> None:
        self.path, self.files, self.clock, self.passed = path, files or Unsynced(), clock, 0
        self.broken: list[Exception] = []
        self.options: dict[str, Any] = {
            "metrics": METRICS,
            "retention": RETENTION,
            "limits": Limits(),
            "archived": False,
        } | options
        self.engine: Engine | None = None

    @property
    def it(self) -> Engine:
        assert self.engine is not None, "it is closed"
        return self.engine

    def open(self) -> "Library":
        """A start. Killed while starting, it is closed."""
        try:
            self.engine = Engine(
                self.path, clock=lambda: self.clock, files=self.files, on_broken=self.broken.append, **self.options
            )
            self.engine.recover()
        except Killed:
            self.kill()
            raise
        return self

    def kill(self) -> None:
        """Forget the process: nothing is finished, what the system gives back by itself is given back."""
        engine, self.engine = self.engine, None
        if engine is not None:
            engine.commits._thread.shutdown(cancel_futures=True)
            engine._sealer.shutdown(cancel_futures=True)
            engine.blocks.close()
            engine._directory.close()
        else:
            self._unlock()
        self.files.abandon()

    def _unlock(self) -> None:
        """The folder, of a process that was killed before there was an engine."""
        for link in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if link.readlink() == self.path / "lock":
                    os.close(int(link.name))

    async def close(self) -> None:
        engine = self.it
        await engine.close()
        self.engine = None

    async def write(self, samples: Sequence[tuple[SeriesKey, int, float]], labels: Sequence[Labels] = ()) -> None:
        """As a client would have it done; returns when it is acknowledged."""
        with self.it.taking():
            numbers = np.array([self.it.number(key) for key, _, _ in samples], np.uint32)
            stamps = np.array([stamp for _, stamp, _ in samples], np.int64)
            await self.it.write(Columns(numbers, stamps, np.array([value for *_, value in samples], np.float64)), list(labels))

    def found(self) -> Found:
        """All that can be read: as queries read it, and with what the archive has besides."""
        found = dict(self._archived()) if self.options["archived"] else {}
        numbers = self.it.holding(self.it.registry.numbers())
        keys = [self.it.key(number) for number in numbers.tolist()]
        groups = [numbers[at : at + 1] for at in range(len(numbers))]
        for totals in self.it.read(Groups.of(groups), *ALL_TIME, 10**9):
            for place, start, row in zip(totals.places.tolist(), totals.starts.tolist(), totals.values, strict=True):
                for at in np.flatnonzero(~np.isnan(row)).tolist():
                    found[keys[place], start + at * totals.frequency] = float(row[at])
        return found

    def listed(self) -> Found:
        """The same as `found` from memory and blocks, read series by series, as exports read it."""
        found: Found = {}
        for cluster in self.it.clusters():
            for host in self.it.hosts(cluster):
                for key, times, values in self.it.samples_of(cluster, host, *ALL_TIME):
                    found |= {(key, time): value for time, value in zip(times.tolist(), values.tolist(), strict=True)}
        return found

    def _archived(self) -> Iterator[tuple[tuple[SeriesKey, int], float]]:
        for cluster in self.it.archive.clusters():
            rows = self.it.archive.read(cluster, None, None, *ALL_TIME)
            for series, time, value in zip(rows.series.tolist(), rows.timestamps.tolist(), rows.values.tolist(), strict=True):
                yield (rows.keys[series], time), value

    def labels(self) -> dict[Place, object]:
        return {labels.place: labels.labels for labels in self.it.registry.labels.values()}


def run(work: Awaitable[None]) -> None:
    """Run it in a loop of its own, quietly: of what a killed process left undone nobody wants to hear."""

    async def quietly() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        await work

    asyncio.run(quietly())


async def until_killed(work: Awaitable[object], files: Any) -> bool:
    """Do the work, or as much of it as is done before the process is killed; whether it was."""
    loop = asyncio.get_running_loop()
    death = loop.create_future()
    files.on_kill = lambda: loop.call_soon_threadsafe(lambda: None if death.done() else death.set_result(None))
    task = asyncio.ensure_future(work)
    await asyncio.wait([task, death], return_when=asyncio.FIRST_COMPLETED)
    killed = bool(files.killed)
    if killed:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for one in others:
            one.cancel()
        await asyncio.wait([task, *others])
    else:
        await task
    files.on_kill = lambda: None
    return killed
