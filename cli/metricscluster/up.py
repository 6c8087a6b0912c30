"""`metricscluster up FILE`: a store and an agent of this machine, as local programs, from a MetricsCluster of Kubernetes.

Exit status: 0 after Ctrl-C or SIGTERM, 1 when it cannot run (port, folder, a program that does not stay up), 2 for bad input.
"""

import argparse
import asyncio
import signal
import socket
import sys
import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

from metricscluster import guide
from metricscluster.child import Child
from metricscluster.lines import shown
from metricscluster.ports import HOST, Ports, address, offset
from metricscluster.state import State
from metricscluster.terminal import printable
from metricsoperator.manifests.config import AgentPlaces, StorePlaces, agent_config, store_config
from metricsoperator.spec import MetricsCluster, Spec
from metricwire.errors import BadInput, MetricsError
from metricwire.units import duration

HELP = "run a store and an agent of this machine, from the MetricsCluster in FILE"
EXAMPLES = """
  metricscluster up examples/metricscluster.yaml
  metricscluster up fritz.yaml --directory /tmp/fritz --port-offset 100
"""
STORE_PATIENCE = 30.0  # seconds to stop: it finishes requests
AGENT_PATIENCE = 30.0  # seconds to stop: it delivers what waits
POLL = 0.1  # seconds between two looks whether the store is ready


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of this command."""
    parser.add_argument("file", metavar="FILE", type=Path, help="YAML file with one MetricsCluster")
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path(".metricscluster"),
        help="where keys, data and logs are kept (default: %(default)s)",
    )
    parser.add_argument(
        "--port-offset",
        type=offset,
        default=0,
        metavar="N",
        help="listen on 8082, 8083, 61001 and 61091 plus N (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run until told to stop; the exit status."""
    from metricscluster import document  # noqa: PLC0415 the store's image, where `store` is run, cannot read YAML

    try:
        cluster = document.read(_content(arguments.file, document.LARGEST), str(arguments.file))
    except BadInput as error:
        print(printable(str(error)), file=sys.stderr)
        return 2
    try:
        ports = Ports(arguments.port_offset)
        with closing(State(arguments.directory, cluster.cluster, time.time)) as state:
            ports.check()
            asyncio.run(Up(cluster, state, ports).run())
    except MetricsError as error:
        print(printable(str(error)), file=sys.stderr)
        return 1
    return 0


def _content(path: Path, most: int) -> bytes:
    """The file, or a byte more than it may have."""
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise BadInput(f"{path}: cannot read it: {error.strerror}") from error


def say(who: str, text: str) -> None:
    """One line for whoever looks on."""
    print(shown(time.strftime("%H:%M:%S"), who, printable(text)), flush=True)


def _secrets(spec: Spec) -> dict[str, bool]:
    """The fields that take Secrets, and whether they say something."""
    return {
        "spec.auth.publicKeys": bool(spec.auth.public_keys),
        "spec.store.tls": bool(spec.store.tls.secret_name),
        "spec.nats": bool(spec.nats.url),
    }


class Up:
    """The two programs of a local cluster, from start to stop."""

    def __init__(self, cluster: MetricsCluster, state: State, ports: Ports) -> None:
        self._cluster = cluster
        self._state = state
        self._ports = ports
        self._signals = 0
        self._stop = asyncio.Event()
        self._store = self._child("store", "metricstore", self._store_settings(), STORE_PATIENCE)
        self._agent = self._child("agent", "metricagent", self._agent_settings(), AGENT_PATIENCE)

    async def run(self) -> None:
        """Until a signal; Died when one of the two does not stay up."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self._signalled)
        for field, named in _secrets(self._cluster.spec).items():
            if named:
                say("up", f"{field} names Secrets of Kubernetes: not used here")
        if self._state.renewed_keys:
            say("up", "keys were missing: new ones are made, tokens handed out before count no longer")
        lives = [asyncio.create_task(self._store.run()), asyncio.create_task(self._start_agent())]
        guiding = asyncio.create_task(self._guide())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            done, _ = await asyncio.wait((*lives, stopping), return_when=asyncio.FIRST_COMPLETED)
            for life in done:
                life.result()
        finally:
            guiding.cancel()
            await self._agent.stop()
            await self._store.stop()
            for task in (*lives, guiding, stopping):
                task.cancel()
            await asyncio.gather(*lives, guiding, stopping, return_exceptions=True)
        say("up", f"agent and store have stopped; their data stay in {self._state.directory}")

    def _signalled(self) -> None:
        """The first signal asks both to stop, the second does not ask."""
        self._signals += 1
        if self._signals == 1:
            say("up", "stopping; a second Ctrl-C kills")
            self._stop.set()
        else:
            self._agent.kill()
            self._store.kill()

    async def _until_ready(self) -> None:
        while not await _is_ready(self._ports.store_ops):  # noqa: ASYNC110 another process has no events
            await asyncio.sleep(POLL)

    async def _start_agent(self) -> None:
        """Once the store is there: an agent without one would say that it is away."""
        await self._until_ready()
        await self._agent.run()

    async def _guide(self) -> None:
        """Print the guide as soon as the store is ready."""
        await self._until_ready()
        print(
            guide.text(
                cluster=self._cluster.cluster,
                host=socket.gethostname(),
                ports=self._ports,
                statsd=self._statsd if self._cluster.spec.node_agent.statsd.enabled else 0,
                token=self._state.token.read_text(encoding="ascii").strip(),
                token_file=self._state.token,
                directory=self._state.directory,
                interval=duration(self._cluster.spec.node_agent.interval),
            ),
            flush=True,
        )

    def _child(self, name: str, module: str, settings: Path, patience: float) -> Child:
        command = (sys.executable, "-m", module, "--config", str(settings))
        return Child(name, command, say=say, open_log=partial(self._state.open_log, name), patience=patience)

    @property
    def _statsd(self) -> int:
        return self._cluster.spec.node_agent.statsd.port + self._ports.offset

    def _store_settings(self) -> Path:
        places = StorePlaces(
            address=address(self._ports.store),
            ops_address=address(self._ports.store_ops),
            directory=str(self._state.directory / "store"),
            public_key_files=(str(self._state.public_key),),
            login_key_files=(str(self._state.login_key),),
            users=str(self._state.users),
        )
        return self._state.write_settings("store", store_config(self._cluster, places))

    def _agent_settings(self) -> Path:
        places = AgentPlaces(
            proc="/proc",
            sys="/sys",
            root="/",
            store_url=f"http://{address(self._ports.store)}",
            token_file=str(self._state.agent_token),
            spool_directory=str(self._state.directory / "agent"),
            address=address(self._ports.agent),
            metrics_address=address(self._ports.agent_metrics),
            public_key_files=(str(self._state.public_key),),
            login_key_files=(str(self._state.login_public_key),),
            statsd_address=address(self._statsd),
        )
        return self._state.write_settings("agent", agent_config(self._cluster, places))


async def _is_ready(port: int) -> bool:
    """Whether /readyz of the store answers 200. No HTTP library: its threads would be there when a program is started."""
    with suppress(OSError):
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection(HOST, port)
            try:
                writer.write(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")
                return b" 200 " in await reader.readline()
            finally:
                writer.close()
    return False
