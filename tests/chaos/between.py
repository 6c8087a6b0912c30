"""Between the operator and the API server: counts what is asked, and does to it what a test wants."""

import asyncio
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "content-encoding"}
WRITES = {"POST", "PUT", "PATCH", "DELETE"}
REVIEWS = "/selfsubjectaccessreviews"


class Between:
    """A proxy on a port of its own, in a thread. Reviews of rights at the start of an operator are not counted."""

    def __init__(self, port: int, target: str) -> None:
        self.port, self.target = port, target
        self.asked = 0
        self.writes: Counter[str] = Counter()
        self.answers: Counter[int] = Counter()
        self.at = 0  # the call at which `do` is called; 0: never
        self.before = True  # whether before the call gets through, or after it was answered
        self.do: Callable[[], None] = lambda: None
        self.fault: Callable[[str, str], int | None] = lambda *_: None  # a status to answer; 0: nothing for a while
        self.refused = 0  # by `fault`
        self.mute = False  # whether watches say nothing
        self._loop = asyncio.new_event_loop()
        self._ready: Future[None] = Future()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)
        self._thread.start()
        self._ready.result(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    def reset(self, at: int = 0, *, before: bool = True) -> None:
        """Count anew; at this call something is done."""
        self.asked, self.at, self.before = 0, at, before

    async def _serve(self) -> None:
        unchecked = ssl.create_default_context()
        unchecked.check_hostname = False
        unchecked.verify_mode = ssl.CERT_NONE
        timeout = ClientTimeout(total=None)
        async with ClientSession(
            connector=TCPConnector(ssl=unchecked, limit=0), timeout=timeout, auto_decompress=False
        ) as self.session:
            app = web.Application(client_max_size=2**24)
            app.router.add_route("*", "/{path:.*}", self._pass)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", self.port).start()
            self._ready.set_result(None)
            await self._stop.wait()
            await runner.cleanup()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        counted = not request.path.endswith(REVIEWS)
        number = 0
        if counted:
            self.asked += 1
            number = self.asked
            fault = self.fault(request.method, request.path)
            if fault is not None and "watch" not in request.query:
                self.refused += 1
                return await self._refuse(fault)
            if request.method in WRITES:
                self.writes[f"{request.method} {request.path}"] += 1
        if number and number == self.at and self.before:
            self.do()
        return await self._forward(request)

    async def _refuse(self, status: int) -> web.Response:
        if status == 0:
            await asyncio.sleep(30)  # longer than the operator waits
        answer = {"kind": "Status", "status": "Failure", "message": "made up by a test", "code": status or 504}
        return web.json_response(answer, status=status or 504)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        number = self.asked
        async with self.session.request(
            request.method, f"{self.target}{request.path_qs}", headers=headers, data=await request.read() or None
        ) as answer:
            self.answers[answer.status] += 1
            if number == self.at and not self.before:
                self.do()
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP - {"content-encoding"}}
            back = web.StreamResponse(status=answer.status, headers=kept)
            try:
                await back.prepare(request)
                async for chunk in answer.content.iter_any():
                    if not (self.mute and "watch" in request.query):
                        await back.write(chunk)
                await back.write_eof()
            except OSError:
                pass  # the operator is gone: it was killed, or has ended a watch
            return back
