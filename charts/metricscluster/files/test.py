"""What `helm test` does with each MetricsCluster: write a sample, query it, see which nodes report, remove the sample.

Arguments: the namespace whose MetricsClusters are asked ("" all), the name of one of them ("" all), how many seconds each step
may take, the folder of the ServiceAccount with whose rights they and their Secrets are read: the operator's.
"""

import base64
import json
import os
import pathlib
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

NAMESPACE, NAME, SECONDS, ACCOUNT = sys.argv[1], sys.argv[2], float(sys.argv[3]), pathlib.Path(sys.argv[4])
HOST, PORT = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
HOST = f"[{HOST}]" if ":" in HOST else HOST
RESOURCES = "/apis/metricscluster.io/v1alpha1" + (f"/namespaces/{NAMESPACE}" if NAMESPACE else "") + "/metricsclusters"
SAMPLE, METRIC = "helm-test", "helm_test"  # cluster and host, and metric
VALUE = time.time() % 1000
NOW = int(time.time())


class Missing(OSError):
    """Nothing is there."""


def ask(url, token, context, body=None):
    """The answer's text; an error names what was asked."""
    request = urllib.request.Request(url, body and body.encode(), {"Authorization": f"Bearer {token.strip()}"})
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=15) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        kind = Missing if error.code == 404 else OSError
        raise kind(f"{urllib.parse.urlsplit(url).path}: {error.code} {error.read().decode()[:500]}") from error


def kubernetes(path):
    """An object, or a list of them."""
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as Kubernetes' own clients: many clusters' CAs lack an extension
    return json.loads(ask(f"https://{HOST}:{PORT}{path}", (ACCOUNT / "token").read_text(), context))


def clusters():
    """The MetricsClusters that are asked."""
    try:
        return [kubernetes(f"{RESOURCES}/{NAME}")] if NAME else kubernetes(RESOURCES)["items"]
    except Missing:
        sys.exit(f"nothing was tested: there is no MetricsCluster {NAME} in namespace {NAMESPACE}")


def eventually(look, what):
    """What `look` finds, as soon as it finds something."""
    end = time.monotonic() + SECONDS
    while True:
        try:
            if found := look():
                return found
            cause = "nothing found"
        except OSError as error:
            cause = error
        if time.monotonic() > end:
            sys.exit(f"cannot {what}: {cause}")
        time.sleep(1)


class Store:
    """The store of a MetricsCluster, its administrator's token and the authorities that its certificate is checked with."""

    def __init__(self, name, namespace):
        cluster = kubernetes(f"/apis/metricscluster.io/v1alpha1/namespaces/{namespace}/metricsclusters/{name}")
        secrets = f"/api/v1/namespaces/{namespace}/secrets"
        self.url = cluster.get("status", {}).get("store", {}).get("endpoint", "")
        if not self.url:
            raise Missing("the operator has not said yet where it is")
        self.token = base64.b64decode(kubernetes(f"{secrets}/{name}-keys")["data"]["admin-token"]).decode()
        tls = cluster["spec"]["store"]["tls"]["secretName"]
        authority = kubernetes(f"{secrets}/{tls}")["data"].get("ca.crt", "") if tls else ""
        self.context = ssl.create_default_context(cadata=base64.b64decode(authority).decode() or None)

    def ask(self, path, body=None):
        """The answer's text."""
        return ask(self.url + path, self.token, self.context, body)

    def written(self):
        """Whether it has acknowledged a sample."""
        self.ask("/api/write", f"{METRIC},cluster={SAMPLE},hostname={SAMPLE} value={VALUE!r} {NOW}\n")
        return True

    def queried(self):
        """Whether a query answers it."""
        query = {"cluster": SAMPLE, "from": NOW - 60, "to": NOW + 60, "queries": [{"metric": METRIC, "host": SAMPLE}]}
        return VALUE in json.loads(self.ask("/api/query", json.dumps(query)))["results"][0][0].get("data", ())

    def nodes(self):
        """The names of the nodes whose agents deliver; any collector may be off."""
        shown = "".join(self.ask(f"/metrics?metric={metric}") for metric in ("uptime", "load_one", "mem_total"))
        return sorted({line.split('hostname="')[1].split('"')[0] for line in shown.splitlines() if 'hostname="' in line})


def check(name, namespace):
    """All of it, with one MetricsCluster."""
    print(f"MetricsCluster {name} in namespace {namespace}:", flush=True)
    store = eventually(lambda: Store(name, namespace), "find its store")
    eventually(store.written, f"write a sample to {store.url}")
    print("  a sample was written and is on the store's disk", flush=True)
    eventually(store.queried, "query the sample that was written")
    print("  a query answered it", flush=True)
    found = eventually(store.nodes, "find a node whose agent delivers")
    print(f"  {len(found)} nodes report: {', '.join(found[:20])}{' ...' if len(found) > 20 else ''}", flush=True)
    store.ask(f"/api/free?to={NOW + 3600}", json.dumps([[SAMPLE, SAMPLE]]))
    print("  the sample was removed; all is well", flush=True)


asked = clusters()
if not asked:
    where = f"namespace {NAMESPACE}" if NAMESPACE else "the cluster"
    sys.exit(f"nothing was tested: there is no MetricsCluster in {where}; make one, and test again")
for cluster in asked:
    check(cluster["metadata"]["name"], cluster["metadata"]["namespace"])
