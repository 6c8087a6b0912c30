"""Blocks: samples on disk, compressed and immutable; a file each, read chunk by chunk.

Theory of operation
- A single block has 64 slots, a window, of all series of one frequency; sealing writes it. A merged block has many windows of
  some of the series, whose rows lie next to each other; merging writes it in place of single ones. Late samples make single
  blocks again, beside the merged ones, and what a single block has counts.
- Windows that are read together are a stretch: those of a merged block, or else one.
- A block is written whole under another name, synced, renamed: it is there or not. A later one of the same name takes its
  place.
- What is damaged is counted and said once, and missing for readers. A block that is damaged as a whole is moved to the
  quarantine; one of which chunks are damaged goes there when another takes its place.
"""

import contextlib
import itertools
import logging
import stat
import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from metricstore.disk import blockfile, formats
from metricstore.disk import rows as row_form
from metricstore.disk.blockfile import BlockFile
from metricstore.disk.codec import SLOTS
from metricstore.disk.files import TEMPORARY, Files
from metricstore.disk.formats import CHUNK_SERIES, Block, Damaged
from metricstore.disk.quarantine import Quarantine
from metricstore.disk.rows import NO_ROWS, Rows

logger = logging.getLogger(__name__)

OPEN_MAX = 64  # blocks that are kept open for reading

Ints = NDArray[np.int64]


class Stretch(NamedTuple):
    """Windows next to each other that are read, and go, together: seconds between slots, the first window, how many."""

    frequency: int
    window: int
    windows: int = 1

    @property
    def end(self) -> int:
        """Time after which none of its slots ends (seconds)."""
        return (self.window + self.windows) * SLOTS * self.frequency + self.frequency


class Kept(NamedTuple):
    """A block on disk: its bytes, and a number that no other content of a block had."""

    size: int
    version: int


