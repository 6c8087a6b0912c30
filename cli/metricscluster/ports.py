"""The addresses on which a local cluster listens: those of design.md, on this machine only."""

import argparse
import os
import socket
from dataclasses import dataclass

from metricsoperator import names
from metricwire.errors import MetricsError

HOST = "127.0.0.1"
LARGEST_OFFSET = 65535 - names.AGENT_METRICS_PORT


class PortInUse(MetricsError):
    """A port cannot be listened on; the text says which and what to do."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The four ports; `offset` is added to each."""

    offset: int = 0

    @property
    def store(self) -> int:
        """The store's API."""
        return names.STORE_API_PORT + self.offset

    @property
    def store_ops(self) -> int:
        """The store's health and metrics."""
        return names.STORE_OPS_PORT + self.offset

    @property
    def agent(self) -> int:
        """The agent's DC/OS Metrics API."""
        return names.AGENT_API_PORT + self.offset

    @property
    def agent_metrics(self) -> int:
        """The agent's metrics."""
        return names.AGENT_METRICS_PORT + self.offset

    @property
    def _next_offset(self) -> int:
        return (self.offset + 100) % LARGEST_OFFSET

    def check(self) -> None:
        """PortInUse for the first of them that is not free."""
        wanted = (
            ("store", self.store),
            ("store's health", self.store_ops),
            ("agent", self.agent),
            ("agent's metrics", self.agent_metrics),
        )
        for what, port in wanted:
            try:
                socket.create_server((HOST, port)).close()
            except OSError as error:
                cause = os.strerror(error.errno or 0)
                raise PortInUse(
                    f"cannot listen on {HOST}:{port} for the {what}: {cause}; "
                    f"ss -ltnp 'sport = :{port}' shows who does, --port-offset {self._next_offset} uses other ports"
                ) from error


def offset(text: str) -> int:
    """The argument of --port-offset; argparse shows the error."""
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text) <= LARGEST_OFFSET):
        raise argparse.ArgumentTypeError(f"expected a number from 0 to {LARGEST_OFFSET}, got {text[:40]!r}")
    return int(text)


def address(port: int) -> str:
    """host:port."""
    return f"{HOST}:{port}"
