"""Every documented route by named cases: what is asked, what is answered (gnocchi's gabbits, in YAML beside this file).

A file holds `cases`; each has a `name`, its own empty store with `settings` and `options` where given, and `steps`:
`ask: METHOD path` with `headers`, `body` (JSON) or `text` (`compress: gzip`, `zstd`, `deflate` or `raw deflate` compresses it),
then `status`, and what the answer must hold: `json` is compared whole, `holds` are parts of the text, `lacks` must not be in
it, `with` are headers (null: there is none).
`{now}` and `{now-60}` stand for times, `{admin}`, `{reader}` ... for tokens with that role,
`{basic}` for Basic credentials with a writer's token.
"""

import base64
import gzip
import json
import re
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
import zstandard

from metricwire.lineprotocol import BAD_KEPT
from metricwire.tokens import new_pair, sign

CASES = Path(__file__).parent / "cases"
PRIVATE, PUBLIC = new_pair()
ROLES = ("admin", "api", "reader")
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "deflate": zlib.compress,
    "raw deflate": lambda body: zlib.compress(body, wbits=-15),
}


def named_cases() -> list[Any]:
    found = ((file.stem, case) for file in sorted(CASES.glob("*.yaml")) for case in yaml.safe_load(file.read_text())["cases"])
    return [pytest.param(case, id=f"{group}: {case['name']}") for group, case in found]


def filled(value: Any, now: int) -> Any:
    """The case with times and tokens put in; a text that is one time becomes a number."""
    if isinstance(value, dict):
        return {key: filled(one, now) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, now) for one in value]
    if not isinstance(value, str):
        return value
    if "{basic}" in value:
        pair = base64.b64encode(f"me:{sign(PRIVATE, 'api', ['api'], issued=now - 5)}".encode()).decode()
        value = value.replace("{basic}", f"Basic {pair}")
    for role in ROLES:
        value = value.replace(f"{{{role}}}", sign(PRIVATE, role, [role], issued=now - 5)) if f"{{{role}}}" in value else value
    if found := re.fullmatch(r"{now([+-]\d+)?}", value):
        return now + int(found[1] or 0)
    return re.sub(r"{now([+-]\d+)?}", lambda found: str(now + int(found[1] or 0)), value)


@pytest.mark.parametrize("case", named_cases())
def test_case(case: dict[str, Any], make_app: Any, client: Any) -> None:
    settings = {"main": {"jwt-public-key": PUBLIC}} | case.get("settings", {})
    app = make_app(settings, **({"open_to_all": False} | case.get("options", {})))
    now = int(time.time()) // 10 * 10
    for step in filled(case["steps"], now):
        method, path = step["ask"].split()
        headers = {"authorization": f"Bearer {sign(PRIVATE, 'admin', ['admin'], issued=now - 5)}"} | step.get("headers", {})
        headers = {name: value for name, value in headers.items() if value is not None}
        body = step.get("text", json.dumps(step["body"]) if "body" in step else "").encode()
        if "compress" in step:
            body, headers["content-encoding"] = COMPRESS[step["compress"]](body), step["compress"].removeprefix("raw ")
        side = app.operations if step.get("port") == "operations" else app.api
        answer = client(side)(method, path, headers=headers, content=body)
        check(step, answer)


def check(step: dict[str, Any], answer: Any) -> None:
    assert answer.status_code == step["status"], answer.text
    if "json" in step:
        assert answer.json() == step["json"]
    assert answer.text == step.get("content", answer.text)
    for text in step.get("holds", []):
        assert text in answer.text
    for text in step.get("lacks", []):
        assert text not in answer.text
    for name, value in step.get("with", {}).items():
        assert answer.headers.get(name) == value


def test_bytes_that_are_no_text_are_a_bad_request(make_app: Any, client: Any) -> None:
    ask = client(make_app(open_to_all=True).api)
    for path in ("/api/query", "/api/healthcheck"):
        answer = ask("POST", path, content=b'{"cluster":"\xff"}')
        assert (answer.status_code, answer.json()["status"]) == (400, "Bad Request")
        assert answer.json()["error"].startswith("cannot read the request: ")


@pytest.mark.parametrize(("line", "reason"), [(b"x", "syntax"), (b"m,cluster=c,hostname=h value=1 1", "past")])
def test_bad_lines_are_all_counted_and_the_first_ones_listed(line: bytes, reason: str, make_app: Any, client: Any) -> None:
    app = make_app(open_to_all=True)
    count = BAD_KEPT + 200
    answer = client(app.api)("POST", "/api/write", content=(line + b"\n") * count).json()
    assert (answer["stored"], answer["rejected_lines"], len(answer["rejected"])) == (0, count, 100)
    assert answer["error"].startswith(f"cannot store {count} of {count} lines: line 1 ")
    assert answer["error"].endswith(f"; and {count - 3} more")
    text = client(app.operations)("GET", "/metrics/self").text
    assert f'metricstore_lines_total{{outcome="rejected",reason="{reason}"}} {float(count)}' in text


def test_every_route_has_cases(make_app: Any) -> None:
    app = make_app(open_to_all=True, dev=True)
    asked = "\n".join(re.findall(r'ask: "?\w+ ([^\s",]+)', "\n".join(file.read_text() for file in CASES.glob("*.yaml"))))
    for route in app.route_table:
        pattern = re.sub(r"\\{.*?\\}", "[^/]+", re.escape(route.path))
        assert re.search(f"^{pattern}/?([?].*)?$", asked, re.MULTILINE), f"no case asks {route.path}"
