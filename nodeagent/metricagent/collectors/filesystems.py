r"""Size of each filesystem: which there are from /proc/1/mounts, how full they are from statvfs(2) below the host's root.

Process 1's mounts are the host's; those of a pod are its own, and statvfs would answer for the container.

Left out, as node_exporter and DC/OS do:
- what keeps no files on a disk (PSEUDO) or only in memory (tmpfs): its size says nothing about storage.
- overlays: the layers of a container, on a disk that is shown itself.
- images, which are always full (squashfs, iso9660, erofs).
- network filesystems (NETWORK and all of FUSE): they are not this host's, and statvfs on them hangs when their server does.
- mounts below the folders of container runtimes and the kubelet (MOUNTPOINTS): one for each container or volume.
- a device that is mounted again (bind mounts, subvolumes): the one with the shortest path is shown, so that sums are right.
"""

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path

from metricagent.collector import Reading
from metricagent.collectors.patience import Patient
from metricagent.host import Host, InitFile

logger = logging.getLogger(__name__)

PSEUDO = re.compile(
    "autofs|binder|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devfs|devpts|devtmpfs|efivarfs|fusectl|hugetlbfs|mqueue|nsfs|proc"
    "|pstore|ramfs|rootfs|rpc_pipefs|securityfs|selinuxfs|sysfs|tmpfs|tracefs|overlay|aufs|squashfs|iso9660|erofs"
)
NETWORK = re.compile("9p|afs|beegfs|ceph|cifs|fuse.*|gfs2|glusterfs|gpfs|lustre|ncpfs|nfs4?|ocfs2|panfs|smb3|smbfs|virtiofs")
MOUNTPOINTS = re.compile(
    r"/(dev|proc|sys|run/credentials|run/containerd|run/k3s|var/lib/(docker|containerd|containers/storage|kubelet|rancher))/.+"
)

Stat = Callable[[Path], os.statvfs_result]


def parse(text: bytes) -> list[str]:
    """The mount points to show, from `device mountpoint type options 0 0`, sorted; octal escapes undone."""
    mounted: dict[str, str] = {}  # of two on one mount point the later covers the earlier
    for line in text.splitlines():
        device, mountpoint, kind, *_ = (os.fsdecode(_unescaped(word)) for word in line.split(b" "))
        mounted.pop(mountpoint, None)
        if not (PSEUDO.fullmatch(kind) or NETWORK.fullmatch(kind) or MOUNTPOINTS.fullmatch(mountpoint)):
            mounted[mountpoint] = device
    shortest: dict[str, str] = {}
    for mountpoint in sorted(mounted, key=lambda path: (len(path), path)):
        shortest.setdefault(mounted[mountpoint], mountpoint)
    return sorted(shortest.values())


def _unescaped(word: bytes) -> bytes:
    return re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8) & 255]), word)


def readings(mountpoint: str, stat: os.statvfs_result) -> list[Reading]:
    """The sizes of one filesystem: bytes and inodes. What is reserved for root is neither used nor free."""
    values = {
        "disk_total": stat.f_blocks * stat.f_frsize,
        "disk_used": (stat.f_blocks - stat.f_bfree) * stat.f_frsize,
        "disk_free": stat.f_bavail * stat.f_frsize,
        "disk_inodes_total": stat.f_files,
        "disk_inodes_used": stat.f_files - stat.f_ffree,
        "disk_inodes_free": stat.f_ffree,
    }
    shown = os.fsencode(mountpoint).decode("utf-8", "replace")
    return [Reading(metric, float(value), stype="filesystem", stype_id=shown) for metric, value in values.items()]


class Filesystems:
    """The collector; remembers which filesystems do not answer, so that the log names each once."""

    def __init__(self, host: Host, stat: Stat | None = None) -> None:
        self._file = InitFile(host, "mounts")
        self._root = host.root
        self._stat = stat or Patient[Path, os.statvfs_result](os.statvfs)
        self._silent: set[str] = set()

    def collect(self, _: float) -> list[Reading]:
        """Sizes now."""
        found: list[Reading] = []
        for mountpoint in parse(self._file.read()):
            try:
                stat = self._stat(self._root / mountpoint.lstrip("/"))
            except OSError as error:
                if mountpoint not in self._silent:
                    self._silent.add(mountpoint)
                    logger.warning("cannot read filesystem %s: %s", mountpoint, error.strerror or error)
                continue
            self._silent.discard(mountpoint)
            if stat.f_blocks:
                found += readings(mountpoint, stat)
        return found
