"""Keys: made once, anew when the generation is raised, in steps that somebody who dies or comes twice does not spoil."""

import asyncio
import base64
from functools import cache, partial
from itertools import cycle
from typing import Any

import pytest

from metricsoperator import names
from metricsoperator.keyring import LOGIN, NEXT, NEXT_LOGIN, OTHERS, SIGNING, Keyring
from metricsoperator.manifests.metadata import Manifest
from metricsoperator.objects import Retry
from metricsoperator.rotation import ANNOUNCED_SECONDS, Progress, Rotation, told
from metricsoperator.state import KeysState
from metricwire import tokens
from rsapairs import ACCOUNT, FOREIGN, OURS

from .conftest import SITE, Server, cluster

START = 1767225600.0
LOGIN_KEY = cache(tokens.login_key)


class Clock:
    now = START

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """RSA pairs that were made and looked at once: either takes a while."""
    monkeypatch.setattr(tokens, "new_login_pair", partial(next, cycle((OURS, ACCOUNT, FOREIGN))))
    monkeypatch.setattr(tokens, "login_key", LOGIN_KEY)


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
    assert told(secret(server)) == Progress()


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


def annotate(server: Server, text: str) -> None:
    secret(server)["metadata"]["annotations"][names.KEYS_ANNOTATION] = text


def spoil(server: Server, name: str, damage: str | None) -> None:
    """Put something else into an entry; None takes it away."""
    found = secret(server)
    found["data"].pop(name)
    if damage is not None:
        found["data"][name] = damage
    server.keep(found)


GARBAGE = [None, "", "%%%", "////", base64.b64encode(b"-----BEGIN PRIVATE KEY-----\n").decode()]


def test_a_clock_that_was_set_back_does_not_keep_an_old_key(server: Server, clock: Clock) -> None:
    settle(server, clock, 1)
    settle(server, clock, 2)
    clock.now += ANNOUNCED_SECONDS
    settle(server, clock, 2)
    clock.now -= 10 * 365 * 86400
    state, again = settle(server, clock, 2)
    assert (state.old_ends, again) == ("2016-01-04T01:02:00Z", 3600), "an hour from now, not from then"
    server.writes.clear()
    settle(server, clock, 2)
    assert not server.writes
    clock.now += 3600
    assert settle(server, clock, 2) == (KeysState(generation=2), None)
    assert entries(server)[names.OTHER_PUBLIC_KEY] == entries(server)[names.PUBLIC_KEY]


@pytest.mark.parametrize("since", ["1e300", "-1e300"])
def test_a_time_that_is_none(server: Server, clock: Clock, since: str) -> None:
    settle(server, clock, 1)
    settle(server, clock, 2)
    annotate(server, f'{{"generation":1,"step":"announced","next":2,"since":{since}}}')
    for _ in range(3):
        assert settle(server, clock, 2)[0].generation in (1, 2)
        clock.now += ANNOUNCED_SECONDS
    assert settle(server, clock, 2)[0].generation == 2


@pytest.mark.parametrize("text", ["", "no", '{"generation": "x"}', '{"step": "other"}', '{"generation":-1}', "[]"])
def test_an_annotation_that_says_nothing(text: str) -> None:
    found: dict[str, Any] = {"metadata": {"annotations": {names.KEYS_ANNOTATION: text}}}
    assert told(found) is None


@pytest.mark.parametrize(("step", "text"), [("announced", ""), ("overlap", ""), ("overlap", '{"generation":1}')])
def test_without_its_annotation_the_entries_tell_how_far_it_is(server: Server, clock: Clock, text: str, step: str) -> None:
    settle(server, clock, 1)
    old = entries(server)
    settle(server, clock, 2)
    if step == "overlap":
        clock.now += ANNOUNCED_SECONDS
        settle(server, clock, 2)
    announced = entries(server)
    annotate(server, text)
    state, again = settle(server, clock, 2)
    assert entries(server) == announced
    expected = (2, False, ANNOUNCED_SECONDS) if step == "announced" else (None, True, 3600)
    assert (state.next, bool(state.old_ends), again) == expected
    assert accepted(server, old[names.ADMIN_TOKEN], clock.now)


def test_a_generation_that_nobody_asked_for(server: Server, clock: Clock) -> None:
    settle(server, clock, 1)
    annotate(server, '{"generation":1000}')
    assert settle(server, clock, 1)[0].generation == 1
    assert settle(server, clock, 2)[0].next == 2


@pytest.mark.parametrize("damage", GARBAGE)
@pytest.mark.parametrize("name", [*SIGNING, *LOGIN, *NEXT, *NEXT_LOGIN])
def test_what_is_no_key(name: str, damage: str | None) -> None:
    assert Keyring({"data": {name: damage} if damage is not None else {}}).public(name) == ""


def test_entries_that_others_tell_come_back(server: Server, clock: Clock) -> None:
    settle(server, clock, 1)
    before = entries(server)
    for name in (names.PUBLIC_KEY, names.LOGIN_PUBLIC_KEY, *OTHERS):
        spoil(server, name, "////")
    assert settle(server, clock, 1) == (KeysState(generation=1), None)
    assert entries(server) == before


