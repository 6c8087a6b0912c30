"""Files with one base64 Ed25519 key each."""

from pathlib import Path

from metricwire.errors import SettingsError
from metricwire.rawkey import is_published, raw_key

LARGEST = 65536  # bytes of a file that are read


def read_key(name: str) -> bytes:
    """What is in a file. OSError."""
    with Path(name).open("rb") as file:
        return file.read(LARGEST)


def check_key(text: bytes) -> None:
    """SettingsError when it is no key, or one that must not count."""
    if is_published(raw_key(text.decode(errors="replace"))):
        raise SettingsError("it is the key of cc-metric-store's documentation, which everybody has")
