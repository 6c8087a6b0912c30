"""What Kubernetes' RBAC lets a ServiceAccount do here: SubjectAccessReviews on paths (`nonResourceURLs`), remembered for 10 s.

Group system:authenticated is left out of the question: the ClusterRole `system:discovery`, which every cluster has, lets that
group `get /api/*`, and so would open GET /api/query and GET /api/write to every pod. A rule counts that is bound to
the ServiceAccount, to system:serviceaccounts:<namespace> or to system:serviceaccounts.
"""

import asyncio
import hashlib
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from metricwire.apiserver import ApiServer, NotAnswered
from metricwire.errors import Forbidden, Unavailable

REMEMBERED = 10.0  # seconds that an answer counts
AGAIN = 2.0  # seconds after a failure in which the API server is left alone
ASKING = 4  # questions at the same time
WAITING = 256  # questions that wait, at most
WAITING_EACH = 16  # of them about the same ServiceAccount
ANSWERS = 4096  # that are remembered, at most
PATH_MAX = 1024  # bytes of verb and path: no path of ours comes near
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


class _Answers:
    """What was answered, by subject and a question's hash; who fills it forgets answers of their own."""

    def __init__(self) -> None:
        self._of: dict[str, OrderedDict[bytes, tuple[bool, float]]] = {}  # the oldest first
        self._count = 0
        self._swept = 0.0

    def __len__(self) -> int:
        return self._count

    def get(self, subject: str, mark: bytes, now: float) -> bool | None:
        """Whether it is allowed; None where nobody knows now."""
        found = self._of[subject].get(mark) if subject in self._of else None
        return found[0] if found is not None and now < found[1] else None

    def put(self, subject: str, mark: bytes, allowed: bool, now: float) -> None:
        """Remember it, and drop what is too much."""
        if not 0 <= now - self._swept < REMEMBERED:
            self._sweep(now)
        answers = self._of.setdefault(subject, OrderedDict())
        self._count += mark not in answers
        answers[mark] = allowed, now + REMEMBERED
        answers.move_to_end(mark)
        if self._count > ANSWERS:
            most = max(self._of, key=lambda name: len(self._of[name]))
            self._of[most].popitem(last=False)
            self._count -= 1
            if not self._of[most]:
                del self._of[most]

    def _sweep(self, now: float) -> None:
        self._swept = now
        for subject, answers in list(self._of.items()):
            while answers and next(iter(answers.values()))[1] <= now:
                answers.popitem(last=False)
                self._count -= 1
            if not answers:
                del self._of[subject]


@dataclass(slots=True)
class _Question:
    """One that waits, and how many callers wait for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    callers: int = 0


class Reviews:
    """Asks, and remembers the answers, yes and no alike. Whoever cannot be asked about is not let in."""

    def __init__(self, server: ApiServer, clock: Callable[[], float], logger: logging.Logger) -> None:
        self._server, self._clock, self._logger = server, clock, logger
        self._answers = _Answers()
        self._asking = asyncio.Semaphore(ASKING)
        self._questions: dict[bytes, _Question] = {}
        self._waiting: Counter[str] = Counter()  # questions, by subject
        self._failed_at = -AGAIN
        self._failure = ""

    async def permit(self, subject: str, method: str, path: str) -> None:
        """Return if it may. Forbidden: it may not, and which rule would let it; Unavailable: nobody can tell now."""
        verb, path = method.lower(), path.rstrip("/") or "/"
        asked = f"{verb} {path}".encode(errors="surrogatepass")
        if len(asked) - len(verb) - 1 > PATH_MAX or len(verb) > SHOWN:
            raise Forbidden(f"cannot {verb[:SHOWN]} this: nobody may ask for a path longer than {PATH_MAX} bytes")
        if not await self._allowed(subject, verb, path, hashlib.sha256(f"{subject} ".encode() + asked).digest()):
            rule = f"nonResourceURLs: [{path[:SHOWN]}], verbs: [{verb}]"
            raise Forbidden(f"cannot {verb} this: no ClusterRole bound to {subject[:SHOWN]} has the rule {rule}")

    async def _allowed(self, subject: str, verb: str, path: str, mark: bytes) -> bool:
        known = self._known(subject, mark)
        if known is not None:
            return known
        question = self._question(subject, mark)
        question.callers += 1
        try:
            async with question.lock, self._asking:
                known = self._known(subject, mark)  # another caller may have asked, or in vain, meanwhile
                return await self._ask(subject, verb, path, mark) if known is None else known
        finally:
            question.callers -= 1
            if not question.callers:
                del self._questions[mark]
                self._waiting -= Counter([subject])

    def _question(self, subject: str, mark: bytes) -> _Question:
        """The question that waits already, or a new one."""
        if mark not in self._questions:
            if len(self._questions) >= WAITING or self._waiting[subject] >= WAITING_EACH:
                raise Unavailable("cannot tell who may do this: too many questions wait for the API server", 1)
            self._questions[mark] = _Question()
            self._waiting[subject] += 1
        return self._questions[mark]

    def _known(self, subject: str, mark: bytes) -> bool | None:
        known = self._answers.get(subject, mark, self._clock())
        if known is None and 0 <= self._clock() - self._failed_at < AGAIN:
            raise Unavailable(self._failure, int(AGAIN))
        return known

    async def _ask(self, subject: str, verb: str, path: str, mark: bytes) -> bool:
        try:
            allowed = is_allowed(await self._server.ask(PATH, question(subject, verb, path)))
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
        self._answers.put(subject, mark, allowed, self._clock())
        return allowed
