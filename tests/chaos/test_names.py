"""T18 (P13, P3): hostile names are data: nothing outside the data folder, each for itself, and the store starts again."""

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

from chaos.conftest import Figures, Size
from chaos.names import escaped, names
from chaos.program import Program

AUDITED = str(Path(__file__).with_name("audited.py"))
# What a running store may read besides its own files: what the system says of itself, and code.
READABLE = ("/proc/", "/sys/", "/dev/", "/etc/localtime", "/usr/share/zoneinfo/", *(f"{path}/" for path in sys.path if path))


def places(name: str, at: int) -> Iterator[tuple[bytes, dict[str, object]]]:
    """The name in every place of a line, and the query for it."""
    text = escaped(name)
    end = b" value=1 %d" % at
    query: dict[str, object] = {"metric": "m", "host": "h"}
    yield b"m,cluster=" + text + b",hostname=h" + end, {"cluster": name, "queries": [query]}
    yield b"m,cluster=c,hostname=" + text + end, {"cluster": "c", "queries": [query | {"host": name}]}
    metric = escaped(name, (",", " "))
    yield metric + b",cluster=c,hostname=h" + end, {"cluster": "c", "queries": [query | {"metric": name}]}
    core = b"m,cluster=c,hostname=h,type=core,type-id="
    yield core + text + end, {"cluster": "c", "queries": [query | {"type": "core", "type-ids": [name]}]}
    box = b"m,cluster=c,hostname=h,type=container,type-id="
    yield box + text + end, {"cluster": "c", "queries": [query | {"type": "container", "type-ids": [name]}]}
    sub = query | {"type": "core", "type-ids": ["0"], "subtype": "x", "subtype-ids": [name]}
    yield core + b"0,stype=x,stype-id=" + text + end, {"cluster": "c", "queries": [sub]}


class Attempts:
    """What was tried, which names were taken, and what a query for each must find."""

    def __init__(self, store: Program, at: int) -> None:
        self.requests = 0
        self.kept: list[dict[str, object]] = []
        self._store, self._at = store, at

    def attack(self, name: str) -> None:
        """Write, free, query and ask for it in paths."""
        for line, query in places(name, self._at):
            answer = self._ask("POST", "/api/write", line)
            assert answer in (200, 400), (name, answer)
            unsaid = "\n" in name or name.endswith("\\") or line.startswith(b"#")  # another line, another sign, a comment
            if answer == 200 and not unsaid and query not in self.kept:
                self.kept.append(query)
        self._ask("POST", "/api/query", json.dumps({"cluster": name, "from": 0, "to": 1, "for-all-nodes": [name]}))
        self._ask("POST", f"/api/free?to={self._at - 9**9}", json.dumps([[name], ["c", name], ["c", "h", name]]))
        self._ask("POST", "/api/healthcheck", json.dumps({"cluster": name, "nodes": [name], "metric-names": [name]}))
        path = quote(name.encode("utf-8", "surrogatepass"), safe="")
        for target in (
            f"/api/debug?selector={path}",
            f"/api/write?cluster={path}",
            f"/system/v1/agent/{path}/metrics/v0/node",
            f"/swagger/{path}",
        ):
            self._ask("GET", target, b"")
        self._ask("GET", f"/system/v1/metrics/v0/node?node={path}", b"")
        self._ask("GET", f"/metrics?cluster={path}&hostname={path}&metric={path}", b"", self._store.ops)
        for target in ("/" + name, "/swagger/" + name, "/metrics/" + name):  # as it is, where HTTP lets it through
            if all(" " < sign < "\x7f" for sign in name):
                self._ask("GET", target, b"")

    def _ask(self, method: str, path: str, body: str | bytes, port: int | None = None) -> int:
        self.requests += 1
        answer = self._store.ask(method, path, body, port=port)
        assert answer.status < 500 or answer.status == 503, (method, path[:200], body[:200], answer)
        return answer.status

    def check(self) -> list[str]:
        """Of the names that were taken, those that are not found, or not alone."""
        wrong = []
        for query in self.kept:
            asked = json.dumps(query | {"from": self._at - 60, "to": self._at + 60, "with-padding": False})
            answer = self._store.ask("POST", "/api/query", asked)
            assert answer.status == 200, answer.text
            if [entry.get("data") for entry in answer.json["results"][0]] != [[1.0]]:
                wrong.append(f"{asked[:500]}: {answer.text[:500]}")
        return wrong


def strays(trail: str, store: Program) -> list[str]:
    """Operations on anything but the data folder, what is readable for all, and the settings."""
    wrong = []
    for line in trail.splitlines():
        event, writes, found = json.loads(line)
        paths = [os.path.abspath(path) for path in found]  # noqa: PTH100 - resolves no links: what was asked for counts
        inside = all(path == str(store.data) or path.startswith(f"{store.data}/") for path in paths)
        made = event == "os.mkdir" and all(
            store.data.is_relative_to(path) for path in paths
        )  # the folders above it, if need be
        reads = not writes and all(path.startswith(READABLE) or path == str(store.config) for path in paths)
        if not (paths and inside) and not made and not reads:
            wrong.append(line)
    return wrong


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_t18_hostile_names_are_data(make_program: Callable[..., Program], tmp_path: Path, size: Size, figures: Figures) -> None:
    trail, at = tmp_path / "trail", int(time.time())
    store = make_program(script=[AUDITED, str(trail)], arguments=("--insecure-no-auth", "--dev")).run()
    beside, attempts = files_of(tmp_path.parent), Attempts(store, at)
    tried = list(itertools.islice(names(), size.pick(60, 300)))
    for name in tried:
        attempts.attack(name)
    unlike = attempts.check()
    assert store.end()[0] == 0
    store.run()
    unlike += attempts.check()
    store.kill()
    store.run()
    unlike += attempts.check()
    outside = strays(trail.read_text(), store)
    new = {name for name in files_of(tmp_path.parent) - beside if not name.startswith(tmp_path.name)}
    figures(
        f"T18: {len(tried)} names, {attempts.requests} requests, {len(attempts.kept)} own series, {len(unlike)} of them "
        f"not as written before and after SIGTERM and kill -9; {len(outside)} operations and {len(new)} files outside the data "
        "folder; started again 2 of 2 times"
    )
    assert not outside, outside[:10]
    assert not new
    assert not unlike, "\n".join(unlike)
