"""A file with a bearer token, read for each request: Kubernetes renews it."""

from pathlib import Path


class NoToken(Exception):
    """There is none that can be sent; the text says why."""


def read(file: Path) -> str:
    """The token in it. NoToken when it cannot be read, or holds none."""
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        raise NoToken(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from error
    if not token or not token.isprintable():
        raise NoToken(f"{file} holds no token")
    return token
