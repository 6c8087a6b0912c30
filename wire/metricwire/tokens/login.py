"""DC/OS's tokens (spec/dcos-metrics-api.md "Tokens"): RS256, issued by us at a login, and what a service account logs in with.

Keys travel as PEM. The key id is the key's thumbprint (RFC 7638), so private and public half alone give the same one.
"""

import hashlib
import json
import math
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from metricwire.errors import InvalidToken, SettingsError
from metricwire.tokens.form import LEEWAY, REFUSED, Claims, Kind, checked, expiry, key_id

RSA_BITS = 2048  # of a key that counts, at least
RSA_BITS_MAX = 8192  # at most: larger ones take a server's time
RSA_EXPONENT = 65537  # what everybody has: others take more time, or are weak
LOGIN_SECONDS = 300  # that the token a service account logs in with may be valid, at most

NODE_METRICS = "dcos:adminrouter:ops:system-metrics"  # opens /system/v1/metrics/v0
AGENT_METRICS = "dcos:adminrouter:system:agent"  # opens /system/v1/agent/<node>/metrics/v0
SUPERUSER = "dcos:superuser"  # opens both
PERMISSIONS = (NODE_METRICS, AGENT_METRICS, SUPERUSER)


@dataclass(frozen=True, slots=True)
class LoginKey:
    """A key that issued tokens are checked with, and signed with where the private half is here."""

    id: str
    public: rsa.RSAPublicKey
    private: rsa.RSAPrivateKey | None = None


def login_key(pem: bytes) -> LoginKey:
    """A key to sign with, from its private half in PEM. SettingsError when it is none, or too small."""
    try:
        private = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: encrypted
        raise SettingsError("cannot use login key: expected PEM of an RSA private key without a passphrase") from None
    if not isinstance(private, rsa.RSAPrivateKey):
        raise SettingsError("cannot use login key: expected an RSA private key")
    return LoginKey(_thumbprint(_sized(private.public_key())), private.public_key(), private)


def login_public_key(pem: bytes) -> LoginKey:
    """A key to check with, from its public half in PEM. SettingsError when it is none, or too small."""
    public = rsa_public_key(pem)
    return LoginKey(_thumbprint(public), public)


def rsa_public_key(pem: bytes) -> rsa.RSAPublicKey:
    """An RSA public key in PEM. SettingsError when it is none, or too small."""
    try:
        public = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise SettingsError("cannot use public key: expected PEM of an RSA public key") from None
    if not isinstance(public, rsa.RSAPublicKey):
        raise SettingsError("cannot use public key: expected an RSA public key")
    return _sized(public)


def new_login_pair() -> tuple[str, str]:
    """A fresh RSA pair (private, public) in PEM."""
    private = rsa.generate_private_key(RSA_EXPONENT, RSA_BITS)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return private.private_bytes(*form, serialization.NoEncryption()).decode(), login_public_half(private.public_key())


def login_public_half(key: rsa.RSAPublicKey) -> str:
    """A public key in PEM."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def nobodys_key(bits: int) -> rsa.RSAPublicKey:
    """A key that nobody signs for: checking with it takes as long as with any other of that size."""
    return rsa.RSAPublicNumbers(RSA_EXPONENT, secrets.randbits(bits) | 1 << bits - 1 | 1).public_key()


def jwks(keys: Iterable[LoginKey]) -> dict[str, Any]:
    """What `/acs/api/v1/auth/jwks` answers: the public halves (RFC 7517)."""
    return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": key.id, **_numbers(key.public)} for key in keys]}


def issue(key: LoginKey, uid: str, permissions: Iterable[str], *, now: int, seconds: int, id: str) -> str:
    """A token for `uid` by a key with its private half, valid for so many seconds; `id` tells it from all others."""
    assert key.private is not None, "BUG: a token cannot be signed with a public key"
    claims = {"uid": uid, "iat": now, "exp": now + seconds, "jti": id, "permissions": sorted(permissions)}
    return jwt.encode(claims, key.private, algorithm="RS256", headers={"kid": key.id})


def verify_login(token: str, keys: Mapping[str, LoginKey], now: float) -> Claims:
    """The claims of a token that one of our keys, by key id, issued; InvalidToken otherwise."""
    key = keys.get(key_id(token))
    claims = checked(token, key.public, ["RS256"], now) if key else None
    if claims is None or expiry(claims) is None or not isinstance(claims.get("uid"), str):
        raise InvalidToken(REFUSED)
    found = claims.get("permissions")
    permissions = frozenset(name for name in found if isinstance(name, str)) if isinstance(found, list) else frozenset()
    return Claims(kind=Kind.LOGIN, subject=claims["uid"], expires=expiry(claims), permissions=permissions)


def verify_proof(token: str, uid: str, key: rsa.RSAPublicKey, now: float) -> float:
    """Until when (seconds) the token counts with which a service account logs in; InvalidToken when it does not.

    It names the account and ends within LOGIN_SECONDS.
    """
    claims = checked(token, key, ["RS256"], now)
    if claims is None or claims.get("uid") != uid or claims.get("exp", math.inf) > now + LOGIN_SECONDS + LEEWAY:
        raise InvalidToken(REFUSED)
    return float(claims["exp"] + LEEWAY)


def opened(permissions: Iterable[str], permission: str) -> bool:
    """Whether whoever has these permissions may do what needs that one."""
    return not {permission, SUPERUSER}.isdisjoint(permissions)


def _sized(key: rsa.RSAPublicKey) -> rsa.RSAPublicKey:
    if not RSA_BITS <= key.key_size <= RSA_BITS_MAX:
        raise SettingsError(f"cannot use RSA key of {key.key_size} bits: {RSA_BITS} to {RSA_BITS_MAX} are allowed")
    if key.public_numbers().e != RSA_EXPONENT:
        raise SettingsError(f"cannot use RSA key: its public exponent is not {RSA_EXPONENT}")
    return key


def _numbers(key: rsa.RSAPublicKey) -> dict[str, str]:
    """Modulus and exponent as a JWK has them."""
    found = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key))
    return {"n": found["n"], "e": found["e"]}


def _thumbprint(key: rsa.RSAPublicKey) -> str:
    found = _numbers(key)
    text = f'{{"e":"{found["e"]}","kty":"RSA","n":"{found["n"]}"}}'
    return jwt.utils.base64url_encode(hashlib.sha256(text.encode()).digest()).decode()
