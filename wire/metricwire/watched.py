"""Files that may change while we run, a mounted Secret's above all: read again every few seconds, one bad one left out.

Reading and the clock are the caller's.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from metricwire.errors import SettingsError

REREAD = 5.0  # seconds after which files are looked at again: what a removed one said is dead in 10 s

Value = TypeVar("Value")


class Watched(Generic[Value]):
    """What files hold, each made to a value anew when its text has changed.

    `names` says which files there are now, `read` gives a file's bytes, `make` its value or SettingsError. What cannot be used
    is left out, and told to `logger` once.
    """

    def __init__(
        self,
        names: Callable[[], Iterable[str]],
        *,
        read: Callable[[str], bytes],
        make: Callable[[str, bytes], Value],
        clock: Callable[[], float],
        logger: logging.Logger,
    ) -> None:
        self._names, self._read, self._make, self._clock, self._logger = names, read, make, clock, logger
        self._texts: dict[str, bytes | str] = {}  # a text: why there are no bytes
        self._made: dict[str, Value] = {}
        self._values: list[Value] = []
        self._read_at: float | None = None
        self.version = 0  # another one when something has changed

    @property
    def due(self) -> bool:
        """Whether `values` would look at the files again."""
        return self._read_at is None or not 0 <= self._clock() - self._read_at < REREAD

    def values(self) -> list[Value]:
        """The values of all files that can be used now."""
        if self.due:
            self._read_at = self._clock()
            self._look()
        return self._values

    def demand(self, *, missing_is_fine: bool = False) -> int:
        """How many can be used; SettingsError for the first that cannot, a missing one too unless that is fine."""
        return demanded(self._names(), self._read, self._make, missing_is_fine=missing_is_fine)

    def _look(self) -> None:
        texts = {name: self._text(name) for name in self._names()}
        if texts == self._texts and self.version:
            return
        self._made = {name: value for name, text in texts.items() for value in self._value(name, text)}
        self._texts, self._values = texts, list(self._made.values())
        self.version += 1

    def _text(self, name: str) -> bytes | str:
        try:
            return self._read(name)
        except OSError as error:
            return error.strerror or str(error)

    def _value(self, name: str, text: bytes | str) -> list[Value]:
        if self._texts.get(name) == text:
            return [self._made[name]] if name in self._made else []
        if isinstance(text, str):
            self._logger.warning("%s is left out: cannot read it: %s", name, text)
            return []
        try:
            return [self._make(name, text)]
        except SettingsError as error:
            self._logger.warning("%s is left out: %s", name, error)
            return []


def demanded(
    names: Iterable[str], read: Callable[[str], bytes], make: Callable[[str, bytes], object], *, missing_is_fine: bool = False
) -> int:
    """How many files can be used; SettingsError for the first that cannot, a missing one too unless that is fine."""
    usable = 0
    for name in names:
        try:
            make(name, read(name))
        except FileNotFoundError as error:
            if not missing_is_fine:
                raise SettingsError(f"cannot read {name}: {error.strerror}") from error
            continue
        except OSError as error:
            raise SettingsError(f"cannot read {name}: {error.strerror}") from error
        except SettingsError as error:
            raise SettingsError(f"cannot use {name}: {error}") from error
        usable += 1
    return usable
