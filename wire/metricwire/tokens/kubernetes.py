"""Kubernetes ServiceAccount tokens: RS256 or ES256 by the API server's keys, bound to our audience."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from metricwire.errors import BadInput, InvalidToken
from metricwire.tokens.form import REFUSED, Claims, Kind, checked, expiry, key_id
from metricwire.tokens.login import RSA_BITS

_SUBJECT = re.compile(r"system:serviceaccount:[^:]+:[^:]+")


@dataclass(frozen=True, slots=True)
class KubernetesKeys:
    """What ServiceAccount tokens are checked against: the API server's keys by key id, its issuer, and our audience."""

    keys: Mapping[str, jwt.PyJWK]
    issuer: str
    audience: str


def kubernetes_keys(configuration: Any, jwks: Any, audience: str) -> tuple[KubernetesKeys, list[str]]:
    """The keys in the API server's answers to `/.well-known/openid-configuration` and `/openid/v1/jwks`.

    Beside them, what is wrong with those left out. BadInput when the answers are others.
    """
    try:
        issuer, found = str(configuration["issuer"]), list(jwks["keys"])
    except (KeyError, TypeError) as error:
        raise BadInput("cannot use the API server's answer: expected an issuer and a list of keys") from error
    keys, wrong = {}, []
    for one in found:
        try:
            key = jwt.PyJWK(one)
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            wrong.append(str(error))
            continue
        if key.key_id:
            keys[key.key_id] = key
    return KubernetesKeys(keys, issuer, audience), wrong


def verify_service_account(token: str, trust: KubernetesKeys, now: float) -> Claims:
    """The claims of a ServiceAccount token: subject `system:serviceaccount:<namespace>:<name>` and its pod's node, no roles."""
    key = trust.keys.get(key_id(token))
    if key is None or key.algorithm_name not in ("RS256", "ES256"):
        raise InvalidToken(REFUSED)
    if isinstance(key.key, rsa.RSAPublicKey) and key.key.key_size < RSA_BITS:
        raise InvalidToken(REFUSED)
    claims = checked(token, key.key, [key.algorithm_name], now, issuer=trust.issuer, audience=trust.audience)
    if claims is None or expiry(claims) is None or not _SUBJECT.fullmatch(str(claims.get("sub", ""))):
        raise InvalidToken(REFUSED)
    bound = claims.get("kubernetes.io")
    node = bound.get("node") if isinstance(bound, dict) else None
    name = node.get("name") if isinstance(node, dict) else None
    return Claims(
        kind=Kind.KUBERNETES,
        subject=claims["sub"],
        expires=expiry(claims),
        node=name if isinstance(name, str) else None,
    )
