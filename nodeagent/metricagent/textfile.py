"""Files of a directory as samples of the host: `*.prom` as node_exporter takes them, and `*.lp`, line protocol.

For what only a script can know: write a file beside it, then rename it, so that none is ever read half written.

Rules
- A file is taken whole or not at all. Why it is not is said in the log once, and counted.
- Timestamps are refused, as in node_exporter: samples are of the moment of the tick. How old a file is shows in
  metricagent_textfile_mtime_seconds.
- Lines of `*.lp` are this host's: without cluster and hostname they get its own, with others the file is refused.
- Samples that are NaN or infinite, which node_exporter passes on, cannot be stored: they are left out, counted and said once,
  and the rest of the file is taken.
- A series that is in two files is that of the first by name; the other file is refused.
- Only regular files within the directory; a symbolic link is followed as long as it stays there, as a ConfigMap's do.
"""

import logging
import os
import re
import stat
from pathlib import Path
from typing import Any, NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge

from metricagent.collector import Reading
from metricagent.reasons import why
from metricwire.catalog import METRICS
from metricwire.errors import BadInput, TooLarge
from metricwire.lineprotocol import decode, encode_head
from metricwire.promtext import Parser
from metricwire.samples import Place, SeriesKey

FILES = 256  # in the directory; those after that, by name, are refused
REASONS = ("bytes", "duplicate", "files", "format", "series", "unreadable")
PARTS = frozenset(metric.name for metric in METRICS if "node" not in metric.at)
_UNSTAMPED = -(10**12)  # seconds: no timestamp of a line is it
_METRIC = re.compile(rb"^( *(?:\\[, ]|[^#, \r\n])(?:\\[, ]|[^, \n])*)", re.MULTILINE)

logger = logging.getLogger(__name__)


