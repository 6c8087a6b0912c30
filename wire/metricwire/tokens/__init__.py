"""JSON web tokens: who is asking (design.md section 6).

- `clustercockpit`: EdDSA with an Ed25519 key, `exp` optional; keys travel as base64 of the raw 32 bytes.
- `kubernetes`: ServiceAccount tokens, RS256 or ES256 by the API server's keys, bound to our audience.
- `login`: DC/OS's, RS256 by a key of ours, and what a service account logs in with.

The algorithm is fixed by the kind of key, never read from the token. A token must be written as RFC 7515 and RFC 8725 want it
(`form`), so that nobody before or behind us can read it differently. Errors are InvalidToken, the same text for whatever is
wrong.
"""

from metricwire.rawkey import PUBLISHED_KEY
from metricwire.tokens.clustercockpit import is_published, new_pair, public_half, public_key, sign, verify
from metricwire.tokens.form import LEEWAY, REFUSED, Claims, Kind, bearer, key_id
from metricwire.tokens.kubernetes import KubernetesKeys, kubernetes_keys, verify_service_account
from metricwire.tokens.login import (
    AGENT_METRICS,
    LOGIN_SECONDS,
    NODE_METRICS,
    PERMISSIONS,
    RSA_BITS,
    SUPERUSER,
    LoginKey,
    issue,
    jwks,
    login_key,
    login_public_half,
    login_public_key,
    new_login_pair,
    nobodys_key,
    opened,
    rsa_public_key,
    verify_login,
    verify_proof,
)

__all__ = [
    "AGENT_METRICS",
    "LEEWAY",
    "LOGIN_SECONDS",
    "NODE_METRICS",
    "PERMISSIONS",
    "PUBLISHED_KEY",
    "REFUSED",
    "RSA_BITS",
    "SUPERUSER",
    "Claims",
    "Kind",
    "KubernetesKeys",
    "LoginKey",
    "bearer",
    "is_published",
    "issue",
    "jwks",
    "key_id",
    "kubernetes_keys",
    "login_key",
    "login_public_half",
    "login_public_key",
    "new_login_pair",
    "new_pair",
    "nobodys_key",
    "opened",
    "public_half",
    "public_key",
    "rsa_public_key",
    "sign",
    "verify",
    "verify_login",
    "verify_proof",
    "verify_service_account",
]
