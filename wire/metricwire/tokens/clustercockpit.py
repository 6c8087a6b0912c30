"""ClusterCockpit's tokens: EdDSA with an Ed25519 key, `exp` optional, roles as it writes them."""

import base64
from collections.abc import Iterable
from typing import Any

import jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from metricwire import rawkey
from metricwire.errors import InvalidToken, SettingsError
from metricwire.tokens.form import REFUSED, Claims, Kind, checked, expiry, head, signature


def public_key(text: str) -> Ed25519PublicKey:
    """A key as cc-metric-store's `jwt-public-key` writes it. SettingsError when it is none, or anybody can sign for it."""
    return Ed25519PublicKey.from_public_bytes(rawkey.raw_key(text))


def is_published(key: Ed25519PublicKey) -> bool:
    """Whether it is the key whose private half everybody has, however it was written."""
    return rawkey.is_published(key.public_bytes_raw())


def new_pair() -> tuple[str, str]:
    """A fresh Ed25519 pair (private, public), each as base64 of its raw 32 bytes."""
    private = base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()
    return private, public_half(private)


def public_half(private: str) -> str:
    """The public half of a private key of `new_pair`, as that writes it. SettingsError when it is none."""
    try:
        key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(private.strip(), validate=True))
    except ValueError as error:
        raise SettingsError(f"cannot use private key: expected base64 of 32 bytes (Ed25519): {error}") from error
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def sign(private: str, subject: str, roles: Iterable[str], *, issued: int, expires: int | None = None) -> str:
    """An EdDSA token for `subject` by the private half of `new_pair`; times in seconds."""
    claims: dict[str, Any] = {"user": subject, "roles": sorted(roles), "iat": issued}
    if expires is not None:
        claims["exp"] = expires
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(private))
    return jwt.encode(claims, key, algorithm="EdDSA")


def verify(token: str, keys: Iterable[Ed25519PublicKey], now: float, *, expiring: bool = False) -> Claims:
    """The claims of a ClusterCockpit token that one of the keys signed; InvalidToken otherwise. `expiring`: one with `exp`."""
    if head(token).get("alg") != "EdDSA":
        raise InvalidToken(REFUSED)
    signed, by = signature(token)
    for key in keys:
        claims = checked(token, key, ["EdDSA"], now) if _is_signed(key, signed, by) else None
        if claims is not None and (expiry(claims) is not None or not expiring):
            subject = str(claims.get("user", claims.get("sub", "")))
            return Claims(kind=Kind.CLUSTERCOCKPIT, subject=subject, roles=_roles(claims), expires=expiry(claims))
    raise InvalidToken(REFUSED)


def _is_signed(key: Ed25519PublicKey, signed: bytes, by: bytes) -> bool:
    """Looked at before anything is read: whoever has no key costs no more than this."""
    try:
        key.verify(by, signed)
    except InvalidSignature:
        return False
    return True


def _roles(claims: dict[str, Any]) -> frozenset[str]:
    """Roles as ClusterCockpit writes them: `ROLE_ADMIN` and `admin` are the same."""
    roles = claims.get("roles")
    names = roles if isinstance(roles, list) else []
    return frozenset(name.lower().removeprefix("role_") for name in names if isinstance(name, str))
