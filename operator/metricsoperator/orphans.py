"""Store pods that nobody owns any more.

An operator that ends between the two halves of growing (metricsoperator.growth) leaves the pod without an owner. The next one
makes the StatefulSet anew, which adopts it; but if the MetricsCluster is deleted before, no garbage collector knows of the pod.
"""

import logging

from metricsoperator import names
from metricsoperator.objects import Objects
from metricsoperator.observed import needed_of_pod
from metricsoperator.ownership import alive, title

log = logging.getLogger(__name__)


async def remove(objects: Objects, namespace: str) -> None:
    """Delete those whose MetricsCluster is gone; `namespace` "" looks in all."""
    labels = names.selector("", names.STORE)
    del labels["app.kubernetes.io/instance"]  # of any
    wanted = ",".join(f"{name}={value}" for name, value in labels.items())
    for pod in await objects.list("Pod", namespace, wanted, keep=needed_of_pod):
        about = pod["metadata"]
        of = about["labels"].get("app.kubernetes.io/instance", "")
        if about.get("ownerReferences") or not alive(pod) or about["name"] != f"{names.store(of)}-0":
            continue
        if await objects.get(names.KIND, about["namespace"], of) is None:
            text = "deleting %s, which nobody owns and whose MetricsCluster is gone; volume claim %s stays, for you to delete"
            log.warning(text, title(pod), names.claim(of))
            await objects.delete(pod)
