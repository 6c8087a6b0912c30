"""The names of block devices: "8:0" is sda. From the links in /sys/dev/block."""

from pathlib import Path


class Devices:
    """Names by number, looked up once; a number that has no name yet, or any more, is its own."""

    def __init__(self, sys: Path) -> None:
        self._links = sys / "dev/block"
        self._names: dict[str, str] = {}

    def name(self, number: str) -> str:
        """The kernel's name of the device `major:minor`."""
        found = self._names.get(number)
        if found is None:
            try:
                found = self._links.joinpath(number).readlink().name
            except OSError:
                return number
            self._names[number] = found
        return found
