"""JSON web tokens: who is asking (design.md section 6).

- ClusterCockpit's: EdDSA with an Ed25519 key, `exp` optional; keys travel as base64 of the raw 32 bytes.
- Kubernetes ServiceAccount tokens: RS256 or ES256 by the API server's keys, bound to our audience.

The algorithm is fixed by the kind of key, never read from the token. Errors are InvalidToken, and say nothing of the token.
"""

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from metricwire.errors import InvalidToken, SettingsError

LEEWAY = 10  # seconds that clocks may differ
LONGEST = 16384  # bytes of a token that is looked at
# The pair that cc-metric-store's documentation publishes: everybody has its private half.
PUBLISHED_KEY = "kzfYrYy+TzpanWZHJ5qSdMj5uKUWgq74BWhQG6copP0="


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says: who, with which roles, until when (seconds; None: no end), and for agents on which node."""

    subject: str
    roles: frozenset[str]
    expires: float | None = None
    node: str | None = None


def public_key(text: str) -> Ed25519PublicKey:
    """A key as cc-metric-store's `jwt-public-key` writes it. SettingsError when it is none."""
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text.strip(), validate=True))
    except (binascii.Error, ValueError) as error:
        raise SettingsError(f"cannot use public key: expected base64 of 32 bytes (Ed25519): {error}") from error


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


def verify(token: str, keys: Iterable[Ed25519PublicKey], now: float) -> Claims:
    """The claims of a ClusterCockpit token that one of the keys signed; InvalidToken otherwise."""
    for key in keys:
        claims = _checked(token, key, ["EdDSA"], now)
        if claims is not None:
            subject = claims.get("user", claims.get("sub", ""))
            return Claims(str(subject), _roles(claims), _expiry(claims))
    raise InvalidToken("cannot accept the token: not signed by a configured key, or not valid now")


@dataclass(frozen=True, slots=True)
class KubernetesKeys:
    """What ServiceAccount tokens are checked against: the API server's keys by key id, its issuer, and our audience."""

    keys: Mapping[str, jwt.PyJWK]
    issuer: str
    audience: str


def verify_service_account(token: str, trust: KubernetesKeys, now: float) -> Claims:
    """The claims of a ServiceAccount token: subject `system:serviceaccount:<namespace>:<name>` and its pod's node, no roles."""
    try:
        key = trust.keys[jwt.get_unverified_header(token).get("kid", "")]
    except (jwt.InvalidTokenError, KeyError, TypeError):
        raise InvalidToken("cannot accept the token: not signed by this cluster's API server") from None
    if key.algorithm_name not in ("RS256", "ES256"):
        raise InvalidToken("cannot accept the token: not signed by this cluster's API server")
    claims = _checked(token, key.key, [key.algorithm_name], now, issuer=trust.issuer, audience=trust.audience)
    if claims is None or _expiry(claims) is None:
        raise InvalidToken("cannot accept the token: expired, or not made for this service")
    bound = claims.get("kubernetes.io")
    node = bound.get("node") if isinstance(bound, dict) else None
    name = node.get("name") if isinstance(node, dict) else None
    return Claims(str(claims.get("sub", "")), frozenset(), _expiry(claims), name if isinstance(name, str) else None)


def _checked(token: str, key: Any, algorithms: list[str], now: float, **bound: str) -> dict[str, Any] | None:
    """The claims if signature, audience and issuer hold and the time is within them. Times are checked here: by our clock."""
    if len(token) > LONGEST:
        return None
    options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": "audience" in bound}
    try:
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=algorithms, options=options, **bound)  # type: ignore[arg-type]
    except (jwt.InvalidTokenError, ValueError, TypeError, RecursionError):
        return None
    for name in ("exp", "nbf", "iat"):
        if name in claims and type(claims[name]) is not int:
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
