"""Who may ask this node. What checks tokens is loaded for the first one: 11 MB, and of most nodes nobody asks anything.

What most of that is for, Python has already, but only for TLS: a copy of OpenSSL.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from metricagent.keyfiles import check_key, read_key
from metricagent.settings import ApiSettings
from metricwire.watched import demanded

if TYPE_CHECKING:
    from metricagent.tokencheck import TokenCheck
    from metricwire.tokens import Claims


class Access:
    """Lets requests through, to everybody's where the settings say so. SettingsError when a key cannot be used at the start."""

    def __init__(self, settings: ApiSettings, load: "Callable[[], TokenCheck]") -> None:
        self._anonymous = settings.anonymous
        self._load = load
        self._check: TokenCheck | None = None
        demanded(settings.public_key_files, read_key, lambda _, text: check_key(text))
        if any(Path(name).exists() for name in settings.login_key_files):
            self._checking().demand()

    async def identify(self, authorization: Sequence[str]) -> "Claims | None":
        """See TokenCheck; None where everybody may ask."""
        return None if self._anonymous else await self._checking().identify(authorization)

    async def permit(self, claims: "Claims | None", method: str, path: str) -> None:
        """See TokenCheck."""
        if claims is not None:
            await self._checking().permit(claims, method, path)

    def _checking(self) -> "TokenCheck":
        if self._check is None:
            self._check = self._load()
        return self._check
