"""How much work waited for cpu, memory and I/O: pressure stall information (Documentation/accounting/psi.rst).

From /proc/pressure, which kernels before 4.20 and those started without psi do not have.
"""

from pathlib import Path

from metricagent.collector import Reading
from metricagent.collectors.rates import Rates
from metricagent.host import Host, Survey

RESOURCES = ("cpu", "io", "memory")


def parse(text: bytes) -> dict[str, float]:
    """Seconds since boot that "some" or all ("full") tasks waited, from `some avg10=0.00 ... total=1234` (microseconds)."""
    found = {}
    for line in text.splitlines():
        who, *fields = line.split()
        name, _, microseconds = fields[-1].partition(b"=")
        if name != b"total":
            raise ValueError(f"cannot parse pressure: unexpected line {line[:80]!r}")
        found[who.decode()] = int(microseconds) / 1e6
    return found


def present(folder: Path) -> dict[str, Path]:
    """The files by resource; those that the kernel shows but does not answer for (booted with psi=0) are not among them."""
    found = {}
    for resource in RESOURCES:
        try:
            (folder / resource).read_bytes()
        except OSError:
            continue
        found[resource] = folder / resource
    return found


class Pressure:
    """The collector."""

    def __init__(self, host: Host) -> None:
        self._files = Survey(lambda: present(host.proc / "pressure"))
        self._rates: Rates[str] = Rates()

    def collect(self, now: float) -> list[Reading]:
        """Seconds now, percent of the time since the last call."""
        seconds = {
            f"pressure_{resource}_{who}": waited
            for resource, path in self._files.at(now).items()
            for who, waited in parse(path.read_bytes()).items()
            if (resource, who) != ("cpu", "full")  # never of a whole host, and always 0
        }
        shares = self._rates.take(seconds, now)
        return [Reading(f"{metric}_time", waited) for metric, waited in seconds.items()] + [
            Reading(metric, min(100.0, 100 * share)) for metric, share in shares.items()
        ]