class Blocks:
    """The blocks of one data folder. `on_damage` is told of each damage once. Threads may share it."""

    def __init__(
        self, directory: Path, quarantine: Quarantine | None, files: Files, on_damage: Callable[[str], None] = lambda text: None
    ) -> None:
        self._directory, self._quarantine, self._files, self._on_damage = directory, quarantine, files, on_damage
        self.mentioned: NDArray[np.bool_] = np.zeros(0, bool)  # by number // 128: whether a block had one at the last scan
        self._kept: dict[Block, Kept] = {}
        self._parts: dict[Stretch, set[int]] = {}  # of merged blocks
        self._stretches: list[Stretch] | None = None
        self._versions = itertools.count()
        self._opened: OrderedDict[Block, BlockFile] = OrderedDict()
        self._reported: dict[Block, set[int]] = {}  # chunks that could not be read, by their place in the block
        self._lock = threading.RLock()

    def scan(self) -> None:
        """Find what there is; remove what was never finished."""
        for path in list(self._directory.iterdir()):
            block = Block.named(path.name)
            if not stat.S_ISREG(path.lstat().st_mode):
                continue  # not ours, and left alone
            if path.name.endswith(".block" + TEMPORARY):
                self._files.remove(path)
            elif block:
                self._add(block, path.stat().st_size)
                try:
                    self._mention(block, BlockFile(path, block).table.keys)
                except Damaged as damage:
                    self._set_aside(block, damage)
                except OSError as error:
                    self._on_damage(f"cannot read block {path.name}: {error.strerror}")

    def _mention(self, block: Block, keys: NDArray[np.uint32]) -> None:
        """These chunks are in a block."""
        pieces = keys.astype(np.int64) * block.chunk_series // CHUNK_SERIES
        missing = int(pieces.max(initial=0)) + 1 - len(self.mentioned)
        if missing > 0:
            self.mentioned = np.concatenate([self.mentioned, np.zeros(missing, bool)])
        self.mentioned[pieces] = True

    # Which there are

    def _add(self, block: Block, size: int) -> None:
        with self._changing(block):
            self._opened.pop(block, None)
            self._reported.pop(block, None)
            self._kept[block] = Kept(size, next(self._versions))
            if block.windows > 1:
                self._parts.setdefault(Stretch(*block[:3]), set()).add(block.part)

    def _forget(self, block: Block) -> Kept | None:
        """What it was; None where there was none."""
        with self._changing(block):
            self._opened.pop(block, None)
            stretch = Stretch(*block[:3])
            if stretch in self._parts:
                self._parts[stretch].discard(block.part)
                if not self._parts[stretch]:
                    del self._parts[stretch]
            return self._kept.pop(block, None)

    @contextlib.contextmanager
    def _changing(self, block: Block) -> Iterator[None]:
        """While it comes or goes. Most are parts of a stretch that stays, and finding all stretches anew takes long."""
        with self._lock:
            before = self.stretch(block.frequency, block.window)
            yield
            if self.stretch(block.frequency, block.window) != before:
                self._stretches = None

    def __contains__(self, key: tuple[int, int]) -> bool:
        """Whether there is something of that frequency and window."""
        return self.stretch(*key) is not None

    def stretch(self, frequency: int, window: int) -> Stretch | None:
        """The one that has the window; None when there is none."""
        windows = formats.merged_windows(frequency)
        merged = Stretch(frequency, window // windows * windows, windows)
        if merged in self._parts:
            return merged
        return Stretch(frequency, window) if Block(frequency, window) in self._kept else None

    def stretches(self) -> list[Stretch]:
        """All, by frequency and window."""
        with self._lock:
            if self._stretches is None:
                found = {self.stretch(block.frequency, block.window) for block in self._kept}
                self._stretches = sorted(one for one in found if one)
            return self._stretches

    def between(self, frequency: int, first: int, last: int) -> list[Stretch]:
        """Those of the frequency with a window from the first to the last one."""
        found = self.stretches()
        low = bisect_left(found, Stretch(frequency, first - formats.MERGED_MOST, 0))
        high = bisect_left(found, Stretch(frequency, last + 1, 0))
        return [one for one in found[low:high] if one.window + one.windows > first]

    def singles(self) -> dict[Block, Kept]:
        """All blocks of one window."""
        with self._lock:
            return {block: kept for block, kept in self._kept.items() if block.windows == 1}

    def blocks(self, stretch: Stretch) -> list[Block]:
        """Those of a stretch, merged ones first."""
        with self._lock:
            merged = [Block(*stretch, part) for part in sorted(self._parts.get(stretch, ()))]
            singles = [Block(stretch.frequency, stretch.window + at) for at in range(stretch.windows)]
            return merged + [block for block in singles if block in self._kept]

    @property
    def size(self) -> int:
        """Bytes of all blocks on disk."""
        with self._lock:
            return sum(kept.size for kept in self._kept.values())

    # Reading

    def _path(self, block: Block) -> Path:
        return self._directory / block.name

    def _set_aside(self, block: Block, damage: Damaged) -> None:
        """Move a whole block to the quarantine."""
        self._on_damage(f"cannot read block {block.name}: {damage}")
        self._forget(block)
        if self._quarantine:
            self._quarantine.take(self._path(block), block.name)

    def _open(self, block: Block) -> BlockFile | None:
        """The block open for reading; None when there is none, or it is damaged."""
        with self._lock:
            found = self._opened.get(block)
            if found is not None:
                self._opened.move_to_end(block)
                return found
            if block not in self._kept:
                return None
            try:
                found = BlockFile(self._path(block), block)
            except Damaged as damage:
                self._set_aside(block, damage)
                return None
            except FileNotFoundError:
                self._on_damage(f"cannot read block {block.name}: it is gone")
                self._forget(block)
                return None
            self._opened[block] = found
            if len(self._opened) > OPEN_MAX:
                self._opened.popitem(last=False)
            return found

    def read(self, stretch: Stretch, numbers: Ints) -> Rows:
        """What the stretch has of the series, ascending."""
        numbers = np.unique(numbers)
        blocks = self.blocks(stretch)
        if stretch.windows > 1:
            asked = set((numbers // formats.part_series(stretch.windows)).tolist())
            blocks = [block for block in blocks if block.windows == 1 or block.part in asked]
        found = [self.rows(block, numbers) for block in blocks]
        alone = all(block.windows == stretch.windows for block in blocks)
        return row_form.joined(found) if alone else row_form.merged(found)

    def rows(self, block: Block, numbers: Ints) -> Rows:
        """What the block has of the series (ascending), ascending."""
        opened = self._open(block)
        return row_form.joined(list(self._rows(opened, opened.places(numbers)))) if opened else NO_ROWS

    def all(self, stretch: Stretch) -> Iterator[Rows]:
        """All that the stretch has, chunk by chunk. Of two values for the same slot the later one counts."""
        for block in self.blocks(stretch):
            opened = self._open(block)
            if opened:
                yield from self._rows(opened, ((at, None) for at in range(len(opened.table.keys))))

    def _rows(self, opened: BlockFile, places: Iterable[tuple[int, Ints | None]]) -> Iterator[Rows]:
        """Those of the chunks at these places that are not damaged, of these series."""
        for at, numbers in places:
            try:
                yield row_form.decode(opened.block, int(opened.table.keys[at]), opened.chunk(at), numbers)
            except Damaged as damage:
                self._report(opened.block, at, damage)

    def _report(self, block: Block, at: int, damage: Exception) -> None:
        known = self._reported.setdefault(block, set())
        if at not in known:
            known.add(at)
            self._on_damage(f"cannot read {block.chunk_series} series of block {block.name}: {damage}")

    def keys(self, block: Block) -> list[int]:
        """Those of the chunks that the block has."""
        opened = self._open(block)
        return opened.table.keys.tolist() if opened else []

    def raw(self, block: Block) -> dict[int, bytes]:
        """The chunks that are not damaged, as they are, by key."""
        opened, found = self._open(block), {}
        if opened:
            for at, key in enumerate(opened.table.keys.tolist()):
                try:
                    found[key] = opened.chunk(at)
                except Damaged as damage:
                    self._report(block, at, damage)
        return found

    # Changing

    def write(self, block: Block, chunks: Mapping[int, bytes]) -> None:
        """Put a block in place of the one there was; none without chunks. OSError leaves what there was."""
        self.spare(block)
        if not chunks:
            self.delete(self.hide([block]))
            return
        content = blockfile.content(block, chunks)
        self._files.replace(self._path(block), content)
        self._add(block, sum(map(len, content)))

    def spare(self, block: Block) -> None:
        """Keep the file in the quarantine, too, if some of it could not be read: it is about to go."""
        if self._quarantine and self._reported.get(block):
            self._quarantine.link(self._path(block), block.name)

    def hide(self, blocks: Iterable[Block]) -> dict[Block, Kept]:
        """Readers find these no more; `delete` is to follow, which takes long where much is deleted."""
        return {block: kept for block in blocks if (kept := self._forget(block))}

    def delete(self, hidden: Mapping[Block, Kept]) -> None:
        """Remove what was hidden for good. OSError leaves some of it, and lets it be found again.

        Single blocks go last: without theirs, older values of merged ones would count, should a power cut bring these back.
        """
        left = dict(hidden)
        try:
            for which in ([one for one in hidden if one.windows > 1], [one for one in hidden if one.windows == 1]):
                for block in which:
                    with contextlib.suppress(FileNotFoundError):
                        self._files.remove(self._path(block))
                    del left[block]
                if which:
                    self._files.sync_directory(self._directory)
        finally:
            for block, kept in left.items():
                self._add(block, kept.size)

    def close(self) -> None:
        """Give the descriptors back."""
        self._opened.clear()
