"""The way to a store: through kubectl to that of a MetricsCluster, or to any by its URL.

Through kubectl: its port is forwarded to one of this machine, and the token is the administrator's of the Secret
`<name>-keys`, or one that kubectl makes for a ServiceAccount. Either stays in this process.
"""

import argparse
import base64
import json
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from metricscluster.client import Client
from metricscluster.kubectl import Kubectl
from metricsoperator import names
from metricwire.errors import BadInput, MetricsError, NotFound

RESOURCE = f"{names.PLURAL}.{names.GROUP}"
_CERTIFICATE_END = "-----END CERTIFICATE-----"
MOST = 10  # MetricsClusters that are named
TOKEN_AGE = 300.0  # seconds for which a ServiceAccount's token is used; it lasts twice as long
TOKEN_LIFETIME = "10m"  # noqa: S105 the shortest that Kubernetes makes


class Chosen(NamedTuple):
    """A MetricsCluster, and the cluster whose samples it holds."""

    namespace: str
    name: str
    cluster: str
    certificate: str  # the Secret with the store's certificate; "" without TLS

    @property
    def pod(self) -> str:
        """Of the store."""
        return f"{names.store(self.name)}-0"


class Store(NamedTuple):
    """A store that can be asked: its API, its own state, and whose samples are meant."""

    client: Client
    operations: Client  # /metrics and /metrics/self; the same as `client` where there is no other way
    cluster: str


def add_kubectl(parser: argparse.ArgumentParser) -> None:
    """Which Kubernetes is meant."""
    parser.add_argument("--context", metavar="NAME", help="context of the kubeconfig (default: as in kubectl)")
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE", help="the kubeconfig (default: as in kubectl)")


def add_store(parser: argparse.ArgumentParser) -> None:
    """Which store is meant."""
    parser.add_argument(
        "--metricscluster",
        type=_names,
        metavar="[NAMESPACE/]NAME",
        help="whose store (default: that of the only MetricsCluster)",
    )
    parser.add_argument(
        "--service-account",
        type=_names,
        metavar="[NAMESPACE/]NAME",
        help="ask as this ServiceAccount (default: as the administrator of the MetricsCluster)",
    )
    parser.add_argument("--url", help="a store by its URL, without kubectl")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="with the token to show")
    parser.add_argument("--ca-file", type=Path, metavar="FILE", help="with the certificates to trust (default: the system's)")
    parser.add_argument("--cluster", help="whose samples (default: the MetricsCluster's; with --url, that of the only cluster)")
    add_kubectl(parser)


def kubectl(arguments: argparse.Namespace) -> Kubectl:
    """As the arguments of `add_kubectl` say."""
    given = (("--context", arguments.context), ("--kubeconfig", arguments.kubeconfig))
    return Kubectl([f"{option}={value}" for option, value in given if value])


def reached(arguments: argparse.Namespace) -> AbstractContextManager[Store]:
    """`with reached(arguments) as store`. Unavailable when it cannot be reached now, other MetricsErrors for good."""
    if arguments.url and (arguments.metricscluster or arguments.service_account):
        raise BadInput("cannot use --url with --metricscluster or --service-account: it names a store without Kubernetes")
    return _by_url(arguments) if arguments.url else _by_kubectl(arguments)


@contextmanager
def _by_url(arguments: argparse.Namespace) -> Iterator[Store]:
    client = Client(arguments.url, arguments.token_file, arguments.ca_file)
    yield Store(client, client, arguments.cluster or _only_cluster(client))


def _only_cluster(client: Client) -> str:
    found = [one["name"] for one in json.loads(client.ask("/api/cardinality"))["clusters"]]
    if len(found) != 1:
        raise NotFound(f"cannot tell which cluster is meant: the store has {', '.join(found) or 'none'}; use --cluster NAME")
    return str(found[0])


@contextmanager
def _by_kubectl(arguments: argparse.Namespace) -> Iterator[Store]:
    kube = kubectl(arguments)
    chosen = choose(kube, *(arguments.metricscluster or ("", "")))
    token = None if arguments.token_file else _token(kube, chosen, arguments.service_account)
    with forwarded(kube, chosen, token, arguments.token_file, arguments.ca_file) as (client, operations):
        yield Store(client, operations, arguments.cluster or chosen.cluster)


@contextmanager
def forwarded(
    kube: Kubectl,
    chosen: Chosen,
    token: Callable[[], str] | None = None,
    token_file: Path | None = None,
    ca_file: Path | None = None,
) -> Iterator[tuple[Client, Client]]:
    """The store's API and its port for operations, which needs no token. Unavailable when its pod does not run."""
    context = trusting(kube, chosen, ca_file) if chosen.certificate else None
    with kube.forward(chosen.namespace, chosen.pod, (names.STORE_API_PORT, names.STORE_OPS_PORT)) as ports:
        scheme = "https" if context else "http"
        url = f"{scheme}://127.0.0.1:{ports[names.STORE_API_PORT]}"
        api = Client(url, token_file, token=token, context=context)
        yield api, Client(f"http://127.0.0.1:{ports[names.STORE_OPS_PORT]}")


