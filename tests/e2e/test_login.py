"""The login of DC/OS, as its command line does it: user and password for a token, which store and agents take."""

import json

from . import kubernetes as k
from .asking import AGENT, STORE, Answer, Question, ask, ask_all
from .conftest import PASSWORD, USER


def log_in(pod: str, uid: str, password: str) -> Answer:
    body = json.dumps({"uid": uid, "password": password})
    return ask(pod, f"{STORE}/acs/api/v1/auth/login", body, headers={"Content-Type": "application/json"}, token_file="")


def test_login(clients: dict[str, str], nodes: list[str]) -> None:
    node, pod = nodes[0], clients[nodes[0]]
    token = log_in(pod, USER, PASSWORD).json()["token"]
    urls = [f"{STORE}/system/v1/metrics/v0/node?node={node}", f"{STORE}/system/v1/agent/{node}/metrics/v0/node"]
    urls += [f"{AGENT}/system/v1/metrics/v0/node", f"{AGENT}/system/v1/agent/{node}/metrics/v0/node"]
    headers = {"Authorization": f"token={token}"}

    def seen() -> bool:
        answers = ask_all(pod, [Question(url, headers=headers, token_file="") for url in urls])
        assert [answer.status for answer in answers] == [200] * 4, answers
        return all(answer.json()["dimensions"]["hostname"] == node for answer in answers)

    k.eventually(seen, seconds=20, what="the four routes with the token")


def test_a_wrong_password(clients: dict[str, str], nodes: list[str]) -> None:
    answers = [log_in(clients[nodes[0]], uid, "wrong") for uid in (USER, "nobody")]
    assert [answer.status for answer in answers] == [401, 401]
    assert answers[0].text == answers[1].text, "nobody learns which users there are"


def test_the_public_keys_are_there(clients: dict[str, str], nodes: list[str]) -> None:
    found = ask(clients[nodes[0]], f"{STORE}/acs/api/v1/auth/jwks", token_file="").json()
    assert [(key["kty"], key["alg"]) for key in found["keys"]] == [("RSA", "RS256")]
    assert not any({"d", "p", "q"} & key.keys() for key in found["keys"])
