"""TLS of the store turned on, its certificate renewed, and turned off again, while agents write."""

import base64
import datetime
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from . import kubernetes as k
from .asking import STORE, ask, query
from .changing import change, volumes

pytestmark = pytest.mark.timeout(500)
SECRET = f"{k.NAME}-store-tls"
HOST = f"{k.NAME}-store.{k.NAMESPACE}.svc"
SECURE = f"https://{HOST}:8082"
_SHOWN = "import json, ssl; print(json.dumps(ssl.get_server_certificate(('{host}', 8082))))"


class Authority:
    """Signs certificates for the store."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("e2e authority")
        self._made = self._sign(self._name, self._key, authority=True)
        self.pem = _pem(self._made).decode()

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"),
            False,
        )
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(digital_signature=not authority, key_cert_sign=authority, crl_sign=authority, **usage),
                critical=True,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def secret(self) -> dict[str, Any]:
        """A new certificate with its key, as a Secret."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._sign(_name("store"), key, authority=False)
        form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        data = {"tls.crt": _pem(made), "tls.key": key.private_bytes(*form), "ca.crt": self.pem.encode()}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET, "namespace": k.NAMESPACE},
            "type": "kubernetes.io/tls",
            "data": {name: base64.b64encode(value).decode() for name, value in data.items()},
        }


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _pem(made: x509.Certificate) -> bytes:
    return made.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def authority(clients: dict[str, str]) -> Iterator[Authority]:
    found = Authority()
    k.apply(found.secret())
    yield found
    change({"store": {"tls": None, "pod": None}})
    k.kubectl("delete", "secret", SECRET)


def arriving(pod: str, nodes: list[str], **how: Any) -> None:
    """Samples taken from now on come to be in the store."""
    since = int(time.time())

    def there() -> bool:
        found = query(pod, nodes, "load_one", since, int(time.time()) + 60, **how)
        return all(any(value is not None for value in found.get(node, [])) for node in nodes)

    k.eventually(there, seconds=60, what="agents write")


def test_tls_on_renewed_and_off(authority: Authority, clients: dict[str, str], nodes: list[str]) -> None:
    pod = clients[nodes[0]]
    found = change({"store": {"tls": {"secretName": SECRET}, "pod": {"annotations": {"note": "sûr \U0001f512"}}}})
    assert found["status"]["store"]["endpoint"] == SECURE
    arriving(pod, nodes, store=SECURE, authority=authority.pem)
    assert ask(pod, f"{STORE}/api/query", "{}").status == 0, "plain HTTP is no longer answered"
    assert ask(pod, f"{SECURE}/api/query", "{}").status == 0, "the certificate is checked"
    shown = k.python(pod, _SHOWN.format(host=HOST))
    uid = k.get("pod", f"{k.NAME}-store-0")["metadata"]["uid"]
    k.apply(authority.secret())
    k.eventually(lambda: k.python(pod, _SHOWN.format(host=HOST)) != shown, seconds=150, what="the new certificate is shown")
    assert k.get("pod", f"{k.NAME}-store-0")["metadata"]["uid"] == uid, "without a restart"
    arriving(pod, nodes, store=SECURE, authority=authority.pem)
    found = change({"store": {"tls": None, "pod": None}})
    assert found["status"]["store"]["endpoint"] == STORE
    arriving(pod, nodes)
    assert "tls" not in volumes("statefulset", f"{k.NAME}-store")
    assert "tls" not in volumes("daemonset", f"{k.NAME}-agent")
