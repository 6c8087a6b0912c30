"""What the host's NFS client asked of servers, from /proc/1/net/rpc/nfs: all mounts of a version together."""

from metricagent.collector import Reading
from metricagent.host import Host, InitFile, Survey

THREE = (
    "null", "getattr", "setattr", "lookup", "access", "readlink", "read", "write", "create", "mkdir", "symlink", "mknod",
    "remove", "rmdir", "rename", "link", "readdir", "readdirplus", "fsstat", "fsinfo", "pathconf", "commit",
)  # fmt: skip
FOUR = (  # what programs cause, by its number in the kernel's list; leases, sessions and layouts are in the total alone
    (1, "read"), (2, "write"), (3, "commit"), (4, "open"), (8, "close"), (9, "setattr"), (14, "lock"), (17, "access"),
    (18, "getattr"), (19, "lookup"), (21, "remove"), (22, "rename"), (23, "link"), (24, "symlink"), (25, "create"),
    (27, "statfs"), (28, "readlink"), (29, "readdir"),
)  # fmt: skip


def parse(text: bytes) -> list[Reading]:
    """Readings from the lines `rpc`, `proc3` and `proc4`; none of a version that was not used. ValueError when it is else."""
    found: dict[str, int] = {}
    lines = {name: [int(count) for count in counts] for name, *counts in (line.split() for line in text.splitlines())}
    if b"rpc" not in lines:
        raise ValueError("cannot parse rpc/nfs: no line rpc")
    calls, resent = lines[b"rpc"][:2]
    if calls:
        found = {"nfs_calls": calls, "nfs_resent": resent}
    _, *three = lines.get(b"proc3", [0])  # the first number is how many follow
    if any(three):
        found |= {"nfs3_total": sum(three)} | {f"nfs3_{name}": count for name, count in zip(THREE, three, strict=True)}
    _, *four = lines.get(b"proc4", [0])  # newer kernels append to it
    if any(four):
        found |= {"nfs4_total": sum(four)} | {f"nfs4_{name}": four[number] for number, name in FOUR if number < len(four)}
    return [Reading(metric, float(count)) for metric, count in found.items()]


class Nfs:
    """The collector."""

    def __init__(self, host: Host) -> None:
        self._file = InitFile(host, "net/rpc/nfs")
        self._loaded = Survey((host.proc / "1/net/rpc/nfs").exists)  # there once the kernel's NFS client is

    def collect(self, now: float) -> list[Reading]:
        """Counters now."""
        return parse(self._file.read()) if self._loaded.at(now) else []
