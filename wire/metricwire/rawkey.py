"""Ed25519 public keys as cc-metric-store writes them, looked at without arithmetic: what does that takes 10 MB to load."""

import base64
import binascii

from metricwire.errors import SettingsError

# The pair that cc-metric-store's documentation publishes: everybody has its private half.
PUBLISHED_KEY = "kzfYrYy+TzpanWZHJ5qSdMj5uKUWgq74BWhQG6copP0="
SIZE = 32  # bytes
# The field of Ed25519's curve, and y of its points of small order (RFC 8032, 5.1): for such a key anybody can sign.
_FIELD = 2**255 - 19
_ORDER_8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
_SMALL_ORDER = {0, 1, _FIELD - 1, _ORDER_8, _FIELD - _ORDER_8}


def raw_key(text: str) -> bytes:
    """The bytes of a key in base64. SettingsError when it is none, or anybody can sign for it."""
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SettingsError(f"cannot use public key: expected base64 of {SIZE} bytes (Ed25519): {error}") from error
    if len(raw) != SIZE:
        raise SettingsError(f"cannot use public key: expected base64 of {SIZE} bytes (Ed25519), found {len(raw)}")
    if int.from_bytes(raw, "little") % 2**255 % _FIELD in _SMALL_ORDER:
        raise SettingsError("cannot use public key: it is a placeholder that anybody can sign for (a point of small order)")
    return raw


def is_published(raw: bytes) -> bool:
    """Whether it is the key whose private half everybody has, however it was written."""
    return raw == base64.b64decode(PUBLISHED_KEY)
