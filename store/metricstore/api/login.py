"""Logging in as on DC/OS (spec/dcos-metrics-api.md "Tokens"): a password or a service account's proof against a token.

Whatever is wrong, the answer is the same and takes as long: nobody learns which users exist. Nothing of what was sent is
logged.
"""

import asyncio
import hashlib
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

import msgspec
from msgspec import Meta
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from metricstore.api.accounts import Accounts
from metricstore.api.answers import Problem
from metricstore.api.attempts import Attempts
from metricstore.api.auth import Caller, Permission
from metricstore.api.bodies import read_body
from metricstore.api.descriptions import Answer, Content, Description
from metricstore.api.routes import Route, answer
from metricstore.settings import Limits
from metricwire.allowance import network_of
from metricwire.errors import BadInput, InvalidToken, MetricsError, NotFound, TooLarge, TooMany, Unavailable, Unsupported
from metricwire.tokens import LoginKey, issue, jwks, verify_proof
from metricwire.users import User

LARGEST = 32768  # bytes of a request: four times the longest token
THREADS = 2  # that compute hashes; they have a low priority, for samples go first
QUEUE = 64  # requests that wait for them, at most
QUEUE_ADDRESS = 4  # of them from the same address
USED = 65536  # proofs that are remembered until they end, at most
WRONG = "cannot log in: the uid, the password or the login token is wrong"
OUTCOMES = ("accepted", "refused", "locked", "busy", "malformed")


class Credentials(msgspec.Struct, frozen=True):
    """Who logs in, with what."""

    uid: Annotated[str, Meta(description="The user or service account.")]
    password: Annotated[str | None, Meta(description="A user's password.")] = None
    token: Annotated[
        str | None, Meta(description="A service account's login token: RS256, uid, exp at most 5 minutes ahead, for one use.")
    ] = None


class Token(msgspec.Struct, frozen=True):
    """What a login gives."""

    token: Annotated[str, Meta(description="To be sent as `Authorization: token=<token>`.")]


class KeySet(msgspec.Struct, frozen=True):
    """Public keys (RFC 7517)."""

    keys: list[dict[str, str]]


LOGIN = Description(
    (),
    Content(kind=Credentials, example={"uid": "alice", "password": "secret"}),
    {
        200: Answer("A token.", Content(kind=Token)),
        400: Answer("Not JSON with uid, and password or token.", Content(kind=Problem)),
        401: Answer("One of them is wrong.", Content(kind=Problem)),
        404: Answer("No login is set up.", Content(kind=Problem)),
        429: Answer("Too many tries; Retry-After says how long to wait.", Content(kind=Problem)),
        503: Answer("Too many log in at the same time; Retry-After.", Content(kind=Problem)),
    },
)
KEYS = Description(
    answers={200: Answer("The public keys.", Content(kind=KeySet)), 404: Answer("No login is set up.", Content(kind=Problem))}
)


