"""The way from an agent to a store: a TCP proxy that breaks as ways do."""

import contextlib
import enum
import socket
import threading
import time
from collections import Counter

PIECE = 65536
CUT_AFTER = 600  # bytes of a request: its head and the beginning of its body
LATENCY = 0.5  # seconds, each way
REFUSAL = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Fault(enum.Enum):
    """What is wrong with it now."""

    NONE = "none"
    DOWN = "down"  # nobody there
    SLOW = "slow"  # half a second each way
    CUT = "cut"  # the connection ends in the middle of the body
    LOST = "answer lost"  # the request arrives, the answer does not
    REFUSED = "503"  # something on the way says so


LASTING = frozenset({Fault.NONE, Fault.SLOW})  # connections outlive these


class Link:
    """Listens on a port of its own and passes on to `target`, a port of this machine, as `fault` has it. A context."""

    def __init__(self, target: int) -> None:
        self.fault = Fault.NONE
        self.seen: Counter[Fault] = Counter()  # connections that broke by each fault, answers that came
        self.tries: list[float] = []  # when (monotonic) connections came that met one
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._mutex = threading.Lock()

    def __enter__(self) -> "Link":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._end_all()

    def become(self, fault: Fault) -> None:
        """From now on; what is under way ends."""
        self.fault = fault
        self._end_all()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client, self.fault), daemon=True).start()

    def _serve(self, client: socket.socket, fault: Fault) -> None:
        if fault is not Fault.NONE:
            self.tries.append(time.monotonic())
        with self._tracked(client), contextlib.suppress(OSError):
            if fault is Fault.REFUSED:
                client.recv(PIECE)
                client.sendall(REFUSAL)
            elif fault is not Fault.DOWN:
                with self._tracked(socket.create_connection(("127.0.0.1", self._target))) as server:
                    back = threading.Thread(target=self._pass, args=(server, client, fault, False), daemon=True)
                    back.start()
                    self._pass(client, server, fault, True)
                    back.join()
        self.seen[fault] += fault not in LASTING

    def _pass(self, source: socket.socket, sink: socket.socket, fault: Fault, towards_the_store: bool) -> None:
        """Pass bytes on until either side ends."""
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(PIECE):
                passed += len(data)
                if fault is Fault.SLOW:
                    time.sleep(LATENCY)
                if fault is Fault.CUT and towards_the_store and passed > CUT_AFTER:
                    sink.sendall(data[: max(0, len(data) - (passed - CUT_AFTER))])
                    break
                if fault is Fault.LOST and not towards_the_store:
                    break
                sink.sendall(data)
                self.seen[fault] += fault in LASTING and not towards_the_store
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def _tracked(self, connection: socket.socket):  # type: ignore[no-untyped-def]
        with self._mutex:
            self._open.add(connection)
        try:
            yield connection
        finally:
            with self._mutex:
                self._open.discard(connection)
            connection.close()

    def _end_all(self) -> None:
        with self._mutex:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
