"""The entries of the Secret of the generated keys: which can be used, and what takes the place of those that cannot.

Pure, but for the dice that keys are made with. To look at an RSA key takes 0.1 s.
"""

import base64
from contextlib import suppress

from metricsoperator import names
from metricsoperator.manifests.access import own_tokens
from metricsoperator.objects import Manifest
from metricwire import tokens
from metricwire.errors import InvalidToken, SettingsError

Pair = tuple[str, str]
"""The names of the entries with a private and a public half."""
SIGNING: Pair = (names.PRIVATE_KEY, names.PUBLIC_KEY)
LOGIN: Pair = (names.LOGIN_PRIVATE_KEY, names.LOGIN_PUBLIC_KEY)
NEXT: Pair = (names.NEXT_PRIVATE_KEY, names.OTHER_PUBLIC_KEY)  # while it is announced
NEXT_LOGIN: Pair = (names.OTHER_LOGIN_PRIVATE_KEY, names.OTHER_LOGIN_PUBLIC_KEY)
OTHERS = {
    names.OTHER_PUBLIC_KEY: names.PUBLIC_KEY,
    names.OTHER_LOGIN_PRIVATE_KEY: names.LOGIN_PRIVATE_KEY,
    names.OTHER_LOGIN_PUBLIC_KEY: names.LOGIN_PUBLIC_KEY,
}
"""Entry of the keys that are announced or in overlap -> that of the present ones, which it repeats otherwise."""
_LONGEST = 4096  # characters of a key; one of more bits than are allowed takes seconds to look at


class Keyring:
    """The entries as texts, of those that are text; they are changed in place."""

    def __init__(self, secret: Manifest) -> None:
        self.entries: dict[str, str] = {}
        for name, value in (secret.get("data") or {}).items():
            with suppress(ValueError):  # no base64, no UTF-8
                self.entries[name] = base64.b64decode(value, validate=True).decode()
        self.lost = False  # whether a pair was gone with both halves, and is made anew
        self._before = dict(self.entries)
        self._known: dict[tuple[str, str], str] = {}

    def changes(self) -> dict[str, str | None]:
        """What is otherwise than it was, as a merge patch of `data` has it."""
        put = {name: text for name, text in self.entries.items() if self._before.get(name) != text}
        made: dict[str, str | None] = {name: base64.b64encode(text.encode()).decode() for name, text in put.items()}
        return made | {name: None for name in self._before if name not in self.entries}

    def public(self, name: str) -> str:
        """What the public half of an entry's key is known by; "" when the entry is missing or no key."""
        text = self.entries.get(name, "")
        kind = name.replace("-other", "").replace("-next", "")
        if (kind, text) not in self._known:
            try:
                self._known[kind, text] = _public(kind, text) if len(text) <= _LONGEST else ""
            except SettingsError:
                self._known[kind, text] = ""
        return self._known[kind, text]

    def fits(self, pair: Pair) -> bool:
        """Whether both halves are there and of one key."""
        private, public = map(self.public, pair)
        return private == public != ""

    def unusable(self) -> list[str]:
        """The entries of keys that should sign and cannot."""
        return [pair[0] for pair in (SIGNING, LOGIN) if not self.fits(pair)]

    def mend(self, now: int) -> None:
        """Put what can be told in place of what cannot be used. Public keys that can be read stay: tokens may be signed for
        them. So does a private half that does not fit: only a rotation brings another."""
        if not self.public(names.PUBLIC_KEY):
            if not self.public(names.PRIVATE_KEY):
                self.entries[names.PRIVATE_KEY], _ = tokens.new_pair()
                self.lost = True
            self.entries[names.PUBLIC_KEY] = tokens.public_half(self.entries[names.PRIVATE_KEY])
        if not self.public(names.LOGIN_PUBLIC_KEY):
            if not self.public(names.LOGIN_PRIVATE_KEY):
                self.entries[names.LOGIN_PRIVATE_KEY], _ = tokens.new_login_pair()
                self.lost = True
            private = tokens.login_key(self.entries[names.LOGIN_PRIVATE_KEY].encode())
            self.entries[names.LOGIN_PUBLIC_KEY] = tokens.login_public_half(private.public)
        for other, present in OTHERS.items():
            if not self.public(other) and present in self.entries:
                self.entries[other] = self.entries[present]
        if self.fits(SIGNING):
            for name, token in zip((names.ADMIN_TOKEN, names.AGENT_TOKEN), self._tokens(now), strict=True):
                if not self._counts(name, now):
                    self.entries[name] = token

    def _tokens(self, now: int) -> tuple[str, str]:
        return own_tokens(self.entries[names.PRIVATE_KEY], now)

    def _counts(self, name: str, now: int) -> bool:
        """Whether an entry is a token by the present key."""
        try:
            tokens.verify(self.entries.get(name, ""), [tokens.public_key(self.entries[names.PUBLIC_KEY])], now)
        except InvalidToken:
            return False
        return True


def _public(kind: str, text: str) -> str:
    """SettingsError: it is no such key."""
    if kind == names.LOGIN_PRIVATE_KEY:
        return tokens.login_key(text.encode()).id
    if kind == names.LOGIN_PUBLIC_KEY:
        return tokens.login_public_key(text.encode()).id
    half = tokens.public_half(text) if kind == names.PRIVATE_KEY else text
    return base64.b64encode(tokens.public_key(half).public_bytes_raw()).decode()
