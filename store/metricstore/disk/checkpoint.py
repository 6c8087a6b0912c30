"""The checkpoint: what of the log is in blocks. One file, replaced whole after the blocks that it speaks of are durable."""

from collections.abc import Callable
from pathlib import Path

from metricstore.disk import formats
from metricstore.disk.files import Files
from metricstore.disk.formats import CHECKPOINT_NAME, NO_MARKER, Damaged, Kind, State
from metricstore.disk.records import read_records


class Checkpoint:
    """The checkpoint of one data folder."""

    def __init__(self, directory: Path, files: Files, on_damage: Callable[[str], None]) -> None:
        self._path, self._files, self._on_damage = directory / CHECKPOINT_NAME, files, on_damage

    def read(self) -> State | None:
        """What it says; None where there is none, or it cannot be read."""
        for kind, payload in read_records(self._path, NO_MARKER, self._on_damage):
            if kind is Kind.STATE:
                try:
                    return formats.unpack_state(payload)
                except Damaged as damage:
                    self._on_damage(f"cannot read {self._path.name}: {damage}")
        return None

    def settle(self) -> None:
        """What was read stays, though the process that wrote it ended before it had made sure. OSError."""
        self._files.sync_directory(self._path.parent)

    def write(self, state: State) -> None:
        """Let it say this. OSError leaves what it said."""
        self._files.replace(self._path, [formats.record(NO_MARKER, Kind.STATE, formats.pack_state(state))])
