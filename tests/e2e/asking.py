"""HTTP from within the cluster: a pod asks, and what it got comes back."""

import json
from typing import Any, NamedTuple

from . import kubernetes as k

STORE = f"http://{k.NAME}-store.{k.NAMESPACE}.svc:8082"
AGENT = f"http://{k.NAME}-agent.{k.NAMESPACE}.svc:61001"  # of the node that the asking pod runs on
ADMIN = "/token/admin"

_SCRIPT = """
import json, pathlib, ssl, sys, urllib.error, urllib.request
asked = json.load(sys.stdin)
answers = []
for url, body, headers, file, authority in asked:
    trust = urllib.request.HTTPSHandler(context=ssl.create_default_context(cadata=authority or None))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), trust)
    if file:
        headers["Authorization"] = "Bearer " + pathlib.Path(file).read_text().strip()
    headers["Accept"] = "application/json"
    request = urllib.request.Request(url, None if body is None else body.encode(), headers)
    try:
        with opener.open(request, timeout=10) as answer:
            answers.append((answer.status, answer.read().decode()))
    except urllib.error.HTTPError as error:
        answers.append((error.code, error.read().decode()))
    except OSError as error:
        answers.append((0, str(error)))
print(json.dumps(answers))
"""


class Question(NamedTuple):
    """A request: POST where there is a body, with a token from a file of the pod unless a header says who asks.

    `authority`: PEM certificates that https is checked with; "": the pod's own.
    """

    url: str
    body: str | None = None
    headers: dict[str, str] = {}  # noqa: RUF012 (never written to)
    token_file: str = ADMIN
    authority: str = ""


class Answer(NamedTuple):
    """What came back; `text` is JSON or empty. Status 0: nothing did, the text says why."""

    status: int
    text: str

    def json(self) -> Any:
        assert self.status == 200, self
        return json.loads(self.text)


def ask_all(pod: str, questions: list[Question], *, namespace: str = k.NAMESPACE) -> list[Answer]:
    """The answers that a pod got, in order."""
    found = k.python(pod, _SCRIPT, stdin=json.dumps(questions), namespace=namespace)
    return [Answer(*one) for one in found]


def ask(pod: str, url: str, body: str | None = None, **more: Any) -> Answer:
    """One of them."""
    namespace = more.pop("namespace", k.NAMESPACE)
    return ask_all(pod, [Question(url, body, **more)], namespace=namespace)[0]


def query(
    pod: str, nodes: list[str], metric: str, since: int, until: int, *, store: str = STORE, authority: str = ""
) -> dict[str, list[float | None]]:
    """Node -> its samples in [since, until); a node without any is left out."""
    queries = [{"metric": metric, "host": node} for node in nodes]
    body = json.dumps({"cluster": k.NAME, "from": since, "to": until, "queries": queries})
    results = ask(pod, f"{store}/api/query", body, authority=authority).json()["results"]
    return {node: row[0]["data"] for node, row in zip(nodes, results, strict=True) if row and "data" in row[0]}