class _Refused(Exception):
    """Why a file is not taken: one of REASONS, and a sentence."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class _File(NamedTuple):
    """What was found in a file: readings, or why there are none. `stamp` tells whether it has changed since."""

    stamp: tuple[int, ...]
    readings: list[Reading]
    refused: _Refused | None = None
    beside: bool = False  # refused for the files before it: it may be taken when these change
    not_finite: int = 0  # samples left out


class Textfile:
    """Reads the files that have changed since; `bytes` of one file, `series` in all."""

    def __init__(self, directory: Path, place: Place, *, bytes: int, series: int, registry: CollectorRegistry) -> None:
        self._directory = directory
        self._place = place
        self._bytes, self._series = bytes, series
        self._files: dict[str, _File] = {}
        self._taken: dict[str, _File] = {}
        self._said: dict[str, str] = {}  # why a file is refused, as the log has it
        self._beyond: set[str] = set()  # files refused because there are too many
        self._mtime = Gauge(
            "metricagent_textfile_mtime_seconds", "When the file was last changed, of those taken.", ["file"], registry=registry
        )
        self._error = Gauge("metricagent_textfile_scrape_error", "Whether a file was not taken.", registry=registry)
        self._refused = Counter("metricagent_textfile_refused", "Files not taken, by reason.", ["reason"], registry=registry)
        for reason in REASONS:
            self._refused.labels(reason)
        self._left_out = Counter(
            "metricagent_textfile_samples_left_out",
            "Samples of files taken left out, by reason.",
            ["reason"],
            registry=registry,
        )
        self._left_out.labels("not-finite")

    def collect(self, now: float) -> list[Reading]:
        """What the files say that can be taken. OSError when the directory cannot be read."""
        self._error.set(1)
        root = self._directory.resolve(strict=True)
        names = sorted(path.name for path in root.iterdir() if path.name.endswith((".prom", ".lp")))
        stamps = {name: _stamp(root / name) if at < FILES else () for at, name in enumerate(names)}
        if stamps != {name: file.stamp for name, file in self._files.items()}:
            self._sort(root, stamps)
        self._error.set(bool(self._said or self._beyond))
        return [reading for file in self._taken.values() for reading in file.readings]

    def _look(self, root: Path, name: str, stamp: tuple[int, ...]) -> _File:
        """The file as it is now, which is what it was before if nothing of it has changed; () is the stamp of one too many."""
        before = self._files.get(name)
        if before and before.stamp == stamp and not before.beside:
            return before
        try:
            if not stamp:
                raise _Refused("files", f"there are more than {FILES} files")
            body = _read(root, name, self._bytes)
            readings, not_finite = self._prom(body) if name.endswith(".prom") else (self._lines(body), 0)
            _check_parts(readings)
            return _File(stamp, readings, not_finite=not_finite)
        except OSError as error:
            return _File(stamp, [], _Refused("unreadable", why(error)))
        except _Refused as refused:
            return _File(stamp, [], refused)

    def _prom(self, body: bytes) -> tuple[list[Reading], int]:
        """Its samples, and how many more there are that are not finite."""
        parser = Parser(self._series)
        try:
            parser.feed(body)
            samples = parser.close()
        except BadInput as error:
            raise _Refused("format", str(error)) from error
        except TooLarge as error:
            raise _Refused("series", str(error)) from error
        if parser.stamped:
            raise _Refused("format", f"line {parser.stamped}: it has a timestamp; samples are of the moment they are read")
        if parser.unspeakable:
            raise _Refused("format", f"{parser.unspeakable} samples have names that no line can carry")
        return [Reading(name, value, tags=tags) for name, _, tags, value in samples], parser.not_finite

    def _lines(self, body: bytes) -> list[Reading]:
        here = encode_head(SeriesKey(self._place, "x"))[1:]
        batch = decode(_METRIC.sub(lambda found: found[1] + here, body), now=_UNSTAMPED)
        if batch.bad:
            raise _Refused("format", f"line {batch.bad[0].number}: {batch.bad[0].reason}")
        if batch.labels or batch.messages:
            raise _Refused("format", "it has labels (info), events or logs; samples are taken")
        for sample, number in zip(batch.samples, batch.sample_lines, strict=True):
            if sample.timestamp != _UNSTAMPED:
                raise _Refused("format", f"line {number}: it has a timestamp; samples are of the moment they are read")
            if sample.series.place[:2] != self._place[:2]:
                raise _Refused("format", f"line {number}: it is of another host or cluster")
        return [Reading(series.metric, value, *series.place[2:], series.tags) for series, _, value in batch.samples]

    def _sort(self, root: Path, stamps: dict[str, tuple[int, ...]]) -> None:
        """Which files are taken, beside those before them; what is new about it is said. The others' readings are not kept."""
        found: dict[str, _File] = {}
        taken: dict[str, _File] = {}
        series: set[tuple[Any, ...]] = set()
        for name, stamp in stamps.items():
            file = found[name] = self._look(root, name, stamp)
            if file.refused:
                continue
            names = {(reading.metric, *reading[2:]) for reading in file.readings}
            refused = self._beside(file, names, series)
            if refused:
                found[name] = _File(stamp, [], refused, beside=True)
            else:
                taken[name] = file
                series |= names
        for label in set(map(_shown, self._taken)) - set(map(_shown, taken)):
            self._mtime.remove(label)
        for name, file in taken.items():
            self._mtime.labels(_shown(name)).set(file.stamp[-2] / 1e9)
            self._count_left_out(name, file)
        self._files, self._taken = found, taken
        self._say({name: file.refused for name, file in found.items() if file.refused})

    def _beside(self, file: _File, names: set[tuple[Any, ...]], series: set[tuple[Any, ...]]) -> _Refused | None:
        """Why the file with these series cannot be taken beside others with those."""
        if len(names) < len(file.readings):
            return _Refused("duplicate", "it has a series twice")
        if names & series:
            return _Refused("duplicate", f"a file before it has the series {min(names & series)[0]} too")
        if len(series) + len(names) > self._series:
            return _Refused("series", f"with it there are more than {self._series} series (textfile.series)")
        return None

    def _count_left_out(self, name: str, file: _File) -> None:
        """Of a file that is taken: once for each time it was written; the log has it once until there are none."""
        before = self._taken.get(name)
        if before is file or not file.not_finite:
            return
        self._left_out.labels("not-finite").inc(file.not_finite)
        if not (before and before.not_finite):
            logger.warning("cannot take %d samples of textfile %s: they are NaN or infinite", file.not_finite, _shown(name))

    def _say(self, refused: dict[str, _Refused]) -> None:
        """Each file once; those that are too many in one line, however many these are."""
        said = {name: str(why) for name, why in refused.items() if why.reason != "files"}
        beyond = refused.keys() - said.keys()
        for name, text in said.items():
            if self._said.get(name) != text:
                self._refused.labels(refused[name].reason).inc()
                logger.warning("cannot take textfile %s: %s; nothing of it is taken", _shown(name), text)
        for name in self._said.keys() - refused.keys():
            logger.info("textfile %s is no longer refused", _shown(name))
        self._refused.labels("files").inc(len(beyond - self._beyond))
        if beyond and not self._beyond:
            logger.warning(
                "cannot take %d textfiles: there are more than %d files; nothing of them is taken", len(beyond), FILES
            )
        elif self._beyond and not beyond:
            logger.info("there are no more than %d textfiles any longer", FILES)
        self._said, self._beyond = said, beyond


def _shown(name: str) -> str:
    """A file's name as text, which names need not be."""
    return os.fsencode(name).decode("utf-8", "replace")


def _stamp(path: Path) -> tuple[int, ...]:
    """What is another when the file has changed."""
    try:
        about = path.stat()
    except OSError as error:
        return (error.errno or 0,)
    return (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


def _check_parts(readings: list[Reading]) -> None:
    for reading in readings:
        if reading.metric in PARTS and not reading.type and not reading.stype:
            raise _Refused("format", f"{reading.metric} of a host is the sum of its parts: it cannot be given")


def _read(root: Path, name: str, most: int) -> bytes:
    """All of a regular file that lies within `root`, wherever links lead."""
    if not stat.S_ISREG((root / name).stat().st_mode):  # a device is not even opened
        raise _Refused("unreadable", "it is not a regular file")
    number = os.open(root / name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(number, "rb") as file:
        opened = Path(f"/proc/self/fd/{number}").readlink()  # what was opened, whatever the name leads to meanwhile
        if not opened.is_relative_to(root) or not stat.S_ISREG(os.fstat(number).st_mode):
            raise _Refused("unreadable", "it is a link out of the directory")
        body = file.read(most + 1)
    if len(body) > most:
        raise _Refused("bytes", f"it has more than {most} bytes (textfile.file-bytes)")
    return body
