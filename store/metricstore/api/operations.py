"""What Kubernetes asks: is the process alive, may it be sent requests."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from metricstore.api.auth import Caller, Permission
from metricstore.api.descriptions import Answer, Content, Description
from metricstore.api.routes import Route

ALIVE = Answer("Alive.", Content("text/plain"))
READY = Answer("Ready.", Content("text/plain"))
NOT_YET = Answer("Not ready, and why.", Content("text/plain"))


class Operations:
    """`/healthz` answers while the event loop turns; `/readyz` says 503 and why while `unready` gives a reason."""

    def __init__(self, unready: Callable[[], str]) -> None:
        self._unready = unready
        self.routes = (
            Route("/healthz", ("GET",), Permission.PUBLIC, self.healthz, description=Description(answers={200: ALIVE})),
            Route(
                "/readyz", ("GET",), Permission.PUBLIC, self.readyz, description=Description(answers={200: READY, 503: NOT_YET})
            ),
        )

    async def healthz(self, _: Request, __: Caller) -> Response:
        """Alive."""
        return PlainTextResponse("ok\n")

    async def readyz(self, _: Request, __: Caller) -> Response:
        """Ready, or not and why."""
        reason = self._unready()
        return PlainTextResponse(f"{reason}\n" if reason else "ok\n", 503 if reason else 200)
