"""The errors that callers can do something about. They know no HTTP: each edge has one table from kind to status.

Texts read `cannot <verb> <what>: <cause>`.
"""


class MetricsError(Exception):
    """Base of all expected errors; its text is fit to be shown to whoever asked."""


class BadInput(MetricsError):
    """What was sent cannot be understood or is not allowed; sending it again is pointless."""


class InvalidToken(MetricsError):
    """No token, or none that proves who is asking."""


class Forbidden(MetricsError):
    """A valid token that does not permit this."""


class NotFound(MetricsError):
    """The thing asked for is not known here."""


class TooLarge(MetricsError):
    """A limit was exceeded; the text names the limit and its setting."""


class Unsupported(MetricsError):
    """A content type or encoding that is not spoken here."""


class Unavailable(MetricsError):
    """It cannot be done now; worth trying again after `retry_after` seconds."""

    def __init__(self, text: str, retry_after: int = 5) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class TooMany(Unavailable):
    """Asked for more often than is allowed; worth trying again after `retry_after` seconds."""


class SettingsError(MetricsError):
    """A settings file or command line that cannot be used; the program ends with it."""
