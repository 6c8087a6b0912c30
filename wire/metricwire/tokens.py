"""JSON web tokens: who is asking (design.md section 6).

- ClusterCockpit's: EdDSA with an Ed25519 key, `exp` optional; keys travel as base64 of the raw 32 bytes.
- Kubernetes ServiceAccount tokens: RS256 or ES256 by the API server's keys, bound to our audience.

The algorithm is fixed by the kind of key, never read from the token. A token must be written as RFC 7515 and RFC 8725 want it,
so that nobody before or behind us can read it differently. Errors are InvalidToken, the same text for whatever is wrong.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from metricwire.errors import InvalidToken, SettingsError

LEEWAY = 10  # seconds that clocks may differ
LONGEST = 16384  # bytes of a token that is looked at
DEEPEST = 32  # levels of JSON in it
LATEST = 2**53  # seconds; later times are none
RSA_BITS = 2048  # of a key that counts, at least
REFUSED = "cannot accept the token: not signed by a key that counts here, not made for this service, or not valid now"
# The pair that cc-metric-store's documentation publishes: everybody has its private half.
PUBLISHED_KEY = "kzfYrYy+TzpanWZHJ5qSdMj5uKUWgq74BWhQG6copP0="
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
# The field of Ed25519's curve, and y of its points of small order (RFC 8032, 5.1): for such a key anybody can sign.
_FIELD = 2**255 - 19
_ORDER_8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
_SMALL_ORDER = {0, 1, _FIELD - 1, _ORDER_8, _FIELD - _ORDER_8}


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says: who, with which roles, until when (seconds; None: no end), and for agents on which node."""

    subject: str
    roles: frozenset[str]
    expires: float | None = None
    node: str | None = None


def public_key(text: str) -> Ed25519PublicKey:
    """A key as cc-metric-store's `jwt-public-key` writes it. SettingsError when it is none, or anybody can sign for it."""
    try:
        raw = base64.b64decode(text.strip(), validate=True)
        key = Ed25519PublicKey.from_public_bytes(raw)
    except (binascii.Error, ValueError) as error:
        raise SettingsError(f"cannot use public key: expected base64 of 32 bytes (Ed25519): {error}") from error
    if int.from_bytes(raw, "little") % 2**255 % _FIELD in _SMALL_ORDER:
        raise SettingsError("cannot use public key: it is a placeholder that anybody can sign for (a point of small order)")
    return key


def is_published(key: Ed25519PublicKey) -> bool:
    """Whether it is the key whose private half everybody has, however it was written."""
    return key.public_bytes_raw() == base64.b64decode(PUBLISHED_KEY)


def new_pair() -> tuple[str, str]:
    """A fresh Ed25519 pair (private, public), each as base64 of its raw 32 bytes."""
    private = Ed25519PrivateKey.generate()
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    return (
        base64.b64encode(private.private_bytes_raw()).decode(),
        base64.b64encode(private.public_key().public_bytes(*raw)).decode(),
    )


def sign(private: str, subject: str, roles: Iterable[str], *, issued: int, expires: int | None = None) -> str:
    """An EdDSA token for `subject` by the private half of `new_pair`; times in seconds."""
    claims: dict[str, Any] = {"user": subject, "roles": sorted(roles), "iat": issued}
    if expires is not None:
        claims["exp"] = expires
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(private))
    return jwt.encode(claims, key, algorithm="EdDSA")


def verify(token: str, keys: Iterable[Ed25519PublicKey], now: float, *, expiring: bool = False) -> Claims:
    """The claims of a ClusterCockpit token that one of the keys signed; InvalidToken otherwise. `expiring`: one with `exp`."""
    _parts(token)
    for key in keys:
        claims = _checked(token, key, ["EdDSA"], now)
        if claims is not None and (_expiry(claims) is not None or not expiring):
            subject = claims.get("user", claims.get("sub", ""))
            return Claims(str(subject), _roles(claims), _expiry(claims))
    raise InvalidToken(REFUSED)


@dataclass(frozen=True, slots=True)
class KubernetesKeys:
    """What ServiceAccount tokens are checked against: the API server's keys by key id, its issuer, and our audience."""

    keys: Mapping[str, jwt.PyJWK]
    issuer: str
    audience: str


def verify_service_account(token: str, trust: KubernetesKeys, now: float) -> Claims:
    """The claims of a ServiceAccount token: subject `system:serviceaccount:<namespace>:<name>` and its pod's node, no roles."""
    key = trust.keys.get(key_id(token))
    if key is None or key.algorithm_name not in ("RS256", "ES256"):
        raise InvalidToken(REFUSED)
    if isinstance(key.key, rsa.RSAPublicKey) and key.key.key_size < RSA_BITS:
        raise InvalidToken(REFUSED)
    claims = _checked(token, key.key, [key.algorithm_name], now, issuer=trust.issuer, audience=trust.audience)
    if claims is None or _expiry(claims) is None:
        raise InvalidToken(REFUSED)
    bound = claims.get("kubernetes.io")
    node = bound.get("node") if isinstance(bound, dict) else None
    name = node.get("name") if isinstance(node, dict) else None
    return Claims(str(claims.get("sub", "")), frozenset(), _expiry(claims), name if isinstance(name, str) else None)


def key_id(token: str) -> str:
    """The `kid` that a token names, to find its key by and for nothing else; "" without one. InvalidToken when it is none."""
    name = _parts(token)[0].get("kid")
    return name if isinstance(name, str) else ""


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims of a token whose signature nobody has looked at yet; InvalidToken when it is not written strictly.

    Strictly: base64url as RFC 7515 has it, UTF-8, JSON objects of bounded depth in which no key is twice, and no extension
    (`crit`, `b64`) that we would have to understand.
    """
    if len(token) > LONGEST or not _FORM.fullmatch(token):
        raise InvalidToken(REFUSED)
    try:
        head, claims = (json.loads(raw.decode(), object_pairs_hook=_unique) for raw in map(_bytes, token.split(".")[:2]))
        _bytes(token.rpartition(".")[2])
    except (ValueError, RecursionError):
        raise InvalidToken(REFUSED) from None
    if (
        not isinstance(head, dict)
        or not isinstance(claims, dict)
        or _deep(head)
        or _deep(claims)
        or head.keys() & {"crit", "b64"}
    ):
        raise InvalidToken(REFUSED)
    return head, claims


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


def _checked(token: str, key: Any, algorithms: list[str], now: float, **bound: str) -> dict[str, Any] | None:
    """The claims if signature, audience and issuer hold and the time is within them. Times are checked here: by our clock."""
    options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": "audience" in bound}
    try:
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=algorithms, options=options, **bound)  # type: ignore[arg-type]
    except (jwt.InvalidTokenError, ValueError, TypeError):
        return None
    for name in ("exp", "nbf", "iat"):
        if name in claims and (type(claims[name]) is not int or abs(claims[name]) > LATEST):
            return None
    if claims.get("exp", now) < now - LEEWAY or max(claims.get("nbf", now), claims.get("iat", now)) > now + LEEWAY:
        return None
    return claims


def _expiry(claims: dict[str, Any]) -> float | None:
    return claims["exp"] + LEEWAY if "exp" in claims else None


def _roles(claims: dict[str, Any]) -> frozenset[str]:
    """Roles as ClusterCockpit writes them: `ROLE_ADMIN` and `admin` are the same."""
    roles = claims.get("roles")
    names = roles if isinstance(roles, list) else []
    return frozenset(name.lower().removeprefix("role_") for name in names if isinstance(name, str))
