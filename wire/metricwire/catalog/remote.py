"""Metrics of what the host keeps elsewhere: clients of NFS and Lustre."""

from metricwire.catalog.metric import Metric

_NFS3 = (
    "null", "getattr", "setattr", "lookup", "access", "readlink", "read", "write", "create", "mkdir", "symlink", "mknod",
    "remove", "rmdir", "rename", "link", "readdir", "readdirplus", "fsstat", "fsinfo", "pathconf", "commit",
)  # fmt: skip
_NFS4 = (
    "read", "write", "commit", "open", "close", "setattr", "lock", "access", "getattr", "lookup", "remove", "rename", "link",
    "symlink", "create", "statfs", "readlink", "readdir",
)  # fmt: skip
_NFSIO = {
    "nread": "read by programs",
    "nwrite": "written by programs",
    "oread": "read by programs past the page cache (O_DIRECT)",
    "owrite": "written by programs past the page cache (O_DIRECT)",
    "nfsread": "read from the server",
    "nfswrite": "written to the server",
}
_LUSTRE = {
    "open": "Files opened.",
    "close": "Files closed.",
    "getattr": "Attributes read.",
    "setattr": "Attributes changed.",
    "statfs": "Questions for the filesystem's size.",
    "inode_permission": "Permissions checked.",
}


def _call(name: str, help: str) -> Metric:
    return Metric(name, "count", "counter", "sum", help)


def _mount(name: str, unit: str, help: str) -> Metric:
    return Metric(name, unit, "counter", "sum", help, ("filesystem",))


def _mount_rate(name: str, unit: str, help: str) -> Metric:
    return Metric(name, unit, "gauge", "sum", help, ("filesystem",))


REMOTE = (
    _call("nfs_calls", "Calls of the NFS client to servers, all versions."),
    _call("nfs_resent", "Calls that were sent again for want of an answer."),
    _call("nfs3_total", "Calls of NFS version 3."),
    *(_call(f"nfs3_{name}", f"Calls of NFS version 3: {name}.") for name in _NFS3),
    _call("nfs4_total", "Operations of NFS version 4."),
    *(_call(f"nfs4_{name}", f"Operations of NFS version 4: {name}.") for name in _NFS4),
    *(_mount(f"nfsio_{name}", "bytes", f"Bytes {what}.") for name, what in _NFSIO.items()),
    *(_mount_rate(f"nfsio_{name}_bw", "bytes/s", f"Bytes {what}, per second.") for name, what in _NFSIO.items()),
    _mount("lustre_read_bytes", "bytes", "Bytes read."),
    _mount("lustre_write_bytes", "bytes", "Bytes written."),
    _mount("lustre_read_requests", "count", "Reads."),
    _mount("lustre_write_requests", "count", "Writes."),
    *(_mount(f"lustre_{name}", "count", what) for name, what in _LUSTRE.items()),
    _mount_rate("lustre_read_bw", "bytes/s", "Bytes read per second."),
    _mount_rate("lustre_write_bw", "bytes/s", "Bytes written per second."),
    _mount_rate("lustre_read_requests_rate", "requests/s", "Reads per second."),
    _mount_rate("lustre_write_requests_rate", "requests/s", "Writes per second."),
)
