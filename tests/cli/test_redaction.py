"""What is secret is blacked out, whatever it stands in; what is not stays."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricscluster.needles import SHORTEST
from metricscluster.redaction import GONE, Redactor
from metricwire import tokens

TOKEN = tokens.sign(tokens.new_pair()[0], "admin", ["admin"], issued=1)
SEED = "SUAGMJH5XLGZKQQWAWKRZJIGMOU4HPFUYLXJMXOO5NLFEO2OOQJ5LPRDPM"
PEM = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIBcanary\nAwEHoUQDQgAE\n-----END EC PRIVATE KEY-----"
CANARY = "hunter2-canary"
KEY_LINE = "MHcCAQEEIBcanary"
SHAPES = (
    "ghp_hunter2canaryhunter2canary012345",
    "github_pat_11HUNTER2CANARY_canary",
    "glpat-hunter2-canary_012345",
    "xoxb-123456789012-hunter2canary",
    "AKIAHUNTER2CANARY0AB",
    "AIzaHunter2CanaryHunter2CanaryHunter2Ca",
    "sk-hunter2-canary-hunter2",
    "hvs.hunter2canaryhunter2",
    "abcdef.hunter2canary012",
    "hooks.slack.com/services/T0HUNTER2/B0CANARY/hunter2canary",
    "Hunter2CanaryHunter2Canary",
    "eyJodW50ZXIyLWNhbmFyeSI6MX0=",
)


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
        f"PGPASSWORD={CANARY}",
        f"--db-password {CANARY}",
        f'["--password", "{CANARY}"]',
        f"Cookie: a=b; session={CANARY}; c=d",
        f"postgres://u:p/{CANARY}@h/db",
        f"https://{CANARY}@git.example.com/x",
        json.dumps({"password": f'"{CANARY}" \\"{CANARY}'}),
        json.dumps(json.dumps({"password": f'"{CANARY}"'})),
        json.dumps(json.dumps({"name": "DB_PASSWORD", "value": CANARY})),
        f"token: |\n  {CANARY}\n  {CANARY}\n",
        f'password="unclosed {CANARY}',
        f"password=back\\slash{CANARY}",
        *(f"see {text} there" for text in SHAPES),
        f"\n2026-11-21T12:00:00.1Z {KEY_LINE}\n2026-11-21T12:00:00.2Z -----END EC PRIVATE KEY-----",
    ],
)
def test_secrets_go_out_of_texts(text: str) -> None:
    found = Redactor().text(f"before {text} after")
    assert GONE in found
    for secret in (CANARY, base64.b64encode(CANARY.encode()).decode(), SEED, KEY_LINE, *SHAPES, TOKEN.split(".")[2]):
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


HOSTILE = (
    *("eyJ", "-eyJ-", "eyJa.", "-----BEGIN PRIVATE KEY-----\n", "-----END PRIVATE KEY-----\n", "-", "QUJDREVGR0hJ\n", "\\"),
    *(
        "password",
        "password ",
        "password='password=\"",
        'password=\\"',
        "--password",
        "://a:",
        "a",
        "token=",
        "password: |\n a\n",
    ),
)


@pytest.mark.timeout(60)  # what grows with the square takes minutes
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_take_no_longer_than_others(text: str) -> None:
    Redactor().text(text * (200_000 // len(text)))


@pytest.mark.timeout(60)
def test_a_secret_of_many_lines_takes_no_longer_than_another() -> None:
    lines = [f"line {at} of a secret" for at in range(20_000)]
    found = Redactor(["\n".join(lines).encode()]).text("line 1999" * 20_000 + lines[7])
    assert found.endswith("line 1999" + GONE)


@pytest.mark.parametrize("before", ["", "x", "xy", "admin:"])
def test_a_known_value_goes_out_of_the_base64_of_something_longer(before: str) -> None:
    text = base64.b64encode(f"{before}correct horse battery staple:after".encode()).decode()
    assert base64.b64decode("Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IHN0YXBsZQ==").decode() == "correct horse battery staple"
    found = Redactor([b"correct horse battery staple"]).text(text)
    assert GONE in found
    assert len(found) < 40


def test_json_stays_json() -> None:
    text = json.dumps(
        {"a": json.dumps({"password": CANARY, "more": [1, json.dumps({"token": CANARY})]}), "deep": "[" * 100_000}
    )
    found = Redactor().json(text)
    assert CANARY not in found
    assert json.loads(json.loads(found)["a"])["more"][0] == 1
    assert Redactor().json(f"token={CANARY}") == f"token={GONE}"
