"""Keys: made once, anew when the generation is raised, in steps that somebody who dies or comes twice does not spoil."""

import asyncio
import base64
from typing import Any

import pytest

from metricsoperator import names
from metricsoperator.manifests.metadata import Manifest
from metricsoperator.objects import Retry
from metricsoperator.rotation import ANNOUNCED_SECONDS, Rotation, progress
from metricsoperator.state import KeysState
from metricwire import tokens

from .conftest import SITE, Server, cluster

START = 1767225600.0


class Clock:
    now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def settle(server: Server, clock: Clock, generation: int, overlap: str = "1h") -> tuple[KeysState, float | None]:
    wanted = cluster({"auth": {"keys": {"generation": generation, "overlap": overlap}}})
    return asyncio.run(Rotation(objects=server, site=SITE, now=clock).settle(wanted))


def secret(server: Server) -> Manifest:
    return server.items["Secret", "monitoring", "fritz-keys"]


def entries(server: Server) -> dict[str, str]:
    return {name: base64.b64decode(text).decode() for name, text in secret(server)["data"].items()}


def accepted(server: Server, token: str, now: float) -> bool:
    """Whether a store with the Secret's public keys takes the token."""
    found = entries(server)
    keys = [tokens.public_key(found[name]) for name in (names.PUBLIC_KEY, names.OTHER_PUBLIC_KEY)]
    try:
        tokens.verify(token, keys, now)
    except Exception:  # noqa: BLE001 (whatever it is: it is not accepted)
        return False
    return True


def test_made_once(server: Server, clock: Clock) -> None:
    assert settle(server, clock, 1) == (KeysState(generation=1), None)
    first = entries(server)
    assert first[names.OTHER_PUBLIC_KEY] == first[names.PUBLIC_KEY], "so that every entry that pods mount is there"
    server.writes.clear()
    assert settle(server, clock, 1) == (KeysState(generation=1), None)
    assert not server.writes


def test_a_rotation(server: Server, clock: Clock) -> None:
    settle(server, clock, 1)
    old = entries(server)
    state, again = settle(server, clock, 2)
    assert (state.generation, state.next, again) == (1, 2, ANNOUNCED_SECONDS)
    announced = entries(server)
    assert {name: announced[name] for name in (names.PUBLIC_KEY, names.ADMIN_TOKEN, names.LOGIN_PRIVATE_KEY)} == {
        name: old[name] for name in (names.PUBLIC_KEY, names.ADMIN_TOKEN, names.LOGIN_PRIVATE_KEY)
    }, "the old ones sign"
    assert announced[names.OTHER_PUBLIC_KEY] != old[names.PUBLIC_KEY]

    clock.now += ANNOUNCED_SECONDS
    state, again = settle(server, clock, 2)
    assert (state.generation, state.next, state.old_ends, again) == (2, None, "2026-01-01T01:02:00Z", 3600)
    switched = entries(server)
    assert switched[names.PUBLIC_KEY] == announced[names.OTHER_PUBLIC_KEY]
    assert switched[names.LOGIN_PRIVATE_KEY] == announced[names.OTHER_LOGIN_PRIVATE_KEY]
    assert switched[names.OTHER_LOGIN_PUBLIC_KEY] == old[names.LOGIN_PUBLIC_KEY]
    assert names.NEXT_PRIVATE_KEY not in switched
    for token in (old[names.ADMIN_TOKEN], switched[names.ADMIN_TOKEN], switched[names.AGENT_TOKEN]):
        assert accepted(server, token, clock.now)

    clock.now += 3600
    assert settle(server, clock, 2) == (KeysState(generation=2), None)
    ended = entries(server)
    assert ended.keys() == old.keys()
    assert accepted(server, ended[names.ADMIN_TOKEN], clock.now)
    assert not accepted(server, old[names.ADMIN_TOKEN], clock.now)
    assert old[names.LOGIN_PUBLIC_KEY] not in ended.values()


def test_a_short_overlap_is_for_keys_that_leaked(server: Server, clock: Clock) -> None:
    settle(server, clock, 1)
    assert settle(server, clock, 2, "5s")[1] == 5
    clock.now += 5
    settle(server, clock, 2, "5s")
    clock.now += 5
    assert settle(server, clock, 2, "5s") == (KeysState(generation=2), None)


def test_the_next_rotation_waits_for_the_end_of_this(server: Server, clock: Clock) -> None:
    settle(server, clock, 1)
    settle(server, clock, 2)
    clock.now += ANNOUNCED_SECONDS
    assert settle(server, clock, 3)[0].generation == 2
    clock.now += 3600
    assert settle(server, clock, 3)[0] == KeysState(generation=2)
    assert settle(server, clock, 3)[0].next == 3


def test_of_two_operators_one_comes_too_late(server: Server, clock: Clock) -> None:
    settle(server, clock, 1)
    stale = server.get

    async def behind(kind: str, namespace: str, name: str) -> Manifest | None:
        found = await stale(kind, namespace, name)
        settle_other()
        return found

    def settle_other() -> None:
        server.get = stale  # type: ignore[method-assign]
        secret(server)["data"][names.PUBLIC_KEY] = secret(server)["data"][names.PUBLIC_KEY]
        server.keep(secret(server))

    server.get = behind  # type: ignore[method-assign]
    with pytest.raises(Retry, match="modified"):
        settle(server, clock, 2)
    assert progress(secret(server)).step == ""


@pytest.mark.parametrize("lost", [names.NEXT_PRIVATE_KEY, names.OTHER_PUBLIC_KEY])
def test_entries_that_somebody_took_away_come_back(server: Server, clock: Clock, lost: str) -> None:
    settle(server, clock, 1)
    settle(server, clock, 2)
    del secret(server)["data"][lost]
    clock.now += ANNOUNCED_SECONDS
    for _ in range(3):
        settle(server, clock, 2)
        clock.now += ANNOUNCED_SECONDS
    assert settle(server, clock, 2)[0].generation == 2
    assert names.OTHER_PUBLIC_KEY in secret(server)["data"]


@pytest.mark.parametrize("text", ["", "no", '{"generation": "x"}', '{"step": "other"}'])
def test_an_annotation_that_says_nothing(text: str) -> None:
    found: dict[str, Any] = {"metadata": {"annotations": {names.KEYS_ANNOTATION: text}}}
    assert progress(found).generation == 1
