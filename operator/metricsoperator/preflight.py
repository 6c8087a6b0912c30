"""Before the start: is the resource known to the API server, and may the operator do what it will do?"""

import asyncio
import logging
from typing import Any

from metricsoperator import names
from metricsoperator.kinds import access_reviews
from metricsoperator.objects import Objects, Refused, Retry
from metricwire.errors import SettingsError

log = logging.getLogger(__name__)

ATTEMPTS, PAUSE = 30, 2.0  # seconds between attempts: the CRD and the Role may be applied in the same moment as the operator


async def check(objects: Objects, namespace: str, *, cluster: bool, attempts: int = ATTEMPTS, pause: float = PAUSE) -> None:
    """Return when all is well; SettingsError says what is missing when it does not come within `attempts`.

    `cluster`: whether the right to bind ClusterRoles is needed.
    """
    missing: list[str] = []
    for attempt in range(attempts):
        before = missing
        try:
            missing = await _missing(objects, namespace, cluster=cluster)
        except Retry as error:
            missing = [f"an API server that answers: {error}"]
        if not missing:
            return
        if attempt < attempts - 1:
            if missing != before:
                log.warning("waiting up to %.0f s for %s", (attempts - 1 - attempt) * pause, "; ".join(missing))
            await asyncio.sleep(pause)
    raise SettingsError(f"cannot start: {'; '.join(missing)}")


async def _missing(objects: Objects, namespace: str, *, cluster: bool) -> list[str]:
    """What is missing, each in a phrase that names it."""
    missing = []
    reviews = access_reviews(namespace, cluster=cluster)
    answers = await asyncio.gather(*(objects.create(review) for review in reviews))
    for review, answer in zip(reviews, answers, strict=True):
        if not answer.get("status", {}).get("allowed"):
            right = review["spec"]["resourceAttributes"]
            where = f"in namespace {right['namespace']}" if "namespace" in right else "in all namespaces (a ClusterRole)"
            missing.append(f"the right {_named(right)} {where}")
    if missing:
        return missing
    try:
        await objects.list(names.KIND, namespace, "")
    except Refused as error:
        return [f"the CustomResourceDefinition {names.PLURAL}.{names.GROUP}: {error}"]
    return []


def _named(right: dict[str, Any]) -> str:
    resource = "/".join(part for part in (right["resource"], right.get("subresource", "")) if part)
    return f"{right['verb']} {resource}{'.' if right['group'] else ''}{right['group']}"
