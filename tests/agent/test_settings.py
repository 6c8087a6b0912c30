"""The agent's settings file: defaults, and what is said of a file that cannot be used."""

import json
from typing import Any

import pytest

from metricagent.settings import AgentSettings, address, parse, place
from metricwire.errors import SettingsError
from metricwire.samples import Place

LEAST: dict[str, Any] = {
    "cluster": "c",
    "store": {"url": "http://s:8082", "token-file": "t"},
    "spool": {"directory": "d"},
    "api": {"anonymous": True},
}


def test_defaults() -> None:
    found = parse(json.dumps(LEAST).encode(), "f")
    assert (found.interval, found.collectors, found.spool.bytes) == (10, {}, 64 << 20)
    assert (found.api.address, found.metrics_address) == ("127.0.0.1:61001", "127.0.0.1:61091")
    assert (found.host.proc, found.host.sys, found.host.root) == ("/proc", "/sys", "/")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"intervall": 1}, "Object contains unknown field `intervall`"),
        ({"store": {"url": "http://s", "token_file": "t"}}, "Object contains unknown field `token_file` - at `$.store`"),
        ({"store": {"url": "http://s"}}, "Object missing required field `token-file` - at `$.store`"),
        (
            {"store": {"url": "s:8082", "token-file": "t"}},
            "store.url: expected http://host:port or https://host:port, found 's:8082'",
        ),
        (
            {"store": {"url": "http://s/api", "token-file": "t"}},
            "store.url: expected http://host:port or https://host:port, found 'http://s/api'",
        ),
        *(
            (
                {"store": {"url": url, "token-file": "t"}},
                f"store.url: expected http://host:port or https://host:port, found {url!r}",
            )
            for url in ("http://[", "http://s:99999", "http://s:x")
        ),
        (
            {"store": {"url": "https://s", "token-file": "t", "key-file": "k"}},
            "store.key-file: expected store.cert-file beside it",
        ),
        (
            {"store": {"url": "http://s", "token-file": "t", "compression": "lz4"}},
            "Invalid enum value 'lz4' - at `$.store.compression`",
        ),
        ({"store": None}, "store, nats: expected one of the two"),
        ({"nats": {"url": "nats://n", "subject": "s"}}, "store, nats: expected one of the two"),
        *(
            (
                {"store": None, "nats": {"url": url, "subject": "s"}},
                "nats.url: expected nats://host:port or tls://host:port, several with commas between",
            )
            for url in ("", "n:4222", "http://n", "nats://n:0", "nats://n:x", "nats://n,", "nats://n/s")
        ),
        (
            {"store": None, "nats": {"url": "nats://u:geheim@n", "subject": "s"}},
            "nats.url: expected no password in it; nats.password-file names a file with one",
        ),
        (
            {"store": None, "nats": {"url": "nats://n", "subject": "s.*"}},
            "nats.subject: expected one subject, without wildcards and blanks, found 's.*'",
        ),
        (
            {"store": None, "nats": {"url": "nats://n", "subject": "s", "username": "u"}},
            "nats: expected username and password-file, or credentials-file, or none of them",
        ),
        (
            {"pods": {"url": "kubernetes"}},
            "pods.url: expected http://host:port or https://host:port, found 'kubernetes'",
        ),
        ({"pods": {"labels": [""]}}, "Expected `str` of length >= 1 - at `$.pods.labels[0]`"),
        ({"pods": {"labels": ["a"] * 21}}, "Expected `array` of length <= 20 - at `$.pods.labels`"),
        ({"interval": 0.5}, "Expected `float` >= 1.0 - at `$.interval`"),
        ({"interval": "10s"}, "Expected `float`, got `str` - at `$.interval`"),
        ({"cluster": ""}, "Expected `str` of length >= 1 - at `$.cluster`"),
        ({"spool": {"directory": "d", "bytes": 1}}, "Expected `int` >= 65536 - at `$.spool.bytes`"),
        ({"collectors": {"cpu": "yes"}}, "Expected `bool`, got `str` - at `$.collectors[...]`"),
        (
            {"api": {}},
            "api.public-key-files: none given; name one, or set api.anonymous to true, api.login-key-files or api.kubernetes",
        ),
        ({"api": {"anonymous": True, "address": "61001"}}, "api.address: expected host:port, found '61001'"),
        ({"metrics-address": "h:99999"}, "metrics-address: expected host:port, found 'h:99999'"),
    ],
)
def test_what_cannot_be_used_is_named_with_file_and_field(change: dict[str, Any], error: str) -> None:
    with pytest.raises(SettingsError) as raised:
        parse(json.dumps(LEAST | change).encode(), "agent.json")
    assert str(raised.value) == f"cannot use settings agent.json: {error}"


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff"])
def test_what_is_no_json_object(text: bytes) -> None:
    with pytest.raises(SettingsError, match=r"cannot read settings f: "):
        parse(text, "f")


@pytest.mark.parametrize(
    ("text", "found"), [("127.0.0.1:61001", ("127.0.0.1", 61001)), ("[::1]:80", ("::1", 80)), ("h:0", ("h", 0))]
)
def test_addresses(text: str, found: tuple[str, int]) -> None:
    assert address("a", text) == found


def settings_of(**more: Any) -> AgentSettings:
    return parse(json.dumps(LEAST | more).encode(), "f")


def test_the_host_is_named_by_the_settings_then_the_node_then_the_machine() -> None:
    environment = {"METRICSCLUSTER_NODE_NAME": "node-1"}
    assert place(settings_of(hostname="h"), environment) == Place("c", "h")
    assert place(settings_of(), environment) == Place("c", "node-1")
    assert place(settings_of(), {}).host


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ({"hostname": "a/b"}, "must not contain"),
        ({"cluster": ".."}, "must not contain"),
        ({"hostname": "a\nb"}, "control character"),
        ({"hostname": "a" * 256}, "longer than 255 bytes"),
        ({"cluster": "a\\"}, "backslash"),
    ],
)
def test_names_that_no_line_can_carry(names: dict[str, str], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        place(settings_of(hostname=names.get("hostname", "h"), cluster=names.get("cluster", "c")))