class Logins:
    """`/acs/api/v1/auth/...`. Without `accounts` there is nothing to log in to: 404."""

    def __init__(self, accounts: Accounts | None, lifetime: int, clock: Callable[[], float] = time.time) -> None:
        self.counts = Counts()
        self._accounts, self._lifetime, self._clock = accounts, lifetime, clock
        self._with_password, self._with_proof = Attempts(time.monotonic), Attempts(time.monotonic)
        self._used: dict[bytes, float] = {}  # proofs, by their hash, and until when they would count
        self._pool = ThreadPoolExecutor(THREADS, "login", _yield_to_others)
        self._waiting: Counter[str] = Counter()  # by the address's network
        self.routes = (
            Route("/acs/api/v1/auth/login", ("POST",), Permission.PUBLIC, self.login, safe=False, description=LOGIN),
            Route("/acs/api/v1/auth/jwks", ("GET",), Permission.PUBLIC, self.jwks, description=KEYS),
        )

    async def jwks(self, _: Request, __: Caller) -> Response:
        """The public keys that tokens can be checked with."""
        return answer(jwks(self._offered().keys().values()))

    async def login(self, request: Request, _: Caller) -> Response:
        """A token, for a user's password or a service account's login token."""
        accounts = self._offered()
        try:
            token = await self._token(accounts, request)
        except MetricsError as error:
            self.counts.by_outcome[_outcome(error)] += 1
            raise
        self.counts.by_outcome["accepted"] += 1
        return Response(msgspec.json.encode(Token(token)), media_type="application/json", headers={"Cache-Control": "no-store"})

    async def _token(self, accounts: Accounts, request: Request) -> str:
        asked = await _credentials(request)
        key = accounts.signing_key()
        if key is None:
            raise Unavailable("cannot log in: there is no key to sign a token with")
        await accounts.look()
        address = request.client.host if request.client else ""
        if asked.token is None:
            user = await self._by_password(accounts, asked, address)
        else:
            user = self._by_proof(accounts, asked, address)
        if user is None:
            raise InvalidToken(WRONG)
        return await asyncio.to_thread(self._issue, key, user)

    def _offered(self) -> Accounts:
        if self._accounts is None:
            raise NotFound("cannot log in here: metric-store.login is not set")
        return self._accounts

    async def _by_password(self, accounts: Accounts, asked: Credentials, address: str) -> User | None:
        """The user whose password it is. TooMany, Unavailable."""
        network = network_of(address)
        if self._waiting[network] >= QUEUE_ADDRESS:
            raise TooMany("cannot log in: too many tries at the same time; wait", 1)
        if self._waiting.total() >= QUEUE:
            raise Unavailable("cannot log in now: too many do", 5)
        self._with_password.begin(asked.uid, address)
        user = accounts.user(asked.uid)
        kept = user.password if user and user.password else accounts.nobodys_password(asked.uid)
        self._waiting[network] += 1
        try:
            loop = asyncio.get_running_loop()
            matches = await loop.run_in_executor(self._pool, kept.matches, asked.password or "")
        finally:
            self._waiting -= Counter([network])
        if not matches:
            return None
        self._with_password.succeeded(asked.uid, address)
        return user

    def _by_proof(self, accounts: Accounts, asked: Credentials, address: str) -> User | None:
        """The service account whose proof it is, shown for the first time. TooMany, Unavailable.

        For who has no key, the proof is checked with nobody's: that takes the same time.
        """
        self._with_proof.begin(asked.uid, address)
        proof, now, user = asked.token or "", self._clock(), accounts.user(asked.uid)
        key = user.key if user and user.key else accounts.nobodys_key(asked.uid)
        try:
            until = verify_proof(proof, asked.uid, key, now)
        except InvalidToken:
            return None
        if user is None or user.key is None or not self._use(proof, until, now):
            return None
        self._with_proof.succeeded(asked.uid, address)
        return user

    def _use(self, proof: str, until: float, now: float) -> bool:
        """Whether it is the first time."""
        if len(self._used) >= USED:
            self._used = {used: end for used, end in self._used.items() if end >= now}
            if len(self._used) >= USED:
                raise Unavailable("cannot log in now: too many do", 60)
        mark = hashlib.sha256(proof.encode()).digest()
        if self._used.get(mark, -1.0) >= now:
            return False
        self._used[mark] = until
        return True

    def _issue(self, key: LoginKey, user: User) -> str:
        return issue(key, user.uid, user.permissions, now=int(self._clock()), seconds=self._lifetime, id=uuid.uuid4().hex)


class Counts(Collector):
    """`metricstore_logins_total`."""

    def __init__(self) -> None:
        self.by_outcome = Counter(dict.fromkeys(OUTCOMES, 0))

    def collect(self) -> Iterator[Metric]:
        """By outcome."""
        family = CounterMetricFamily("metricstore_logins", "Logins, by what became of them.", labels=["outcome"])
        for outcome, count in self.by_outcome.items():
            family.add_metric([outcome], count)
        yield family


async def _credentials(request: Request) -> Credentials:
    """What was sent. BadInput shows nothing of it."""
    try:
        body = await read_body(request, Limits(body_bytes=LARGEST))
        found = msgspec.json.decode(body, type=Credentials)
    except Unsupported:
        raise Unsupported("cannot log in: the request's Content-Encoding is not understood") from None
    except TooLarge:
        raise TooLarge(f"cannot log in: the request is larger than {LARGEST} bytes") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadInput("cannot log in: expected JSON with uid, and password or token") from None
    if (found.password is None) == (found.token is None):
        raise BadInput("cannot log in: expected either password or token")
    return found


def _outcome(error: MetricsError) -> str:
    if isinstance(error, InvalidToken):
        return "refused"
    if isinstance(error, TooMany):
        return "locked"
    return "busy" if isinstance(error, Unavailable) else "malformed"


def _yield_to_others() -> None:
    """A tenth of the usual weight for this thread, where others want to run; on Linux priorities are a thread's own."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
