"""Who sent a packet: the container whose numbers are in it. Decided by the sender's address; never by what it says of others.

| sender's address | whose |
|---|---|
| of a pod of this node | that pod's: its container that is named by id or name, else its first that is no init container |
| of the node: loopback, host network, gateway | of the pod on the host's network that is named by UID or container id |
| another | unknown |

Pods on the host's network have no address of their own: any process of the host may say it is one of them, and no more.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from metricagent.pod import Directory, Pod, PodContainer

UNKNOWN_ID = "unknown"  # the type-id of what belongs to no container that is known


class Owner(NamedTuple):
    """A container by its id, and its pod by its UID ("" where the container is UNKNOWN_ID)."""

    container: str
    pod: str


UNKNOWN = Owner(UNKNOWN_ID, "")


class Sender(NamedTuple):
    """Whose a packet is. `by_name`: the container's name in the packet was the pod's, and says no more than the id."""

    owner: Owner
    by_name: bool = False


NOBODY = Sender(UNKNOWN)


class Attribution:
    """Asks the directory of this node's pods; `gateways` are the node's addresses in the pods' network."""

    def __init__(self, directory: Directory, gateways: Iterable[str] = ()) -> None:
        self._directory = directory
        self._gateways = frozenset(gateways)

    def sender(self, address: str, container: str, pod: str, name: str) -> Sender:
        """Whose a packet from that address is, which claims to be of a container (id), a pod (UID) and a container's name."""
        sending = self._directory.by_ip(address)
        if sending is None:
            sending = self._on_host(address, container, pod)
        if sending is None:
            return NOBODY
        chosen = _container(sending, container, name)
        if chosen is None:
            return NOBODY
        return Sender(Owner(chosen.id, sending.uid), by_name=bool(name) and chosen.name == name)

    def _on_host(self, address: str, container: str, uid: str) -> Pod | None:
        """The pod on the host's network that is named, if the host is asking."""
        if not (container or uid):
            return None
        on_host = [pod for pod in self._directory.all() if pod.host_network]
        if not (ip_address(address).is_loopback or address in self._gateways or any(pod.ip == address for pod in on_host)):
            return None
        found = self._directory.by_container(container) if container else None
        if found:
            return found[0] if found[0].host_network else None
        return next((pod for pod in on_host if pod.uid == uid), None)


def _container(pod: Pod, id: str, name: str) -> PodContainer | None:
    """The one of the pod's that is named by id, else by name; else the first that is no init container.

    While only init containers have started it is the last of these; None: none has.
    """
    started = [one for one in pod.containers if one.id]
    if id:
        by_id = next((one for one in started if one.id == id), None)
        if by_id:
            return by_id
    by_name = next((one for one in started if one.name == name), None) if name else None
    if by_name:
        return by_name
    return next((one for one in started if not one.init), started[-1] if started else None)


def read_gateways(path: Path = Path("/proc/self/net/route")) -> list[str]:
    """The gateways of the agent's own network, the other end of which is the node's where that is the pods' network."""
    return parse_gateways(path.read_bytes())


def parse_gateways(routes: bytes) -> list[str]:
    """The gateways in /proc/net/route, where an address is hexadecimal, its lowest byte first (Linux, net/ipv4/fib_trie.c)."""
    found = []
    for line in routes.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 2 and fields[2] != b"00000000":
            found.append(".".join(str(byte) for byte in reversed(bytes.fromhex(fields[2].decode()))))
    return sorted(set(found))
