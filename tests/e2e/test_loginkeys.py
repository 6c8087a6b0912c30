"""Login keys are changed one after the other, and no token is refused that should still count."""

import pytest

from metricwire.tokens import new_login_pair

from . import kubernetes as k
from .asking import AGENT, STORE, Question, ask_all
from .changing import change
from .conftest import PASSWORD, USER
from .test_login import log_in

pytestmark = pytest.mark.timeout(600)


def make(name: str) -> dict[str, str]:
    """A Secret with a pair; how the MetricsCluster names it."""
    private, public = new_login_pair()
    data = {"private.pem": private, "public.pem": public}
    k.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": k.NAMESPACE}, "stringData": data})
    return {"secretName": name, "privateKey": "private.pem", "publicKey": "public.pem"}


def statuses(pod: str, node: str, token: str) -> list[int]:
    """What store and agent say to a token."""
    urls = (f"{STORE}/system/v1/agent/{node}/metrics/v0/node", f"{AGENT}/system/v1/metrics/v0/node")
    asked = [Question(url, headers={"Authorization": f"token={token}"}, token_file="") for url in urls]
    return [answer.status for answer in ask_all(pod, asked)]


def test_a_new_key_beside_the_old_one_and_then_alone(clients: dict[str, str], nodes: list[str]) -> None:
    node, pod = nodes[0], clients[nodes[0]]

    def token() -> str:
        return k.eventually(lambda: str(log_in(pod, USER, PASSWORD).json()["token"]), seconds=30, what="a token of the login")

    def count(expected: dict[str, int]) -> None:
        """Each token as it should, at both; a key may take a while to come to where it is looked for."""
        k.eventually(
            lambda: {one: statuses(pod, node, one) for one in expected} == {one: [s, s] for one, s in expected.items()},
            seconds=60,
            what="tokens are taken as they should be",
        )

    old, new = make("login-old"), make("login-new")
    try:
        generated = token()
        count({generated: 200})
        change({"auth": {"loginKeys": [old]}})
        first = token()
        count({first: 200, generated: 401})
        change({"auth": {"loginKeys": [new, old]}})
        second = token()
        count({second: 200, first: 200})
        change({"auth": {"loginKeys": [new]}})
        count({second: 200, first: 401})
    finally:
        change({"auth": {"loginKeys": None}})
