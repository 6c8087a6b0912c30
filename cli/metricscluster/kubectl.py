"""`kubectl`, run as the user would: with their credentials and contexts. What it reads comes back over a pipe.

Nothing secret is on a command line or in the environment: kubectl reads Secrets and makes tokens, and tells us alone.
"""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import IO, Any

from metricscluster.child import die_with
from metricwire.errors import MetricsError, NotFound, Unavailable

PATIENCE = 60.0  # seconds for an answer
REQUEST = "20s"  # that kubectl waits for the API server
FORWARD_PATIENCE = 20.0  # seconds until a port is forwarded
LOOK = 0.02  # seconds between two looks whether it is
STOP = 5.0  # seconds that it may take to end
_FORWARDED = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)\n")
_PREFIXES = re.compile(r"^(?:error: |Error from server(?: \([A-Za-z]+\))?: |Unable to connect to the server: )+")
_MISSING = "install it (https://kubernetes.io/docs/tasks/tools), or, for top and query, name a store by --url"


class Conflict(MetricsError):
    """Somebody else has changed the object in between."""


_KINDS: dict[str, type[MetricsError]] = {"Error from server (Conflict)": Conflict, "Error from server (NotFound)": NotFound}


class Kubectl:
    """kubectl with the options that say which cluster: --context, --kubeconfig."""

    def __init__(self, options: Sequence[str] = ()) -> None:
        self._command = ("kubectl", *options)

    def text(self, what: str, *arguments: str) -> str:
        """What it prints. MetricsError `cannot <what>: <cause>`, of its kinds NotFound and Conflict."""
        return self._run(what, arguments, subprocess.PIPE).decode("utf-8", "replace")

    def end(self, what: str, *arguments: str, most: int) -> tuple[str, int]:
        """The last `most` bytes of what it prints, and how many were before these. Errors as of `text`."""
        with tempfile.TemporaryFile() as printed:
            self._run(what, arguments, printed)
            before = max(0, printed.seek(0, os.SEEK_END) - most)
            printed.seek(before)
            return printed.read().decode("utf-8", "replace"), before

    def _run(self, what: str, arguments: Sequence[str], printed: int | IO[bytes]) -> bytes:
        try:
            done = subprocess.run(  # noqa: S603 our arguments; standard input stays: a login may ask something
                [*self._command, *arguments], stdout=printed, stderr=subprocess.PIPE, check=False, timeout=PATIENCE
            )
        except FileNotFoundError as error:
            raise MetricsError(f"cannot {what}: there is no kubectl on PATH; {_MISSING}") from error
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"cannot {what}: kubectl has not answered for {PATIENCE:.0f} s") from error
        except OSError as error:
            raise MetricsError(f"cannot {what}: cannot run kubectl: {error.strerror}") from error
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace")
            kind = next((error for mark, error in _KINDS.items() if mark in said), MetricsError)
            raise kind(f"cannot {what}: {cause(said, done.returncode)}")
        return done.stdout or b""

    def get(self, what: str, *arguments: str) -> Any:
        """As JSON the object that the first argument names, or the list of all as `items`."""
        named = arguments[0] if arguments and not arguments[0].startswith("-") else ""
        do = f"get {what} {named}".rstrip()
        text = self.text(do, "get", what, *arguments, "-o", "json", f"--request-timeout={REQUEST}")
        try:
            return json.loads(text)
        except ValueError as error:
            raise MetricsError(f"cannot {do}: kubectl has not answered with JSON") from error

    def forward(self, namespace: str, pod: str, ports: Sequence[int]) -> "Forwarding":
        """Ports of a pod as ports of this machine, while the `with` block lasts."""
        return Forwarding(self._command, namespace, pod, ports)


class Forwarding:
    """`with kubectl.forward(...) as ports`: pod's port -> ours, on 127.0.0.1. Unavailable when the pod cannot be reached.

    The way leads through the API server and the node's kubelet: no NetworkPolicy is in between, nothing is exposed.
    """

    def __init__(self, command: Sequence[str], namespace: str, pod: str, ports: Sequence[int]) -> None:
        self._what = f"reach pod {namespace}/{pod}"
        self._wanted = ports
        where = ("-n", namespace, "port-forward", "--address=127.0.0.1", f"pod/{pod}")
        self._command = [*command, *where, *(f":{port}" for port in ports)]

    def __enter__(self) -> dict[int, int]:
        parent = os.getpid()
        # A file, not a pipe: it says a line for each connection, and a full pipe would stop it.
        self._said = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(  # noqa: S603
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=self._said,
                stderr=self._said,
                start_new_session=True,
                preexec_fn=lambda: die_with(parent),  # noqa: PLW1509 no other thread runs while it starts
            )
        except OSError as error:
            self._said.close()
            raise MetricsError(f"cannot {self._what}: cannot run kubectl: {error.strerror}; {_MISSING}") from error
        try:
            return self._until_ready()
        except BaseException:
            self.__exit__()
            raise

    def _until_ready(self) -> dict[int, int]:
        end = time.monotonic() + FORWARD_PATIENCE
        while True:
            ended = self._process.poll()
            self._said.seek(0)
            said = self._said.read().decode("utf-8", "replace")
            ports = {int(theirs): int(ours) for ours, theirs in _FORWARDED.findall(said)}
            if len(ports) == len(self._wanted):
                return ports
            if ended is not None:
                raise Unavailable(f"cannot {self._what}: {cause(said, ended)}")
            if time.monotonic() > end:
                raise Unavailable(f"cannot {self._what}: kubectl port-forward is not ready after {FORWARD_PATIENCE:.0f} s")
            time.sleep(LOOK)

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()


def cause(said: str, status: int) -> str:
    """What kubectl says went wrong: its last line, without what is the same in all of them."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    text = _PREFIXES.sub("", lines[-1]) if lines else f"kubectl ended with status {status} and said nothing"
    if "the server doesn't have a resource type" in text:
        text += "; install the operator and its CustomResourceDefinition first (docs/kubernetes.md)"
    return text
