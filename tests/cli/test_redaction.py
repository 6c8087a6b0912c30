"""What is secret is blacked out, whatever it stands in; what is not stays."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricscluster.redaction import GONE, SHORTEST, Redactor
from metricwire import tokens

TOKEN = tokens.sign(tokens.new_pair()[0], "admin", ["admin"], issued=1)
SEED = "SUAGMJH5XLGZKQQWAWKRZJIGMOU4HPFUYLXJMXOO5NLFEO2OOQJ5LPRDPM"
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIBcanary\nAwEHoUQDQgAE\n-----END EC PRIVATE KEY-----"
CANARY = "hunter2-canary"


@pytest.mark.parametrize(
    "text",
    [
        TOKEN,
        f"Authorization: Bearer {TOKEN}",
        f'{{"level": "info", "message": "asked with token={CANARY}"}}',
        f"authorization: Basic {base64.b64encode(CANARY.encode()).decode()}",
        f"Authorization: token={CANARY}",
        PEM,
        PEM.replace("\n", "\\n"),
        f"-----BEGIN USER NKEY SEED-----\n{SEED}\n------END USER NKEY SEED------",
        f"seed is {SEED}",
        f"nats://fritz:{CANARY}@nats:4222",
        f"password={CANARY}",
        f'"password": "{CANARY}"',
        f"nats.password: '{CANARY}'",
        f"--password={CANARY} --verbose",
        f"MY_API_KEY={CANARY}",
        f"client-secret: {CANARY}",
        f"GET /write?u=x&token={CANARY}&db=fritz",
    ],
)
def test_secrets_go_out_of_texts(text: str) -> None:
    found = Redactor().text(f"before {text} after")
    assert GONE in found
    for secret in (CANARY, base64.b64encode(CANARY.encode()).decode(), SEED, "MHcCAQEEIBcanary", TOKEN.split(".")[2]):
        assert secret not in found
    assert found.startswith("before ")


@pytest.mark.parametrize(
    "text",
    [
        "store reached at http://fritz-store.monitoring.svc:8082",
        "token-file /var/run/secrets/metricscluster/token",
        "secretName: fritz-keys",
        "cannot read the Secret fritz-users",
        'metricstore_lines_total{outcome="stored",reason=""} 12',
        "sha256:4a4e25ca740d4a4e25ca740d4a4e25ca740d4a4e25ca740d4a4e25ca740d0000",
        "no bearer of news",
    ],
)
def test_other_texts_stay(text: str) -> None:
    assert Redactor().text(text) == text


def test_secrets_go_out_of_objects() -> None:
    found = {
        "metadata": {"name": "fritz", "annotations": {"example.com/token": CANARY}},
        "env": [{"name": "DB_PASSWORD", "value": CANARY}, {"name": "LEVEL", "value": "info"}],
        "args": [f"--nats=nats://u:{CANARY}@h", "--token-file=/x"],
        "data": {"config.json": json.dumps({"nats": {"password": CANARY, "address": "nats://h"}}), "private.key": CANARY},
        "volumes": [
            {"secret": {"secretName": "fritz-keys"}},
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        ],
        "automountServiceAccountToken": False,
        "count": 3,
    }
    text = json.dumps(Redactor().plain(found))
    assert CANARY not in text
    for kept in ("fritz-keys", '"LEVEL", "value": "info"', "--token-file=/x", "nats://h", '"path": "t"', '"count": 3'):
        assert kept in text


@given(st.binary(min_size=SHORTEST, max_size=60), st.text(max_size=40), st.text(max_size=40))
def test_known_values_go_wherever_they_stand(value: bytes, before: str, after: str) -> None:
    redactor, text = Redactor([value]), value.decode("utf-8", "replace").strip()
    if len(text) < SHORTEST or text.startswith("-----"):
        return
    for form in (text, base64.b64encode(text.encode()).decode(), base64.b64encode(value).decode()):
        found = redactor.text(f"{before}|{form}|{after}")
        assert form not in found.replace(GONE, "") or form in before + after
