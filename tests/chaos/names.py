"""Hostile names, and how line protocol writes names."""

import unicodedata
from collections.abc import Iterator


def names() -> Iterator[str]:
    """Names for a cluster, a host, a type-id, a metric or a container; the first ones are the worst."""
    yield from [
        "..",
        ".",
        "../../etc/passwd",
        "/etc/passwd",
        "..\\..\\x",
        "a/../../../../tmp/escaped",
        "%2e%2e%2f",
        "..%2fx",
        "%00",
        "~root",
    ]
    yield from ["a\0b", "a\nb", "a\rb", "\x1b[31mred", "\x7f", "a\tb", "\u2028", "\ufeff", "\u202e", "\ud7ff", "a\u0000/../b"]
    yield from [
        "",
        " ",
        "a ",
        " a",
        "a.",
        ".a",
        "a..",
        "-rf",
        "--config",
        "$(id)",
        "`id`",
        "%s%n",
        "{}",
        "{0.__class__}",
        "'; DROP TABLE x; --",
        '"',
    ]
    yield from [
        "current.wal",
        "x.tmp",
        "lock",
        "log",
        "LOCK",
        "identity.json",
        "directory",
        "blocks",
        "index",
        "con",
        "nul",
        "aux",
        "CON.txt",
    ]
    for length in (255, 256, 4_096):
        yield from ["n" * length, "\u00e9" * (length // 2), "/" * length]
    for form in ("NFC", "NFD", "NFKC"):
        yield from [unicodedata.normalize(form, "Zürich"), unicodedata.normalize(form, "\ufb01le")]
    yield from ["node", "NODE", "Node", "nöde", "NÖDE", "straße", "STRASSE", "I", "i", "K", "\u212a"]
    yield from [
        "../" * 10,
        "a/" * 1_000,
        "\\" * 10,
        "a:b",
        "a,b",
        "a=b",
        "a b",
        "#a",
        "value=1",
        "a,hostname=b",
        "NaN",
        "-1",
        "0x10",
    ]
    for code in range(0x20):
        yield f"c{chr(code)}c"
    for number in range(1_000):
        yield f"{'../' * (number % 12)}e{number}{'%2f..' * (number % 5)}{chr(0x1F600 + number % 80) * (number % 7)}"


def escaped(name: str, signs: tuple[str, ...] = (",", " ", "=")) -> bytes:
    """As line protocol writes it; it has no way to write a newline, or a backslash at the end."""
    for sign in signs:
        name = name.replace(sign, "\\" + sign)
    return name.encode("utf-8", "surrogatepass")
