"""Temperatures of whatever has a sensor, from /sys/class/hwmon (Documentation/hwmon/sysfs-interface.rst).

A sensor is called `<chip>/<label>`, as `coretemp.0/Package id 0` or `nvme0/Composite`: the chip by its device, since two of a
kind have the same name, and by its kind too where the device's name does not tell it (`k10temp-0000:00:18.3/Tctl`).
"""

import re
from pathlib import Path

from metricagent.collector import Reading
from metricagent.host import Host, Survey, folders, integer, word

INPUT = re.compile("(temp[0-9]+)_input")


def sensors(folder: Path) -> dict[str, Path]:
    """The files to read, by the sensor's name."""
    found = {}
    for chip in folders(folder):
        try:
            name = chip_name(word(chip / "name"), chip / "device")
        except FileNotFoundError:  # it went away meanwhile
            continue
        for path in folders(chip):
            if match := INPUT.fullmatch(path.name):
                found[f"{name}/{label(chip / f'{match[1]}_label') or match[1]}"] = path
    return found


def chip_name(kind: str, device: Path) -> str:
    """The name of a chip; virtual ones have no device."""
    if not device.exists():
        return kind
    place = device.resolve().name
    return place if place.startswith(kind) else f"{kind}-{place}"


def label(path: Path) -> str:
    """What the driver calls a sensor; "" where it does not say."""
    try:
        return word(path)
    except FileNotFoundError:
        return ""


class Temperatures:
    """The collector."""

    def __init__(self, host: Host) -> None:
        self._sensors = Survey(lambda: sensors(host.sys / "class/hwmon"))

    def collect(self, now: float) -> list[Reading]:
        """Temperatures now; nothing of a sensor that cannot be read at the moment, as of a device that sleeps."""
        found = []
        for name, path in self._sensors.at(now).items():
            try:
                millidegrees = integer(path)
            except OSError:
                continue
            found.append(Reading("temp", millidegrees / 1000, stype="sensor", stype_id=name))
        return found
