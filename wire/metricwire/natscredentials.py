"""NATS credentials files: a JWT that says who we are, and the seed of the Ed25519 key that it names. No I/O.

    file = ... "-----BEGIN NATS USER JWT-----" jwt "------END NATS USER JWT------" ...
               "-----BEGIN USER NKEY SEED-----" seed "------END USER NKEY SEED------" ...
    seed = base32( two bytes of prefix, 32 bytes of Ed25519 seed, two bytes of CRC-16/XMODEM, low byte first )

Format: https://docs.nats.io/using-nats/developer/connecting/creds, github.com/nats-io/nkeys. The client library would read it
with a further package; signing needs none besides cryptography, which is here.
"""

import base64
import binascii
import re

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from metricwire.errors import BadInput

_JWT = re.compile(rb"-----BEGIN NATS USER JWT-----\s+([\w.=-]+)\s+-----*END NATS USER JWT-----")
_SEED = re.compile(rb"-----BEGIN USER NKEY SEED-----\s+([A-Z2-7]+)\s+-----*END USER NKEY SEED-----")
_SEED_OF_A_USER = b"\x95\x00"  # what begins with SU in base32
_SIZE = 36


class Credentials:
    """Who we are, and how we show it. BadInput, without a word of the content, for a text that is no credentials file."""

    def __init__(self, text: bytes) -> None:
        jwt, seed = _JWT.search(text), _SEED.search(text)
        if not jwt or not seed:
            raise BadInput("it holds no NATS user JWT and NKEY seed")
        self._jwt = jwt[1]
        self._key = Ed25519PrivateKey.from_private_bytes(_seed(seed[1]))

    def jwt(self) -> bytes:
        """As the server wants it."""
        return self._jwt

    def sign(self, nonce: str) -> bytes:
        """The server's nonce, signed: base64."""
        return base64.b64encode(self._key.sign(nonce.encode()))


def _seed(text: bytes) -> bytes:
    """The 32 bytes in an encoded seed of a user."""
    try:
        raw = base64.b32decode(text + b"=" * (-len(text) % 8))
    except binascii.Error:
        raise BadInput("its NKEY seed is not base32") from None
    if len(raw) != _SIZE or binascii.crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
        raise BadInput("its NKEY seed is damaged")
    if raw[:2] != _SEED_OF_A_USER:
        raise BadInput("its NKEY seed is not that of a user")
    return raw[2:-2]
