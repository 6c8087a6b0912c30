"""T22 (P13): whatever clients send, the log says what happened and nothing else: valid JSON, a line per event."""

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from chaos.conftest import Figures, Size
from chaos.program import Program
from chaos.raw import exchange
from metricwire.tokens import new_pair, sign

FORGED = '{"time":"2026-01-01T00:00:00Z","level":"critical","logger":"metricstore","message":"forged"}'
TEXTS = [
    b"\r", b"\n", b"\r\n", b"\n" + FORGED.encode(), b"\r\n\r\n" + FORGED.encode() + b"\n",
    b"\x1b[31mred\x1b[0m", b"\x1b]0;title\x07", b"\0", b"\x7f\x08",
    b"%s%s%s%n", b"%(message)s", b"{}", b"{0.__class__.__init__}", b"${jndi:ldap://x}", b'","level":"critical', b"\\u000a",
    "\u2028\u2029\u0085\u202e\ufeff".encode(), b"\xff\xfe\xc0\x80", b"A" * 1_000_000,
]  # fmt: skip


def requests(text: bytes, token: str) -> Iterator[bytes]:
    """The text in every place of a request where a client can put it."""
    auth = b"authorization: Bearer " + token.encode() + b"\r\n"
    host = b"host: x\r\nconnection: close\r\n"
    post = b"POST /api/write HTTP/1.1\r\n" + host
    yield b"GET /" + text + b" HTTP/1.1\r\n" + host + b"\r\n"
    yield b"GET /api/query?x=" + text + b" HTTP/1.1\r\n" + host + auth + b"\r\n"
    yield text + b" / HTTP/1.1\r\n" + host + b"\r\n"
    yield b"GET / " + text + b"\r\n" + host + b"\r\n"
    for field in ("user-agent", "authorization", "content-encoding", "content-type", "x-forwarded-for", "referer", "accept"):
        yield post + field.encode() + b": " + text + b"\r\ncontent-length: 0\r\n\r\n"
    yield post + text + b": x\r\n\r\n"
    for line in (
        text, b"m,cluster=c,hostname=" + text + b" value=1", b"m,cluster=c,hostname=h value=" + text,
        text + b",cluster=c,hostname=h value=1",
        b"m,cluster=c,hostname=h,x=" + text + b" value=1 9999999999", b"m,cluster=" + text + b",hostname=h value=1 1",
        b"info,cluster=c,hostname=h,label=" + text + b" value=1",
        b"m,cluster=c,hostname=h,type=" + text + b",type-id=" + text + b" value=1",
    ):  # fmt: skip
        yield post + auth + b"content-length: %d\r\n\r\n" % len(line) + line
    for path in (b"/api/query", b"/api/healthcheck", b"/api/free?to=1"):
        said = text.decode("latin-1")
        for body in (text, json.dumps({"cluster": said, "nodes": [said], "queries": [{}]}).encode()):
            yield b"POST " + path + b" HTTP/1.1\r\n" + host + auth + b"content-length: %d\r\n\r\n" % len(body) + body
    yield post + auth + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(text) + text


def test_t22_inputs_leave_no_trace_in_the_log(
    make_program: Callable[..., Program], tmp_path: Path, size: Size, figures: Figures
) -> None:
    private, public = new_pair()
    (tmp_path / "key").write_text(public)
    store = make_program(store={"public-key-files": [str(tmp_path / "key")], "strict-roles": True}, arguments=())
    store.settings["metric-store"]["a\nb\x1b[31m" + FORGED] = 1  # a warning names it
    store.run()
    token = sign(private, "canary-subject", ["admin"], issued=int(time.time()))
    wanted = size.pick(len(TEXTS) * 3, 1_000)
    everything = [one for text in TEXTS for one in requests(text, token)]
    step = max(1, len(everything) // wanted)
    statuses: dict[int, int] = {}
    count = 0
    for one in itertools.islice(itertools.cycle(everything[::step]), wanted):
        count += 1
        for status in exchange(store.port, one, seconds=10).statuses:
            statuses[status] = statuses.get(status, 0) + 1
    status, log = store.end()
    texts = [line["message"] for line in log]
    longest = max(len(json.dumps(line)) for line in log)
    figures(
        f"T22: {count} inputs, {sum(statuses.values())} answers of which {statuses.get(500, 0)} are 500; {len(log)} log lines "
        f"for 3 events (unknown setting, ready, stopped), the longest {longest} bytes, all of them JSON without control bytes"
    )
    assert (status, statuses.get(500, 0)) == (0, 0)
    assert len(log) == 3, texts
    assert "not known" in texts[0]
    assert texts[1].startswith("ready")
    assert texts[2] == "stopped"
    assert "canary" not in json.dumps(log)
    assert token not in json.dumps(log)


def test_t22_an_error_that_repeats_is_told_seldom(
    make_program: Callable[..., Program], tmp_path: Path, size: Size, figures: Figures
) -> None:
    """Keys that cannot be had while clients keep asking: the log does not grow with the number of requests."""
    (tmp_path / "key").write_text("no key")
    kubernetes = {"url": "http://127.0.0.1:1", "token-file": str(tmp_path / "none"), "ca-file": ""}
    store = make_program(store={"public-key-files": [str(tmp_path / "key")], "kubernetes": kubernetes}, arguments=()).run()
    begun = time.monotonic()
    for number in range(count := size.pick(100, 2_000)):
        assert store.ask("POST", "/api/query", "{}", {"Authorization": f"Bearer x{number}.y.z"}).status == 401
    seconds = time.monotonic() - begun
    log = store.end()[1]
    most = max(Counter(line["message"] for line in log).values())
    figures(f"T22: {count} refused requests within {seconds:.1f} s, the most frequent message {most} times in the log")
    assert most <= 10 * max(1.0, seconds)
    assert most < count / 10
