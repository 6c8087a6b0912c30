"""What a store does besides writing and reading: windows are sealed, blocks archived or deleted, samples freed."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from metricstore import archiving, sealing
from metricstore.disk.backup import Backup
from metricstore.disk.commits import NO_SAMPLES
from metricstore.disk.formats import Freed
from metricstore.holdings import Holdings
from metricstore.memory.window import begin

WINDOWS_MAX = 3  # of one frequency that memory holds; with one more it is sealed

Ints = NDArray[np.int64]


class Upkeep:
    """Changes what blocks hold: one change after another. `clock`: seconds since the epoch."""

    def __init__(self, holdings: Holdings, clock: Callable[[], float]) -> None:
        self.seals = 0
        self.sealer = ThreadPoolExecutor(1, "sealer")
        self._it, self._clock = holdings, clock
        self._changing = asyncio.Lock()

    async def keep(self) -> None:
        """Seal and expire what is due; called from time to time. OSError when the disk refuses: what was, stays."""
        it = self._it
        if it.archived:
            await self._archive()
        self.expire_now()
        windows: dict[int, int] = {}
        for frequency in (one.frequency for one in it.head.windows.values() if one.start <= self._clock()):
            windows[frequency] = windows.get(frequency, 0) + 1
        if it.log.grown > it.limits.log_bytes or max(windows.values(), default=0) > WINDOWS_MAX or it.pressed.is_set():
            await self.seal()
        it.relax()

    async def hold(self) -> Backup:
        """The files of the data folder as they are now, for a copy. OSError."""
        async with self._changing:
            await self._it.commits.rotate()
            return Backup(self._it.directory.path, self._it.files)

    async def seal(self) -> None:
        """Put all that memory holds into blocks, and forget the log that led to it. OSError leaves what was."""
        it = self._it
        async with self._changing:
            loop = asyncio.get_running_loop()
            segment = await it.commits.rotate()
            pictures: list[sealing.Picture] = []
            try:
                moving = True
                while moving:  # what is taken out of a window meanwhile is in another one, and perhaps in no block
                    pictures += (new := it.pictures())
                    for one in new:
                        await loop.run_in_executor(self.sealer, sealing.seal, one, it.blocks)
                    moving = any(window.shrunk for window in it.head.windows.values())
                await loop.run_in_executor(self.sealer, it.checkpoint.write, it.state(segment))
            except BaseException:
                for one in pictures:
                    one.withdraw()
                raise
            await it.commits.trim(segment)
            it.evict(int(self._clock()))
            if it.catalogue.wasteful(it.registry.count):
                await it.commits.rewrite([(number, it.registry.key(number)) for number in it.registry.numbers().tolist()])
            self.seals += 1

    async def _archive(self) -> None:
        """Put into the archive what is past the retention, whole days of it. OSError leaves the blocks."""
        it, before = self._it, self._it.expired
        if any(window.dirty and window.end <= before for window in it.head.windows.values()):
            await self.seal()
        async with self._changing:
            loop = asyncio.get_running_loop()
            for windows in archiving.due(it.blocks, before):
                clusters = sorted(it.registry.root.children)
                hosts = {cluster: [self._host(cluster, host) for host in it.registry.hosts(cluster)] for cluster in clusters}
                await loop.run_in_executor(self.sealer, archiving.write, it.archive, it.blocks, windows, hosts)
                for key in windows:
                    it.blocks.remove(key)
                    if key in it.head.windows:
                        it.head.drop(it.head.windows[key])
                it.blocks.sync()
                it.forget_before(max(begin(frequency, index + 1) + frequency for frequency, index in windows))

    def _host(self, cluster: str, host: str) -> archiving.Host:
        level = self._it.registry.find((cluster, host))
        numbers = np.sort(np.array(list(level.numbers()) if level else [], np.int64))
        return archiving.Host(numbers, [self._it.registry.key(number) for number in numbers.tolist()])

    async def free(self, paths: Iterable[Sequence[str]], before: int) -> int:
        """Forget what series at or below the paths hold in windows that end before that time; how many pieces these were.

        A piece is what one series holds in one window, in memory or in a block.
        """
        it = self._it
        levels = [level for path in paths if (level := it.registry.find(path)) is not None]
        numbers = np.unique(np.array([number for level in levels for number in level.numbers()], np.int64))
        if not len(numbers):
            return 0
        async with self._changing:
            freed = Freed(numbers, before)
            held = it.head.held(numbers, before)
            await it.commits.write(NO_SAMPLES, [], freed)
            loop = asyncio.get_running_loop()
            return held + await loop.run_in_executor(self.sealer, sealing.free, numbers, before, it.blocks)

    def expire_now(self) -> int:
        """Forget what is past the retention; how many windows and blocks went. OSError when the disk refuses.

        What is archived goes by whole days, after it is in the archive.
        """
        it = self._it
        if self._changing.locked():
            return 0
        before = it.expired
        windows = it.drop_before(before)
        blocks = [] if it.archived else sealing.ended(it.blocks, before)
        for key in blocks:
            it.blocks.remove(key)
        if blocks:
            it.blocks.sync()
        if windows or blocks:
            it.forget_before(before)
        return windows + len(blocks)

    async def close(self) -> None:
        """Finish what is being written, and give the folder back."""
        async with self._changing:
            await self._it.commits.close()
        self.sealer.shutdown()
        self._it.blocks.close()
        self._it.directory.close()
