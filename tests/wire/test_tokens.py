"""Tokens: what is accepted, and that nothing else is."""

import base64
import itertools
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from metricwire.errors import BadInput, InvalidToken, SettingsError
from metricwire.tokens import (
    LOGIN_SECONDS,
    NODE_METRICS,
    PUBLISHED_KEY,
    KubernetesKeys,
    bearer,
    issue,
    jwks,
    key_id,
    kubernetes_keys,
    login_key,
    login_public_key,
    new_pair,
    nobodys_key,
    opened,
    public_key,
    rsa_public_key,
    sign,
    verify,
    verify_login,
    verify_proof,
    verify_service_account,
)
from rsapairs import FOREIGN, OURS

NOW = int(time.time())
PRIVATE, PUBLIC = new_pair()
KEY = public_key(PUBLIC)
# spec/metric-store-api.md "Tokens": the known-good pair that cc-metric-store's documentation publishes
PUBLISHED_TOKEN = (
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJFZERTQSJ9.eyJ1c2VyIjoiYWRtaW4iLCJyb2xlcyI6WyJST0xFX0FETUlOIiwiUk9MRV9BTkFMWVNUIiwiUk9MRV9VU0VSIl19."
    "d-3_3FZTsadPjDEdsWrrQ7nS0edMAR4zjl-eK7rJU3HziNBfI9PDHDIpJVHTNN5E5SlLGLFXctWyKAkwhXL-Dw"
)


def test_the_published_pair_is_understood() -> None:
    claims = verify(PUBLISHED_TOKEN, [public_key(PUBLISHED_KEY)], NOW)
    assert (claims.subject, claims.roles, claims.expires) == ("admin", {"admin", "analyst", "user"}, None)


def test_a_token_is_valid_until_exp_and_a_key_as_long_as_it_is_configured() -> None:
    token = sign(PRIVATE, "me", ["admin"], issued=NOW, expires=NOW + 60)
    assert verify(token, [public_key(PUBLISHED_KEY), KEY], NOW).roles == {"admin"}
    with pytest.raises(InvalidToken):
        verify(token, [KEY], NOW + 71)
    with pytest.raises(InvalidToken):
        verify(token, [public_key(PUBLISHED_KEY)], NOW)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(claims: dict[str, object], **header: object) -> str:
    key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(PRIVATE))
    return jwt.encode(claims, key, algorithm="EdDSA", headers=header or None)


NONE, NONE_CAPITAL = b64(b'{"alg":"none"}'), b64(b'{"alg":"None"}')
HEAD, BODY, SIGNATURE = sign(PRIVATE, "me", ["admin"], issued=NOW).split(".")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        f"{HEAD}.{BODY}.",
        f"{HEAD}.{BODY}.{SIGNATURE[:-2]}",
        f"{HEAD}.{BODY}.{SIGNATURE}AA",
        f"{HEAD}.{b64(json.dumps({'roles': ['admin']}).encode())}.{SIGNATURE}",
        f"{NONE}.{BODY}.",
        f"{NONE_CAPITAL}.{BODY}.{SIGNATURE}",
        jwt.encode({"roles": ["admin"]}, PUBLIC, algorithm="HS256"),
        jwt.encode({"roles": ["admin"]}, base64.b64decode(PUBLIC), algorithm="HS256"),
        jwt.encode({"roles": ["admin"]}, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"),
        jwt.encode({"roles": ["admin"]}, rsa.generate_private_key(65537, 2048), algorithm="RS256"),
        *(signed({"exp": value}) for value in (NOW - 60, str(NOW + 60), float(NOW + 60), -1, None, True, [NOW + 60], {"a": 1})),
        signed({"nbf": NOW + 60}),
        signed({"iat": NOW + 60}),
        signed({"pad": "x" * 20_000}),
        signed({}, crit=["exp"]),
    ],
    ids=itertools.count(),
)
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_forged_and_stale_tokens_are_refused(token: str) -> None:
    with pytest.raises(InvalidToken):
        verify(token, [KEY], NOW)


