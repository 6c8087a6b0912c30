"""What all tokens have in common: how they are written, and which times they may name."""

import base64
import enum
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jwt

from metricwire.errors import InvalidToken

LEEWAY = 10  # seconds that clocks may differ
LONGEST = 8192  # bytes of a token that is looked at
DEEPEST = 32  # levels of JSON in it
LATEST = 2**53  # seconds; later times are none
REFUSED = "cannot accept the token: not signed by a key that counts here, not made for this service, or not valid now"
UNSEEN = "cannot see who is asking: send the header Authorization: Bearer <token>, or Authorization: token=<token>"
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class Kind(enum.Enum):
    """Whose token it is, and so what its claims mean: a subject of one kind is nobody of another."""

    CLUSTERCOCKPIT = "ClusterCockpit"
    KUBERNETES = "Kubernetes"
    LOGIN = "login"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a valid token says: who, until when (seconds; None: no end), and what its kind has besides.

    `roles`: ClusterCockpit's; `node`: that of a ServiceAccount's pod; `permissions`: DC/OS's.
    """

    kind: Kind
    subject: str
    expires: float | None = None
    roles: frozenset[str] = frozenset()
    node: str | None = None
    permissions: frozenset[str] = frozenset()


def bearer(authorization: str | None) -> str:
    """The token of an Authorization header, as `Bearer <token>` or DC/OS's `token=<token>`. InvalidToken without one."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    if scheme.startswith("token=") and not token:
        return scheme.removeprefix("token=")
    raise InvalidToken(UNSEEN)


def key_id(token: str) -> str:
    """The `kid` that a token names, to find its key by and for nothing else; "" without one. InvalidToken when it is none."""
    name = head(token).get("kid")
    return name if isinstance(name, str) else ""


def head(token: str) -> dict[str, Any]:
    """The header of a token, to find its key by and for nothing else. InvalidToken when it is none.

    That takes little time, whatever was sent; what is written strictly, `checked` sees once the signature is good.
    """
    if len(token) > LONGEST or not _FORM.fullmatch(token):
        raise InvalidToken(REFUSED)
    try:
        found = json.loads(_bytes(token.partition(".")[0]))
    except (ValueError, RecursionError):
        raise InvalidToken(REFUSED) from None
    if not isinstance(found, dict):
        raise InvalidToken(REFUSED)
    return found


def signature(token: str) -> tuple[bytes, bytes]:
    """What a token's signature is of, and the signature. InvalidToken when it is not written strictly."""
    signed, _, last = token.rpartition(".")
    try:
        return signed.encode("ascii"), _bytes(last)
    except ValueError:
        raise InvalidToken(REFUSED) from None


def checked(token: str, key: Any, algorithms: Sequence[str], now: float, **bound: str) -> dict[str, Any] | None:
    """The claims if signature, audience and issuer hold and the time is within them. Times are checked here: by our clock.

    None too when the token is not written strictly: base64url as RFC 7515 has it, UTF-8, JSON objects of bounded depth in
    which no key is twice, and no extension (`crit`, `b64`) that we would have to understand.
    """
    if len(token) > LONGEST or not _FORM.fullmatch(token):
        return None
    options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": "audience" in bound}
    try:
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=algorithms, options=options, **bound)  # type: ignore[arg-type]
    except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError):
        return None
    if not _strict(token):
        return None
    for name in ("exp", "nbf", "iat"):
        if name in claims and (type(claims[name]) is not int or abs(claims[name]) > LATEST):
            return None
    if claims.get("exp", now) < now - LEEWAY or max(claims.get("nbf", now), claims.get("iat", now)) > now + LEEWAY:
        return None
    return claims


def expiry(claims: dict[str, Any]) -> float | None:
    """Until when checked claims count (seconds); None: without end."""
    return claims["exp"] + LEEWAY if "exp" in claims else None


def _strict(token: str) -> bool:
    try:
        found = [json.loads(raw.decode(), object_pairs_hook=_unique) for raw in map(_bytes, token.split(".")[:2])]
        _bytes(token.rpartition(".")[2])
    except (ValueError, RecursionError):
        return False
    return all(isinstance(one, dict) and not _deep(one) for one in found) and not found[0].keys() & {"crit", "b64"}


def _bytes(segment: str) -> bytes:
    """The bytes of a base64url segment; ValueError when they would be written otherwise."""
    raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != segment:
        raise ValueError("not as base64url writes it")
    return raw


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object; ValueError when a key is in it twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key twice")
    return found


def _deep(value: object, left: int = DEEPEST) -> bool:
    """Whether JSON is nested more than `left` levels."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not left or any(_deep(one, left - 1) for one in inner)
