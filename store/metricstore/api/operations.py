"""What Kubernetes asks: is the process alive, may it be sent requests."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from metricstore.api.auth import Caller, Permission
from metricstore.api.routes import Route


class Operations:
    """`/healthz` answers while the event loop turns; `/readyz` says 503 and why while `unready` gives a reason."""

    def __init__(self, unready: Callable[[], str]) -> None:
        self._unready = unready
        self.routes = (
            Route("/healthz", ("GET",), Permission.PUBLIC, self.healthz),
            Route("/readyz", ("GET",), Permission.PUBLIC, self.readyz),
        )

    async def healthz(self, _: Request, __: Caller) -> Response:
        """Alive."""
        return PlainTextResponse("ok\n")

    async def readyz(self, _: Request, __: Caller) -> Response:
        """Ready, or not and why."""
        reason = self._unready()
        return PlainTextResponse(f"{reason}\n" if reason else "ok\n", 503 if reason else 200)
