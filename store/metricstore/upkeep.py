"""What a store does besides writing and reading: windows are sealed, blocks merged, archived or deleted, samples freed."""

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from metricstore import archiving, merging, sealing
from metricstore.disk.backup import Backup
from metricstore.disk.blocks import Stretch
from metricstore.disk.commits import NO_SAMPLES
from metricstore.disk.formats import Freed
from metricstore.holdings import Holdings
from metricstore.merging import Merging

WINDOWS_MAX = 3  # of one frequency that memory holds; with one more it is sealed
LABELS_ALONE = 86400  # seconds that labels of a place wait for its series, at least
MERGE_AGAIN = 600  # seconds after which a merging that failed is tried again: it writes anew what it got to

Ints = NDArray[np.int64]


class Upkeep:
    """Changes what blocks hold: one change after another. `clock`: seconds since the epoch."""

    def __init__(self, holdings: Holdings, clock: Callable[[], float]) -> None:
        self.seals = self.merges = 0
        self.sealer = ThreadPoolExecutor(1, "sealer")
        self._it, self._clock = holdings, clock
        self._changing = asyncio.Lock()
        self._merging: Merging | None = None
        self._gone: int | None = None  # nothing that ended before that time is left, and what of that is still to be forgotten
        self._alone_from = 0.0  # when labels without series are looked for next
        self._put_off: dict[Stretch, float] = {}  # mergings that failed, and when they are tried again (time of the loop)

    async def keep(self) -> None:
        """Archive, expire, seal and merge what is due; called from time to time. What is not done does not keep the rest from
        being done; then the first error is raised. OSError when the disk refuses: what was, stays."""
        failed: Exception | None = None
        for work in (self._archive, self.expire, self._seal_if_due, self._merge_if_idle):
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - of whatever kind, it is raised below
                failed = failed or error
        if failed:
            raise failed

    async def _seal_if_due(self) -> None:
        it = self._it
        windows: dict[int, int] = {}
        for frequency in (one.frequency for one in it.head.windows.values() if one.start <= self._clock()):
            windows[frequency] = windows.get(frequency, 0) + 1
        if it.log.grown > it.limits.log_bytes or max(windows.values(), default=0) > WINDOWS_MAX or it.pressed.is_set():
            await self.seal()
        it.relax(int(self._clock()))

    async def _merge_if_idle(self) -> None:
        if not self._it.pressed.is_set():
            await self.merge()

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

    async def merge(self) -> bool:
        """Merge blocks for a while; whether there was anything to do. OSError leaves what was."""
        blocks, loop = self._it.blocks, asyncio.get_running_loop()
        async with self._changing:
            begun, self._merging = self._merging or self._due(loop.time()), None
            if begun is None:
                return False
            try:
                if await loop.run_in_executor(self.sealer, begun.turn):
                    hidden = blocks.hide(begun.replaced())  # here, where nobody is in the middle of reading them
                    await loop.run_in_executor(self.sealer, blocks.delete, hidden)
                    self.merges += 1
                else:
                    self._merging = begun
            except Exception:
                self._put_off[begun.stretch] = loop.time() + MERGE_AGAIN
                raise
        return True

    def _due(self, now: float) -> Merging | None:
        """What is to be merged now, if there is room to have it twice for a while, and for the log."""
        it = self._it
        self._put_off = {stretch: again for stretch, again in self._put_off.items() if again > now}
        stretch = merging.due(it.blocks, min(int(it.clock.now()), it.newest), it.head.windows, self._put_off)
        if stretch is None:
            return None
        begun, volume = Merging(it.blocks, stretch), os.statvfs(it.directory.path)
        return begun if volume.f_bavail * volume.f_frsize > begun.size + it.limits.log_bytes else None

    async def _archive(self) -> None:
        """Put into the archive what is past the retention, whole days of it, if there is one. OSError leaves the blocks."""
        it, before = self._it, self._it.expired
        if not it.archived:
            return
        if any(window.dirty and window.end <= before for window in it.head.windows.values()):
            await self.seal()
        async with self._changing:
            loop = asyncio.get_running_loop()
            for stretches in archiving.due(it.blocks, before):
                clusters = sorted(it.registry.root.children)
                hosts = {cluster: [self._host(cluster, host) for host in it.registry.hosts(cluster)] for cluster in clusters}
                await loop.run_in_executor(self.sealer, archiving.write, it.archive, it.blocks, stretches, hosts)
                for stretch in stretches:
                    it.drop_windows(stretch)
                await self._delete(stretches)
                self._gone = max(archiving.whole(stretch).end for stretch in stretches)
                self._forget()

    def _host(self, cluster: str, host: str) -> archiving.Host:
        level = self._it.registry.find((cluster, host))
        numbers = np.sort(np.array(list(level.numbers()) if level else [], np.int64))
        return archiving.Host(numbers, [self._it.registry.key(number) for number in numbers.tolist()])

    async def free(self, paths: Iterable[Sequence[str]], before: int) -> int:
        """Forget what series at or below the paths hold in windows that end before that time; how many pieces these were.

        A piece is what one series holds in one window, in memory or in a block.
        """
        it = self._it
        levels = [level for path in dict.fromkeys(map(tuple, paths)) if (level := it.registry.find(path)) is not None]
        numbers = np.unique(np.array([number for level in levels for number in level.numbers()], np.int64))
        if not len(numbers):
            return 0
        async with self._changing:
            freed = Freed(numbers, before)
            held = it.head.held(numbers, before)
            await it.commits.write(NO_SAMPLES, [], freed)
            loop = asyncio.get_running_loop()
            return held + await loop.run_in_executor(self.sealer, sealing.free, numbers, before, it.blocks)

    async def expire(self) -> int:
        """Forget what is past the retention; how many windows and stretches went. OSError when the disk refuses.

        What is archived goes by whole days, after it is in the archive.
        """
        it = self._it
        async with self._changing:
            before = it.expired
            windows = it.drop_before(before)
            stretches = [] if it.archived else sealing.ended(it.blocks, before)
            if stretches:
                await self._delete(stretches)
            if windows or stretches:
                self._gone = before
            self._forget()
        return windows + len(stretches)

    def _forget(self) -> None:
        """Forget series that hold nothing any more, now or, while samples wait for the disk, the next time; and labels."""
        if self._gone is not None and self._it.forget_before(self._gone):
            self._gone = None
        if (now := self._it.clock.now()) >= self._alone_from:
            self._it.registry.forget_labels()
            self._alone_from = now + LABELS_ALONE

    async def _delete(self, stretches: Iterable[Stretch]) -> None:
        """Delete all blocks of these, out of the way of others: it may be much. OSError leaves some."""
        blocks = self._it.blocks
        hidden = blocks.hide([block for stretch in stretches for block in blocks.blocks(stretch)])
        await asyncio.get_running_loop().run_in_executor(self.sealer, blocks.delete, hidden)

    async def close(self) -> None:
        """Finish what is being written, and give the folder back."""
        async with self._changing:
            await self._it.commits.close()
        self.sealer.shutdown()
        self._it.blocks.close()
        self._it.directory.close()
