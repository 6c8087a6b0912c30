"""The names of block devices: "8:0" is sda. From the links in /sys/dev/block."""

from pathlib import Path

from metricagent.host import Survey


class Devices:
    """Names by number, looked up rarely: a device may get the number of one that went. One without a name is its number."""

    def __init__(self, sys: Path) -> None:
        self._links = sys / "dev/block"
        self._names: Survey[dict[str, str]] = Survey(dict)

    def name(self, number: str, now: float) -> str:
        """The kernel's name of the device `major:minor`; `now` in seconds of a clock that never jumps."""
        names = self._names.at(now)
        found = names.get(number)
        if found is None:
            try:
                found = self._links.joinpath(number).readlink().name
            except OSError:
                return number
            names[number] = found
        return found
