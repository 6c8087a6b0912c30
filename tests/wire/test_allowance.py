"""What an address may, as time goes by."""

import pytest

from metricwire import allowance
from metricwire.allowance import Allowances, network_of


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_is_used_comes_back_evenly() -> None:
    clock = Clock()
    allowances = Allowances(10, 60, clock)
    assert [allowances.take("a") for _ in range(11)] == [0.0] * 10 + [6.0]
    assert (allowances.wait("a"), allowances.wait("b")) == (6.0, 0.0)
    clock.now += 4
    assert allowances.take("a") == pytest.approx(2)
    clock.now += 2
    assert allowances.take("a") == 0
    assert allowances.take("a") == pytest.approx(6)
    clock.now += 3600
    assert [allowances.take("a") for _ in range(11)] == [0.0] * 10 + [6.0], "not more than there were"
    allowances.give("a")
    allowances.give("nobody")
    assert (allowances.wait("a"), allowances.wait("nobody")) == (0, 0)
    clock.now -= 3600
    assert allowances.take("a") == 0, "a clock that is set back takes nothing away"


def test_addresses_are_forgotten_before_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "KEPT", 2)
    allowances = Allowances(1, 60, Clock())
    assert [allowances.take(name) for name in "abac"] == [0, 0, 60, 0]
    assert [bool(allowances.wait(name)) for name in "abc"] == [True, False, True]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::1:2:3:4", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("a socket", "a socket"),
    ],
)
def test_whose_doings_count_together(address: str, network: str) -> None:
    assert network_of(address) == network