def test_what_is_in_a_token_is_read_once_its_signature_is_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has no key cannot make us read much."""
    read: list[object] = []

    def pairs_of(pairs: list[tuple[str, object]]) -> dict[str, object]:
        read.append(pairs)
        return dict(pairs)

    monkeypatch.setattr("metricwire.tokens.form._unique", pairs_of)
    keys = [public_key(new_pair()[1]) for _ in range(16)]
    token = signed({"user": "x", "r": [0] * 1000})
    assert key_id(token) == ""
    with pytest.raises(InvalidToken):
        verify(token, keys, NOW)
    foreign = jwt.encode({"uid": "alice", "r": [0] * 1000}, FOREIGN[0], algorithm="RS256", headers={"kid": LOGIN.id})
    for check in (
        lambda: verify_login(foreign, {LOGIN.id: LOGIN}, NOW),
        lambda: verify_proof(foreign, "alice", LOGIN.public, NOW),
        lambda: verify_service_account(foreign, kubernetes(kid=LOGIN.id), NOW),
    ):
        with pytest.raises(InvalidToken):
            check()
    assert read == []
    assert verify(token, [*keys, KEY], NOW).subject == "x"
    assert len(read) == 2, "header and claims"


def written(head: bytes, body: bytes) -> str:
    """A token with such a text, well signed."""
    text = f"{b64(head)}.{b64(body)}"
    return f"{text}.{b64(Ed25519PrivateKey.from_private_bytes(base64.b64decode(PRIVATE)).sign(text.encode()))}"


GOOD_HEAD = b'{"alg":"EdDSA"}'


@pytest.mark.parametrize(
    "token",
    [
        written(GOOD_HEAD, b'{"user":"a","user":"b"}'),
        written(GOOD_HEAD, b'{"user":"a","x":{"y":1,"y":1}}'),
        written(b'{"alg":"EdDSA","alg":"EdDSA"}', b"{}"),
        written(b'{"alg":"EdDSA","b64":true}', b"{}"),
        written(b'{"alg":"EdDSA","crit":[]}', b"{}"),
        written(b'{"alg":"EdDSA","kid":5}', b"{}"),
        written(b'{"alg":"none"}', b"{}"),
        written(b"{}", b"{}"),
        written(b"[]", b"{}"),
        written(b"\xff", b"{}"),
        written(b'{"alg":"EdDSA","x":' + b"[" * 2500 + b"]" * 2500 + b"}", b"{}"),
        written(GOOD_HEAD, b"[]"),
        written(GOOD_HEAD, b"\xff"),
        written(GOOD_HEAD, '{"user":"x"}'.encode("utf-16")),
        written(GOOD_HEAD, b'{"x":' + b"[" * 33 + b"]" * 33 + b"}"),
        written(GOOD_HEAD, b'{"x":' + b"[" * 2500 + b"]" * 2500 + b"}"),
        written(GOOD_HEAD, b'{"x":' + b"9" * 5000 + b"}"),
        written(GOOD_HEAD, b'{"pad":"%s"}' % (b"x" * 8192)),
        written(GOOD_HEAD, b"{}") + "=",
        written(GOOD_HEAD, b"{}")[:-1] + "_",
    ],
    ids=itertools.count(),
)
def test_a_token_that_can_be_read_in_two_ways_is_refused_though_it_is_well_signed(token: str) -> None:
    assert verify(written(GOOD_HEAD, b'{"user":"a"}'), [KEY], NOW).subject == "a"
    with pytest.raises(InvalidToken):
        verify(token, [KEY], NOW)


def test_roles_that_are_no_list_of_names_are_none() -> None:
    for roles in ("admin", None, 3, {"admin": 1}):
        assert verify(signed({"roles": roles}), [KEY], NOW).roles == frozenset()
    assert verify(signed({"roles": ["ROLE_API", 3, None]}), [KEY], NOW).roles == {"api"}


# y of a point of order 8 (RFC 8032, 5.1)
ORDER_8 = "05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826"


@pytest.mark.parametrize("text", ["", "abc", "AAAA", PUBLIC[:-4], f"{PUBLIC}AAAA"], ids=itertools.count())
def test_a_key_that_is_none_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="cannot use public key"):
        public_key(text)


@pytest.mark.parametrize("y", [0, 1, 2**255 - 20, 2**255 - 19, 2**255 + 1, int(ORDER_8, 16)], ids=hex)
def test_a_key_that_anybody_can_sign_for_is_refused(y: int) -> None:
    with pytest.raises(SettingsError, match="a placeholder that anybody can sign for"):
        public_key(base64.b64encode(y.to_bytes(32, "little")).decode())


CLUSTER_KEY = rsa.generate_private_key(65537, 2048)


def kubernetes(**changed: str) -> KubernetesKeys:
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(CLUSTER_KEY.public_key()))
    values = {"issuer": "https://kubernetes", "audience": "metricscluster", "kid": "k1"} | changed
    return KubernetesKeys({values.pop("kid"): jwt.PyJWK(jwk)}, **values)


def service_account(algorithm: str = "RS256", **changed: object) -> str:
    claims = {
        "iss": "https://kubernetes",
        "aud": ["metricscluster"],
        "sub": "system:serviceaccount:monitoring:fritz-agent",
        "exp": NOW + 600,
        "iat": NOW,
        "kubernetes.io": {"namespace": "monitoring", "node": {"name": "n1", "uid": "1"}},
    } | changed
    key = PUBLIC if algorithm == "HS256" else CLUSTER_KEY
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, key, algorithm=algorithm, headers={"kid": "k1"})


def test_a_service_account_token_says_who_and_on_which_node() -> None:
    claims = verify_service_account(service_account(), kubernetes(), NOW)
    assert claims.subject == "system:serviceaccount:monitoring:fritz-agent"
    assert (claims.node, claims.roles) == ("n1", frozenset())
    unbound = verify_service_account(service_account(**{"kubernetes.io": {"namespace": "x"}}), kubernetes(), NOW)
    assert unbound.node is None


@pytest.mark.parametrize(
    ("token", "keys"),
    [
        (service_account(aud=["api"]), kubernetes()),
        (service_account(aud=None), kubernetes()),
        (service_account(iss="https://other"), kubernetes()),
        (service_account(exp=NOW - 60), kubernetes()),
        (service_account(exp=None), kubernetes()),
        (service_account(), kubernetes(kid="k2")),
        (service_account("HS256"), kubernetes()),
        (service_account(sub="system:serviceaccount:monitoring"), kubernetes()),
        (service_account(sub="system:serviceaccount:a:b:c"), kubernetes()),
        (service_account(sub="system:node:n1"), kubernetes()),
        (sign(PRIVATE, "x", [], issued=NOW), kubernetes()),
        ("", kubernetes()),
    ],
)
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_other_service_account_tokens_are_refused(token: str, keys: KubernetesKeys) -> None:
    with pytest.raises(InvalidToken):
        verify_service_account(token, keys, NOW)


def test_the_api_servers_keys_are_read_and_bad_ones_named() -> None:
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(CLUSTER_KEY.public_key()))
    bad = [{"kty": "RSA", "n": "!", "e": "AQAB", "kid": "bad"}, {"kty": "none"}, None, []]
    keys, wrong = kubernetes_keys({"issuer": "i"}, {"keys": [jwk | {"kid": "k1"}, jwk, *bad]}, "a")
    assert (list(keys.keys), keys.issuer, keys.audience, len(wrong)) == (["k1"], "i", "a", len(bad))
    for configuration, answer in (
        ({}, {"keys": []}),
        ({"issuer": "i"}, {}),
        ([], {"keys": []}),
        ({"issuer": "i"}, {"keys": 1}),
    ):
        with pytest.raises(BadInput, match="expected an issuer and a list of keys"):
            kubernetes_keys(configuration, answer, "a")


@pytest.mark.parametrize("header", ["Bearer x", "bearer  x ", "token=x", " token=x"])
def test_both_spellings_of_the_header_are_understood(header: str) -> None:
    assert bearer(header) == "x"


@pytest.mark.parametrize("header", [None, "", "Bearer", "token= x", "x", "Token x", "token"])
def test_other_headers_show_nobody(header: str | None) -> None:
    with pytest.raises(InvalidToken, match="cannot see who is asking"):
        bearer(header)


LOGIN_PRIVATE, LOGIN_PUBLIC = (text.encode() for text in OURS)
LOGIN = login_key(LOGIN_PRIVATE)
OTHER = login_key(FOREIGN[0].encode())


def issued(**changed: object) -> str:
    """A token of a login, some of its claims and header changed."""
    head = {"kid": LOGIN.id} | {name: changed.pop(name) for name in ("kid", "typ") if name in changed}
    claims = {"uid": "alice", "iat": NOW, "exp": NOW + 60} | changed
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, LOGIN_PRIVATE, algorithm="RS256", headers=head)


def test_a_login_token_says_who_and_what_it_opens() -> None:
    token = issue(LOGIN, "alice", {NODE_METRICS}, now=NOW, seconds=60, id="1")
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": "JWT", "kid": LOGIN.id}
    keys = {key.id: key for key in (OTHER, login_public_key(LOGIN_PUBLIC))}
    claims = verify_login(token, keys, NOW)
    assert (claims.subject, claims.permissions, claims.roles) == ("alice", {NODE_METRICS}, frozenset())
    assert claims.expires is not None
    assert opened(claims.permissions, NODE_METRICS)
    assert jwt.PyJWKSet.from_dict(jwks([LOGIN, OTHER])).keys[0].key_id == LOGIN.id


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x.y.z",
        issued(exp=None),
        issued(exp=NOW - 60),
        issued(exp=float(NOW + 60)),
        issued(uid=None),
        issued(uid=1),
        issued(iat=NOW + 60),
        issued(kid="k1"),
        issued(kid=OTHER.id),
        issue(OTHER, "alice", [], now=NOW, seconds=60, id="1"),
        sign(PRIVATE, "alice", ["admin"], issued=NOW, expires=NOW + 60),
        service_account(),
        jwt.encode({"uid": "alice", "exp": NOW + 60}, LOGIN_PUBLIC[28:], algorithm="HS256", headers={"kid": LOGIN.id}),
    ],
    ids=itertools.count(),
)
def test_other_tokens_are_no_login(token: str) -> None:
    with pytest.raises(InvalidToken):
        verify_login(token, {LOGIN.id: LOGIN}, NOW)
    with pytest.raises(InvalidToken):
        verify(token, [public_key(PUBLISHED_KEY)], NOW)


def test_a_proof_counts_for_one_account_and_five_minutes() -> None:
    assert verify_proof(issued(exp=NOW + LOGIN_SECONDS), "alice", LOGIN.public, NOW) > NOW + LOGIN_SECONDS
    for token, uid in (
        (issued(exp=NOW + 400), "alice"),
        (issued(exp=None), "alice"),
        (issued(), "bob"),
        (issued(uid=None), ""),
    ):
        with pytest.raises(InvalidToken):
            verify_proof(token, uid, LOGIN.public, NOW)
    with pytest.raises(InvalidToken):
        verify_proof(issued(), "alice", OTHER.public, NOW)


def pem(bits: int, exponent: int = 65537) -> bytes:
    """The public half of a key of that size."""
    from cryptography.hazmat.primitives import serialization

    key = rsa.RSAPublicNumbers(exponent, nobodys_key(bits).public_numbers().n).public_key()
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize(
    "text", [b"", b"x", LOGIN_PRIVATE, pem(1024), pem(2048, 3), pem(2048, 2**1000 + 1), b"\xff" * 100], ids=itertools.count()
)
def test_an_rsa_key_that_is_none_or_small_is_named(text: bytes) -> None:
    with pytest.raises(SettingsError, match="cannot use "):
        rsa_public_key(text)
    if text != LOGIN_PRIVATE:
        with pytest.raises(SettingsError, match="cannot use login key"):
            login_key(text)


def test_nobodys_key_has_the_size_that_is_asked_for_and_nobody_signs_for_it() -> None:
    for bits in (2048, 3072):
        key = nobodys_key(bits)
        assert (key.key_size, key.public_numbers().e) == (bits, 65537)
        with pytest.raises(InvalidToken):
            verify_proof(issued(), "alice", key, NOW)
