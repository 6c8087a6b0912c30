"""Secrets out of texts and objects, before these leave the machine. Pure.

What is blacked out: values that are known to be secret, wherever they stand, plain or in base64; what looks like a token, a
private key, an NKEY seed or a password in a URL; and the values of fields, settings and environment variables whose names say
that they hold a password, a token, a key. Names of Secrets and of files stay: they help, and open nothing.
"""

import base64
import re
from collections.abc import Iterable
from typing import Any

GONE = "[redacted]"
SHORTEST = 6  # characters of a known secret: shorter ones would take half of the text with them
_WORDS = (
    r"passw(?:or)?d|passwd|passphrase|secret|token|credential|authorization|cookie|seed"
    r"|private[-_.]?key|api[-_.]?key|access[-_.]?key"
)
_NAME = re.compile(rf"(?:^|.*[^A-Za-z]|.*[a-z])(?i:{_WORDS})s?$")
_PATTERNS = (
    (
        re.compile(
            r"-----BEGIN [A-Z0-9 ]*(?:PRIVATE KEY|NKEY SEED|USER JWT)-----.*?(?:-----+END [A-Z0-9 ]*-----+|\Z)", re.DOTALL
        ),
        GONE,
    ),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{2,}(?:\.[A-Za-z0-9_-]*)?"), GONE),
    (re.compile(r"\bS[UAOCNX][A-Z2-7]{54,60}\b"), GONE),
    (re.compile(r"(?i)\b((?:bearer|basic)\s+|token[ =])[A-Za-z0-9._~+/=-]{8,}"), rf"\1{GONE}"),
    (re.compile(r"(://[^/\s:@\"']*:)[^/\s@\"']+(@)"), rf"\1{GONE}\2"),
    (
        re.compile(
            rf"(?i)((?:{_WORDS})s?[\"']?\s*[=:]\s*)(?!\[redacted\])(\"(?:[^\"\\]|\\.)+\"|'[^']+'|[^\s\"',;&{{}}\[\]()][^\s\"',;&}}\]]*)"
        ),
        rf"\1{GONE}",
    ),
)


class Redactor:
    """Blacks out; `known` are values of Secrets."""

    def __init__(self, known: Iterable[bytes] = ()) -> None:
        needles: set[str] = set()
        for value in known:
            text = value.decode("utf-8", "replace").strip()
            for part in {text, *text.splitlines()}:
                if len(part) >= SHORTEST and not part.startswith("-----"):
                    needles |= {part, base64.b64encode(part.encode()).decode()}
            if len(value) >= SHORTEST:
                needles.add(base64.b64encode(value).decode())
        ordered = sorted(needles, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """The text without them."""
        if self._known:
            text = self._known.sub(GONE, text)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text

    def plain(self, found: Any, name: str = "") -> Any:
        """The JSON value without them; strings that are JSON objects themselves are looked into."""
        if isinstance(found, dict):
            return self._object(found)
        if isinstance(found, list):
            return [self.plain(one, name) for one in found]
        if not isinstance(found, str):
            return found
        return GONE if found and _NAME.fullmatch(name) else self.text(found)

    def _object(self, found: dict[str, Any]) -> dict[str, Any]:
        if isinstance(found.get("name"), str) and isinstance(found.get("value"), str):  # an environment variable
            return {key: self.plain(value, found["name"] if key == "value" else key) for key, value in found.items()}
        return {key: self.plain(value, key) for key, value in found.items()}
