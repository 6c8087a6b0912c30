from typing import Any

from metricsoperator.deliveries import LISTS, Deliveries


def item(version: int, kind: str = "Service", name: str = "x") -> dict[str, Any]:
    return {"kind": kind, "metadata": {"namespace": "m", "name": name, "resourceVersion": str(version)}}


def test_a_watch_that_says_what_lists_show_lives() -> None:
    watch = Deliveries()
    watch.said(item(5))
    for _ in range(2 * LISTS):
        watch.listed("Service", [item(5)])
    assert watch.dead() == []


def test_a_watch_that_is_late_lives() -> None:
    watch = Deliveries()
    for _ in range(LISTS - 1):
        watch.listed("Service", [item(5)])
    watch.said(item(6))
    watch.listed("Service", [item(6)])
    assert watch.dead() == []


def test_a_watch_that_does_not_say_what_lists_show_is_dead() -> None:
    watch = Deliveries()
    for version in range(5, 5 + LISTS):
        assert watch.dead() == []
        watch.listed("Service", [item(version)])
        watch.listed("ConfigMap", [])
    assert watch.dead() == ["Service"]
    watch.said(item(9))
    assert watch.dead() == []


def test_what_is_gone_is_owed_no_more() -> None:
    watch = Deliveries()
    for _ in range(LISTS):
        watch.listed("Service", [item(5), item(5, name="y")])
    watch.said_gone(item(5))
    watch.listed("Service", [])
    assert watch.dead() == []
