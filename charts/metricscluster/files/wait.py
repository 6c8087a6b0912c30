"""Wait until the API server serves MetricsClusters, as Helm will ask for them; it may make one then."""

import os
import pathlib
import ssl
import sys
import time
import urllib.request

ACCOUNT = pathlib.Path("/var/run/secrets/kubernetes.io/serviceaccount")
HOST, PORT = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
HOST = f"[{HOST}]" if ":" in HOST else HOST
FORMAT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as Kubernetes' own clients: many clusters' CAs lack an extension
seen, end = 0, time.monotonic() + 150
while seen < 3:  # there may be several API servers
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}", "Accept": FORMAT}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"https://{HOST}:{PORT}/apis", headers=headers), context=context, timeout=10
        ) as answer:
            seen = seen + 1 if '"MetricsCluster"' in answer.read().decode() else 0
    except OSError as error:
        print(f"cannot ask the API server: {error}", flush=True)
        seen = 0
    if time.monotonic() > end:
        sys.exit("the API server does not serve metricsclusters.metricscluster.io")
    time.sleep(0.3)
