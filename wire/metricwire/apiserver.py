"""How the API server is asked; store and agent do it with different HTTP clients."""

from typing import Any, Protocol

from metricwire.errors import MetricsError


class NotAnswered(MetricsError):
    """The API server did not answer as hoped; `status` where it answered at all."""

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class ApiServer(Protocol):
    """Asks the API server, as ourselves."""

    async def ask(self, path: str, document: dict[str, Any] | None = None) -> Any:
        """The JSON it answers to a GET, or to a POST of the document; NotAnswered otherwise."""