def choose(kube: Kubectl, namespace: str, name: str) -> Chosen:
    """The MetricsCluster of that name; without one, the only one of the namespace, or else of all. NotFound."""
    scope = ("-n", namespace) if namespace else ()
    if name:
        try:
            return _chosen(kube.get(RESOURCE, name, *scope))
        except NotFound as error:
            raise NotFound(f"{error}; {elsewhere(kube)}") from error
    found = kube.get(RESOURCE, *scope)["items"]
    if not found and not namespace:
        found = kube.get(RESOURCE, "-A")["items"]
    if len(found) == 1:
        return _chosen(found[0])
    if namespace and not found:
        raise NotFound(f"cannot find a MetricsCluster: there is none in namespace {namespace}; {elsewhere(kube)}")
    raise NotFound(f"cannot tell which MetricsCluster is meant: there are {_listed(found)}; name one")


def elsewhere(kube: Kubectl) -> str:
    """Where there are MetricsClusters, for those who looked in the wrong namespace."""
    try:
        found = kube.get(RESOURCE, "-A")["items"]
    except MetricsError as error:
        return f"whether there are others is not known: {error}"
    return f"in all namespaces there are {_listed(found)}"


def _listed(found: Sequence[dict[str, Any]]) -> str:
    named = ["{namespace}/{name}".format(**one["metadata"]) for one in found]
    more = [f"{len(named) - MOST} more"] if len(named) > MOST else []
    return ", ".join([*named[:MOST], *more]) or "none"


def _chosen(found: dict[str, Any]) -> Chosen:
    about, spec = found["metadata"], found.get("spec", {})
    certificate = (spec.get("store", {}).get("tls") or {}).get("secretName", "")
    return Chosen(about["namespace"], about["name"], spec.get("clusterName") or about["name"], certificate)


def secret(kube: Kubectl, namespace: str, name: str) -> dict[str, bytes]:
    """The entries of a Secret. MetricsError where there is none, or it may not be read."""
    found = kube.get("secret", name, "-n", namespace)
    return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}


def admin_token(kube: Kubectl, chosen: Chosen) -> str:
    """The administrator's token of a MetricsCluster."""
    entry = secret(kube, chosen.namespace, names.keys(chosen.name)).get(names.ADMIN_TOKEN)
    if not entry:
        raise NotFound(f"cannot use secret {names.keys(chosen.name)}: it has no entry {names.ADMIN_TOKEN}")
    return entry.decode("ascii").strip()


def _token(kube: Kubectl, chosen: Chosen, account: tuple[str, str] | None) -> Callable[[], str]:
    if account is None:
        try:
            token = admin_token(kube, chosen)
        except MetricsError as error:
            raise type(error)(f"{error}; use --service-account or --token-file") from error
        return lambda: token
    namespace, name = account
    made: list[tuple[float, str]] = []

    def fresh() -> str:
        now = time.monotonic()
        if not made or now - made[-1][0] > TOKEN_AGE:
            wanted = (name, "-n", namespace or chosen.namespace, f"--audience={names.AUDIENCE}", f"--duration={TOKEN_LIFETIME}")
            made[:] = [(now, kube.text(f"make a token of ServiceAccount {name}", "create", "token", *wanted).strip())]
        return made[-1][1]

    return fresh


def trusting(kube: Kubectl, chosen: Chosen, ca_file: Path | None) -> ssl.SSLContext:
    """Trusts the certificates of the file, or no other certificate than the store's own, as its Secret has it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # it is called 127.0.0.1 here; the API server leads to the right pod
    source = str(ca_file or f"secret {chosen.certificate}")
    try:
        if ca_file is None:
            chain = secret(kube, chosen.namespace, chosen.certificate).get(names.CERTIFICATE, b"").decode("ascii")
            own, end, _ = chain.partition(_CERTIFICATE_END)  # who signed it could have signed others too
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            context.load_verify_locations(cadata=own + end)
        else:
            context.load_verify_locations(cafile=ca_file)
    except (OSError, ValueError) as error:
        raise BadInput(f"cannot use the certificates in {source}: {error}") from error
    return context


def _names(text: str) -> tuple[str, str]:
    namespace, slash, name = text.rpartition("/")
    if not name or "/" in namespace or (slash and not namespace) or text.startswith("-"):
        raise argparse.ArgumentTypeError(f"expected NAME or NAMESPACE/NAME, got {text[:80]!r}")
    return namespace, name