def test_tokens_that_do_not_count_are_signed_anew(server: Server, clock: Clock) -> None:
    settle(server, clock, 1)
    spoil(server, names.ADMIN_TOKEN, None)
    spoil(server, names.AGENT_TOKEN, "////")
    settle(server, clock, 1)
    for name in (names.ADMIN_TOKEN, names.AGENT_TOKEN):
        assert accepted(server, entries(server)[name], clock.now)


@pytest.mark.parametrize(("name", "damage"), [(names.PRIVATE_KEY, "////"), (names.LOGIN_PRIVATE_KEY, None)])
def test_a_private_half_that_is_lost_is_replaced_by_a_rotation(
    server: Server, clock: Clock, name: str, damage: str | None
) -> None:
    settle(server, clock, 1)
    old = entries(server)
    spoil(server, name, damage)
    state, again = settle(server, clock, 1)
    assert (state.generation, state.next, again) == (1, 1, ANNOUNCED_SECONDS)
    assert state.unusable == (name,)
    clock.now += ANNOUNCED_SECONDS
    state, again = settle(server, clock, 1)
    assert (state.old_ends, state.unusable, again) == ("2026-01-01T01:02:00Z", (), 3600)
    assert entries(server)[names.OTHER_LOGIN_PUBLIC_KEY] == old[names.LOGIN_PUBLIC_KEY]
    for token in (old[names.ADMIN_TOKEN], entries(server)[names.ADMIN_TOKEN]):
        assert accepted(server, token, clock.now)
    clock.now += 3600
    assert settle(server, clock, 1) == (KeysState(generation=1), None)
    assert entries(server).keys() == old.keys()


def test_a_key_in_overlap_stays_when_the_present_one_is_lost(server: Server, clock: Clock) -> None:
    settle(server, clock, 1)
    first = entries(server)
    settle(server, clock, 2)
    clock.now += ANNOUNCED_SECONDS
    settle(server, clock, 2)
    second = entries(server)
    spoil(server, names.PRIVATE_KEY, base64.b64encode(b"no key").decode())
    state, again = settle(server, clock, 2)
    assert (state.unusable, state.old_ends, again) == ((names.PRIVATE_KEY,), "2026-01-01T01:02:00Z", 3600)
    for token in (first[names.ADMIN_TOKEN], second[names.ADMIN_TOKEN]):
        assert accepted(server, token, clock.now)
    clock.now += 3600
    assert settle(server, clock, 2)[1] == 0, "now there is room for new ones"
    assert settle(server, clock, 2)[1] == ANNOUNCED_SECONDS
    assert accepted(server, second[names.ADMIN_TOKEN], clock.now)


def test_nothing_is_left(server: Server, clock: Clock) -> None:
    settle(server, clock, 1)
    known = entries(server).keys()
    secret(server)["data"] = None
    assert settle(server, clock, 1)[0] == KeysState(generation=1, old_ends="2026-01-01T01:00:00Z", lost=True)
    assert entries(server).keys() == known
    assert accepted(server, entries(server)[names.ADMIN_TOKEN], clock.now)
    server.writes.clear()
    settle(server, clock, 1)
    assert not server.writes
    clock.now += 3600
    assert settle(server, clock, 1) == (KeysState(generation=1), None), "it was told for long enough"


@pytest.mark.parametrize("known", [True, False])
def test_the_secret_is_lost(server: Server, clock: Clock, known: bool) -> None:
    rotation = Rotation(objects=server, site=SITE, now=clock)
    state, again = asyncio.run(rotation.settle(cluster(), known=known))
    assert (state.lost, again) == (known, 3600 if known else None)
    clock.now += 3600
    assert asyncio.run(rotation.settle(cluster(), known=True)) == (KeysState(generation=1), None)


def test_both_halves_are_lost_during_a_rotation(server: Server, clock: Clock) -> None:
    settle(server, clock, 1)
    settle(server, clock, 2)
    for name in LOGIN:
        spoil(server, name, None)
    state, again = settle(server, clock, 2)
    assert (state.lost, state.next, again) == (True, 2, ANNOUNCED_SECONDS)
    clock.now += ANNOUNCED_SECONDS
    assert settle(server, clock, 2)[0] == KeysState(generation=2, old_ends="2026-01-01T01:02:00Z", lost=True)
    clock.now += 3600
    assert settle(server, clock, 2)[0] == KeysState(generation=2)


def test_both_halves_are_lost_while_another_key_counts(server: Server, clock: Clock) -> None:
    settle(server, clock, 1)
    old = entries(server)
    spoil(server, names.PRIVATE_KEY, None)
    spoil(server, names.PUBLIC_KEY, "////")
    state, again = settle(server, clock, 1)
    assert (state.old_ends, state.lost, again) == ("2026-01-01T01:00:00Z", True, 3600)
    for token in (old[names.ADMIN_TOKEN], entries(server)[names.ADMIN_TOKEN]):
        assert accepted(server, token, clock.now)


def test_a_secret_that_was_whole_is_not_looked_at_again(server: Server, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    rotation = Rotation(objects=server, site=SITE, now=clock)
    asyncio.run(rotation.settle(cluster()))
    monkeypatch.setattr(tokens, "login_key", None)
    asyncio.run(rotation.settle(cluster()))
