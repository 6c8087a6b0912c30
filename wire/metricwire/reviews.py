"""What Kubernetes' RBAC lets a ServiceAccount do here: SubjectAccessReviews on paths (`nonResourceURLs`), remembered for 10 s.

Group system:authenticated is left out of the question: the ClusterRole `system:discovery`, which every cluster has, lets that
group `get /api/*`, and so would open GET /api/query and GET /api/write to every pod. A rule counts that is bound to
the ServiceAccount, to system:serviceaccounts:<namespace> or to system:serviceaccounts.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from metricwire.errors import Forbidden, Unavailable
from metricwire.serviceaccounts import ApiServer, NotAnswered

REMEMBERED = 10.0  # seconds that an answer counts
AGAIN = 2.0  # seconds after a failure in which the API server is left alone
ASKING = 4  # questions at the same time
WAITING = 256  # callers whose questions wait, at most
ANSWERS = 4096  # that are remembered, at most
SHOWN = 80  # characters of a path in an error

PATH = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
ACCOUNTS = "system:serviceaccounts"
OUR_RULE = "this program's own ServiceAccount needs the verb create on subjectaccessreviews of authorization.k8s.io"


def question(subject: str, verb: str, path: str) -> dict[str, Any]:
    """The SubjectAccessReview: may `system:serviceaccount:<namespace>:<name>` do this?"""
    namespace = subject.split(":")[2]
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": subject,
            "groups": [ACCOUNTS, f"{ACCOUNTS}:{namespace}"],
            "nonResourceAttributes": {"path": path, "verb": verb},
        },
    }


def is_allowed(answer: Any) -> bool:
    """What the API server said; NotAnswered when it said something else."""
    try:
        return answer["status"]["allowed"] is True
    except (KeyError, TypeError):
        raise NotAnswered("expected a SubjectAccessReview with a status") from None


class Reviews:
    """Asks, and remembers the answers, yes and no alike. Whoever cannot be asked about is not let in."""

    def __init__(self, server: ApiServer, clock: Callable[[], float], logger: logging.Logger) -> None:
        self._server, self._clock, self._logger = server, clock, logger
        self._answers: dict[tuple[str, str, str], tuple[bool, float]] = {}
        self._asking = asyncio.Semaphore(ASKING)
        self._waiting = 0
        self._failed_at = -AGAIN
        self._failure = ""

    async def permit(self, subject: str, method: str, path: str) -> None:
        """Return if it may. Forbidden: it may not, and which rule would let it; Unavailable: nobody can tell now."""
        verb, path = method.lower(), path.rstrip("/") or "/"
        if not await self._allowed((subject, verb, path)):
            rule = f"nonResourceURLs: [{path[:SHOWN]}], verbs: [{verb}]"
            raise Forbidden(f"cannot {verb} this: no ClusterRole bound to {subject[:SHOWN]} has the rule {rule}")

    async def _allowed(self, asked: tuple[str, str, str]) -> bool:
        known = self._known(asked)
        if known is not None:
            return known
        if self._waiting >= WAITING:
            raise Unavailable("cannot tell who may do this: too many questions wait for the API server", 1)
        self._waiting += 1
        try:
            async with self._asking:
                known = self._known(asked)  # another caller may have asked meanwhile
                return await self._ask(asked) if known is None else known
        finally:
            self._waiting -= 1

    def _known(self, asked: tuple[str, str, str]) -> bool | None:
        allowed, until = self._answers.get(asked, (False, 0.0))
        if self._clock() < until:
            return allowed
        if 0 <= self._clock() - self._failed_at < AGAIN:
            raise Unavailable(self._failure, int(AGAIN))
        return None

    async def _ask(self, asked: tuple[str, str, str]) -> bool:
        try:
            allowed = is_allowed(await self._server.ask(PATH, question(*asked)))
        except NotAnswered as error:
            why = OUR_RULE if error.status == 403 else "the API server cannot be asked"
            text = f"cannot tell who may do this: {why}"
            if text != self._failure:
                self._logger.warning("%s: %s", text, error)
            self._failure, self._failed_at = text, self._clock()
            raise Unavailable(text, int(AGAIN)) from None
        if self._failure:
            self._logger.info("the API server says again who may do what")
        self._failure = ""
        if len(self._answers) >= ANSWERS:
            self._answers.clear()
        self._answers[asked] = allowed, self._clock() + REMEMBERED
        return allowed
