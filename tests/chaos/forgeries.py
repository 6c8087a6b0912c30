"""Tokens that must not count, for all kinds of keys: (name, Authorization header). What signs them is real cryptography."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Header = dict[str, Any]
Signer = Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
# Order of the curve's base point: S + L verifies where S is not checked to be below it (RFC 8032, 5.1.7).
L = 2**252 + 27742317777372353535851937790883648493
SMALL_ORDER = bytes([1]) + bytes(31)  # the neutral point: with it as R and S = 0 a lax check holds for a small-order key


class Forged(NamedTuple):
    """One attempt; `header` is what follows `Authorization: `."""

    name: str
    header: str


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def dump(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def signature(key: Signer, text: bytes) -> bytes:
    """As JWS has it: Ed25519, RS256 or ES256."""
    if isinstance(key, Ed25519PrivateKey):
        return key.sign(text)
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(text, padding.PKCS1v15(), hashes.SHA256())
    r, s = utils.decode_dss_signature(key.sign(text, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def token(key: Signer, head: Header | bytes, claims: Header | bytes) -> str:
    """A token of exactly these parts."""
    text = f"{b64(dump(head))}.{b64(dump(claims))}"
    return f"{text}.{b64(signature(key, text.encode()))}"


def keyed(secret: bytes, algorithm: str, head: Header, claims: Header) -> str:
    """A token by HMAC, for servers that take the algorithm from the token and the public key for its secret."""
    text = f"{b64(dump(head | {'alg': algorithm}))}.{b64(dump(claims))}"
    made = hmac.new(secret, text.encode(), getattr(hashlib, f"sha{algorithm[2:]}")).digest()
    return f"{text}.{b64(made)}"


class Trust(NamedTuple):
    """One path to be let in: the key that counts, and the header and claims of a token that is accepted."""

    key: Signer
    head: Header
    claims: Header
    exp_required: bool

    def good(self, **claims: Any) -> str:
        """An accepted token, with changes."""
        return token(self.key, self.head, self.claims | claims)

    def public(self) -> Iterator[tuple[str, bytes]]:
        """The public key, as an attacker may have it."""
        public = self.key.public_key()
        info = serialization.PublicFormat.SubjectPublicKeyInfo
        pem = public.public_bytes(serialization.Encoding.PEM, info)
        der = public.public_bytes(serialization.Encoding.DER, info)
        yield from (("PEM", pem), ("PEM stripped", pem.strip()), ("DER", der), ("base64", base64.b64encode(der)))
        if isinstance(self.key, Ed25519PrivateKey):
            raw = self.key.public_key().public_bytes_raw()
            yield from (("raw", raw), ("base64 of raw", base64.b64encode(raw)), ("base64url of raw", b64(raw).encode()))


def forged(trust: Trust) -> Iterator[Forged]:
    """All attempts on one path; none may be let in."""
    for made in (algorithms, signatures, headers, times, claims_of_others, shapes):
        for name, text in made(trust):
            yield Forged(name, f"Bearer {text}")
    good = trust.good()
    yield from (
        Forged("empty", ""),
        Forged("no token", "Bearer"),
        Forged("blank token", "Bearer  "),
        Forged("other scheme", f"Basic {good}"),
        Forged("no scheme", good),
        Forged("scheme with a colon", f"Bearer: {good}"),
        Forged("two tokens", f"Bearer {good} {good}"),
        Forged("list", f"Bearer {good}, Bearer {good}"),
        Forged("quoted", f'Bearer "{good}"'),
        Forged("DC/OS form with a blank", f"token= {good}"),
        Forged("DC/OS form, quoted", f'token="{good}"'),
    )


def algorithms(trust: Trust) -> Iterator[tuple[str, str]]:
    text = f"{b64(dump(trust.claims))}"
    real = trust.good().rpartition(".")[2]
    for name in (
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        None,
        0,
        [],
        ["EdDSA", "RS256"],
        {"alg": "none"},
        "EdDSA\u0000",
        "Ed448",
        "RS1",
    ):
        head = b64(dump(trust.head | {"alg": name}))
        yield f"alg {name!r} without signature", f"{head}.{text}."
        yield f"alg {name!r} with one", f"{head}.{text}.{real}"
    yield "no alg", f"{b64(dump({k: v for k, v in trust.head.items() if k != 'alg'}))}.{text}.{real}"
    for algorithm in ("HS256", "HS384", "HS512"):
        for name, secret in trust.public():
            yield f"{algorithm} keyed with the public key, {name}", keyed(secret, algorithm, trust.head, trust.claims)
        yield f"{algorithm} keyed with nothing", keyed(b"", algorithm, trust.head, trust.claims)
    foreign: list[tuple[str, Signer]] = [
        ("EdDSA", Ed25519PrivateKey.generate()),
        ("RS256", rsa.generate_private_key(65537, 2048)),
        ("ES256", ec.generate_private_key(ec.SECP256R1())),
    ]
    for algorithm, key in foreign:
        yield f"{algorithm} by a foreign key", token(key, trust.head | {"alg": algorithm}, trust.claims)
        yield f"said to be as usual, by a foreign {algorithm} key", token(key, trust.head, trust.claims)
    for algorithm in ("RS384", "RS512", "PS256", "ES384", "EdDSA", "RS256", "ES256"):
        if algorithm != trust.head["alg"]:
            yield f"the right key, said to be {algorithm}", token(trust.key, trust.head | {"alg": algorithm}, trust.claims)


def signatures(trust: Trust) -> Iterator[tuple[str, str]]:
    good = trust.good()
    text, _, end = good.rpartition(".")
    raw = base64.urlsafe_b64decode(end + "=" * (-len(end) % 4))
    cases = {
        "none": b"",
        "cut by one byte": raw[:-1],
        "half": raw[: len(raw) // 2],
        "one byte longer": raw + b"\0",
        "twice": raw * 2,
        "zeros": bytes(len(raw)),
        "ones": b"\xff" * len(raw),
        "one bit flipped": raw[:-1] + bytes([raw[-1] ^ 1]),
        "reversed": raw[::-1],
        "small-order R, S = 0": SMALL_ORDER + bytes(32),
    }
    if isinstance(trust.key, Ed25519PrivateKey):
        s = int.from_bytes(raw[32:], "little")
        cases["S + L"] = raw[:32] + (s + L).to_bytes(32, "little")
        cases["R with its sign flipped"] = raw[:31] + bytes([raw[31] ^ 0x80]) + raw[32:]
    for name, changed in cases.items():
        yield f"signature: {name}", f"{text}.{b64(changed)}"
    yield "signature of another token", f"{text}.{trust.good(jti='other').rpartition('.')[2]}"
    head, payload, _ = good.split(".")
    yield "claims changed", f"{head}.{b64(dump(trust.claims | {'roles': ['admin'], 'jti': '1'}))}.{end}"
    yield "header changed", f"{b64(dump(trust.head | {'typ': 'other'}))}.{payload}.{end}"
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    yield "signature written otherwise", f"{text}.{end[:-1]}{alphabet[alphabet.index(end[-1]) | 1]}"
    yield "padding", f"{text}.{end}" + "=" * (-len(end) % 4 or 4)
    yield "padding within", f"{head}=.{payload}.{end}"


def headers(trust: Trust) -> Iterator[tuple[str, str]]:
    other = rsa.generate_private_key(65537, 2048)
    numbers = other.public_key().public_numbers()
    jwk = {"kty": "RSA", "kid": "x", "n": b64(numbers.n.to_bytes(256, "big")), "e": "AQAB"}
    names = {
        "path": "../../../../dev/null",
        "URL": "http://127.0.0.1:1/key",
        "SQL": "x' UNION SELECT 'key' --",
        "NUL": "k1\0",
        "long": "k" * 10_000,
        "empty": "",
        "null": None,
        "number": 1,
        "list": ["k1"],
        "object": {"k1": "k1"},
        "true": True,
        "surrogate": "\ud800",
    }
    for name, kid in names.items():
        yield f"kid: {name}, foreign key", token(other, trust.head | {"kid": kid, "alg": "RS256"}, trust.claims)
    keys = {"jwk": jwk, "jku": "http://127.0.0.1:1/jwks", "x5u": "http://127.0.0.1:1/cert", "x5c": ["MIIB"], "x5t": "x"}
    for name, value in keys.items():
        yield f"{name} of the attacker", token(other, trust.head | {name: value, "alg": "RS256"}, trust.claims)
    crits: list[Any] = [["exp"], ["b64"], ["x"], [], "exp", None, {}, [1]]
    for crit in crits:
        yield f"crit {crit!r}, the right key", token(trust.key, trust.head | {"crit": crit, "x": 1, "exp": 1}, trust.claims)
    yield "b64 false", token(trust.key, trust.head | {"b64": False, "crit": ["b64"]}, trust.claims)
    yield "b64 false, not critical", token(trust.key, trust.head | {"b64": False}, trust.claims)
    twice = dump(trust.head)[:-1] + b', "alg": "none"}'
    yield "alg twice", token(trust.key, twice, trust.claims)
    yield "alg twice, the right one last", token(trust.key, b'{"alg": "none", ' + dump(trust.head)[1:], trust.claims)


def times(trust: Trust) -> Iterator[tuple[str, str]]:
    now = int(time.time())
    exps: list[Any] = [
        now - 60, 0, -1, -(2**63), str(now + 60), now + 60.5, True, None, [now + 60], {"a": 1}, "inf", "", "1e99", 10**400,
    ]  # fmt: skip
    for exp in exps:
        yield f"exp {str(exp)[:20]!r}", trust.good(exp=exp)
    for literal in (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9e99", b"1E12"):
        text = dump({k: v for k, v in trust.claims.items() if k != "exp"})[:-1] + b', "exp": ' + literal + b"}"
        yield f"exp {literal.decode()}", token(trust.key, trust.head, text)
    for name in ("nbf", "iat"):
        for value in (now + 3600, str(now), float("1e99"), "", None, [], 2**63):
            yield f"{name} {value!r}", trust.good(**{name: value})
    if trust.exp_required:
        absent = {k: v for k, v in trust.claims.items() if k != "exp"}
        yield "no exp", token(trust.key, trust.head, absent)


def claims_of_others(trust: Trust) -> Iterator[tuple[str, str]]:
    if "aud" in trust.claims:
        for value in ("api", [], None, ["https://kubernetes.default.svc"], "", {"metricscluster": 1}, "metricscluster.evil", 1):
            yield f"aud {value!r}", trust.good(aud=value)
        for value in ("https://evil", "", None, ["https://kubernetes"], "https://kubernetes/", 1):
            yield f"iss {value!r}", trust.good(iss=value)
    if "uid" in trust.claims:
        for value in ("nobody", "", "X", "x ", "x\0", None, 1, True, ["x"], {"x": 1}, "x" * 1000):
            yield f"uid {str(value)[:20]!r}", trust.good(uid=value)
        yield "no uid", token(trust.key, trust.head, {k: v for k, v in trust.claims.items() if k != "uid"})
    text = dump(trust.claims)
    yield "exp twice, the stale one first", token(trust.key, trust.head, b'{"exp": 1, ' + text[1:])
    yield "exp twice, the stale one last", token(trust.key, trust.head, text[:-1] + b', "exp": 1}')
    yield "roles twice", token(trust.key, trust.head, text[:-1] + b', "roles": ["admin"], "roles": []}')
    yield "a key twice, written otherwise", token(trust.key, trust.head, text[:-1] + b', "jt\\u0069": 1, "jti": 2}')
    yield "keys twice inside", token(trust.key, trust.head, text[:-1] + b', "x": [{"a": 1, "a": 2}]}')


def shapes(trust: Trust) -> Iterator[tuple[str, str]]:
    good = trust.good()
    head, payload, end = good.split(".")
    for depth in (40, 900, 5_000):
        deep = dump(trust.claims)[:-1] + b', "x": ' + b"[" * depth + b"]" * depth + b"}"
        if len(deep) < 11_000:
            yield f"claims {depth} levels deep", token(trust.key, trust.head, deep)
        yield f"header {depth} levels deep", token(trust.key, b"[" * depth, trust.claims)
        yield f"header with objects {depth} levels deep", token(trust.key, b'{"a":' * (depth // 4), trust.claims)
    for name, body in {
        "a list": b"[]", "null": b"null", "a number": b"1", "a string": b'"x"', "nothing": b"", "two objects": b"{}{}",
        "cut": b'{"user": ', "not UTF-8": b'{"user": "\xff"}', "UTF-16": '{"user": "x"}'.encode("utf-16"), "NUL": b"\0",
        "BOM": b'\xef\xbb\xbf{"user": "x"}',
    }.items():  # fmt: skip
        yield f"claims are {name}", token(trust.key, trust.head, body)
        yield f"header is {name}", token(trust.key, body, trust.claims)
    yield "20 kB", trust.good(pad="x" * 20_000)
    for name, text in {
        "x": "x",
        "dots": "...",
        "two parts": f"{head}.{payload}",
        "four parts": f"{good}.{end}",
        "five parts, as JWE": f"{good}.{end}.{end}",
        "plain base64 alphabet": f"{head}.{payload}.+/{end[2:]}",
        "blank within": f"{head}. {payload}.{end}",
        "percent": f"{good}%00",
        "tab behind": f"{good}\t.",
        "JSON serialisation": json.dumps({"payload": payload, "signatures": []}),
        "junk in it": f"{head}.{payload}!.{end}",
        "first dot doubled": f"{head}..{payload}.{end}",
        "unicode": f"{good}\u00e9",
    }.items():
        yield f"not a token: {name}", text
