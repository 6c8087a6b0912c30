"""Who may log in as on DC/OS: entries that `metricscluster user add` writes and the store reads.

An entry is a JSON object; a file holds one, or a list of them:

    {"uid": "alice", "password": "$scrypt$ln=15,r=8,p=3$<salt>$<hash>", "permissions": ["dcos:adminrouter:ops:system-metrics"]}
    {"uid": "poller", "public-key": "-----BEGIN PUBLIC KEY-----...", "permissions": ["dcos:superuser"]}

A person has a password, of which only the scrypt hash (RFC 7914) is kept, in the form that passlib writes too; a service
account has the public half of an RSA key. No error shows what an entry holds besides its uid.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from msgspec import Meta

from metricwire.errors import BadInput, SettingsError
from metricwire.tokens import PERMISSIONS, rsa_public_key

UID = r"^[A-Za-z0-9._@+-]{1,128}\Z"
_PASSWORD = re.compile(r"\$scrypt\$ln=(\d{1,2}),r=8,p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{43,86})")
_WORK = range(2**14, 2**18 + 1)  # blocks of a hash: fewer are guessed too fast, more keep the store's threads
_MEMORY = 2**28  # bytes that OpenSSL may take: 128 MiB for the largest hash allowed


@dataclass(frozen=True, slots=True)
class Cost:
    """What a hash takes: 2**ln blocks of 1 KiB, p times."""

    ln: int
    p: int

    def hash(self, password: str, salt: bytes, size: int) -> bytes:
        """`size` bytes. What is typed counts in Unicode's composed form: keyboards differ in it."""
        text = unicodedata.normalize("NFC", password).encode()
        return hashlib.scrypt(text, salt=salt, n=2**self.ln, r=8, p=self.p, maxmem=_MEMORY, dklen=size)


COST = Cost(15, 3)  # 32 MiB; of equal strength as OWASP's other choices for scrypt


@dataclass(frozen=True, slots=True)
class Password:
    """A password as far as it is kept: nobody can read it back."""

    cost: Cost
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)

    def matches(self, password: str) -> bool:
        """Whether it is this one; takes as long for a wrong one."""
        return hmac.compare_digest(self.cost.hash(password, self.salt, len(self.digest)), self.digest)

    def __str__(self) -> str:
        salt, digest = (base64.b64encode(raw).decode().rstrip("=") for raw in (self.salt, self.digest))
        return f"$scrypt$ln={self.cost.ln},r=8,p={self.cost.p}${salt}${digest}"


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in: a person with a password, or a service account with a key."""

    uid: str
    permissions: frozenset[str]
    password: Password | None = None
    key: RSAPublicKey | None = field(default=None, repr=False)


class _Entry(msgspec.Struct, rename="kebab", forbid_unknown_fields=True, omit_defaults=True):
    uid: Annotated[str, Meta(pattern=UID)]
    permissions: list[Literal[PERMISSIONS]]  # type: ignore[valid-type]
    password: str = ""
    public_key: str = ""


def check_uid(uid: str) -> None:
    """BadInput when nobody can have that name."""
    if not re.search(UID, uid):
        raise BadInput(f"cannot use the uid {uid[:128]!r}: expected 1 to 128 letters, digits and . _ @ + -")


def new_password(text: str, cost: Cost = COST) -> Password:
    """The password as it is kept."""
    salt = secrets.token_bytes(16)
    return Password(cost, salt, cost.hash(text, salt, 32))


def nobodys(cost: Cost = COST) -> Password:
    """A password that nothing matches, for those who have none: checking it takes the same time."""
    return Password(cost, secrets.token_bytes(16), secrets.token_bytes(32))


def read_password(text: str) -> Password:
    """A kept password from its text; BadInput says what is expected of it."""
    found = _PASSWORD.fullmatch(text)
    if found is None:
        raise BadInput("expected $scrypt$ln=<14 to 17>,r=8,p=<n>$<salt>$<hash>")
    cost = Cost(int(found[1]), int(found[2]))
    if not 14 <= cost.ln <= 17 or not cost.p or 2**cost.ln * cost.p not in _WORK:
        raise BadInput(f"scrypt with ln={cost.ln}, p={cost.p} is too weak or takes too long; ln=15, p=3 is usual")
    try:
        salt, digest = (base64.b64decode(part + "=" * (-len(part) % 4), validate=True) for part in found.groups()[2:])
    except binascii.Error:
        raise BadInput("salt and hash are not base64") from None
    return Password(cost, salt, digest)


def entry(uid: str, permissions: Collection[str], *, password: Password | None = None, public_key: str = "") -> bytes:
    """The entry's JSON, one field a line. BadInput when no store would take it."""
    made = _Entry(uid, sorted(permissions), str(password or ""), public_key)
    text = msgspec.json.format(msgspec.json.encode(made), indent=1) + b"\n"
    _, wrong = read(text, "the entry")
    if wrong:
        raise BadInput(wrong[0])
    return text


def read(text: bytes, source: str) -> tuple[list[User], list[str]]:
    """The users of a file, and a sentence for each entry that is left out; `source` names the file in it."""
    try:
        found = msgspec.json.decode(text, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return [], [f"cannot use {source}: expected JSON, as metricscluster user add writes it"]
    users, wrong = [], []
    for number, one in enumerate(found if isinstance(found, list) else [found], 1):
        where = f"entry {number} of {source}" if isinstance(found, list) else source
        try:
            users.append(_user(msgspec.convert(one, _Entry)))
        except msgspec.ValidationError as error:
            wrong.append(f"cannot use {where}: {_harmless(str(error))}")
        except (BadInput, SettingsError) as error:
            wrong.append(f"cannot use {where} ({one['uid']}): {error}")
    return users, wrong


def _user(found: _Entry) -> User:
    if bool(found.password) == bool(found.public_key):
        raise BadInput("expected a password or a public-key, not both")
    permissions = frozenset(found.permissions)
    if found.password:
        return User(found.uid, permissions, password=read_password(found.password))
    return User(found.uid, permissions, key=rsa_public_key(found.public_key.encode()))


def _harmless(text: str) -> str:
    """What msgspec found, without what it quotes: a password may stand in the wrong place."""
    if "unknown field" in text:
        return "expected uid, password or public-key, and permissions, and nothing else"
    return re.sub(r"Invalid enum value .*( - at `.*`)", rf"expected one of {', '.join(PERMISSIONS)}\1", text, flags=re.DOTALL)
