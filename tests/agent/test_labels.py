"""Labels of containers: what they are, when they are sent, and what this node shows of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricagent.labels import KEPT, REPEAT, Labeller, label_name, labels_of
from metricagent.latest import Latest
from metricagent.pod import Pod, PodContainer
from metricagent.podobject import Described
from metricagent.pods import Pods
from metricwire.lineprotocol import decode, encode_labels
from metricwire.samples import Labels, Place

A, B = "a1" * 32, "b2" * 32
HERE = Place("c", "n1")
AT_A = Place("c", "n1", "container", A)


def pod(name: str = "web-1", container: str = A, **more: object) -> Described:
    containers = (PodContainer("app", container),)
    return Described(Pod(f"uid-{name}", name, "shop", "10.0.0.1", False, containers, **more), ("10.0.0.1",), {}, ended=False)  # type: ignore[arg-type]


def test_what_is_said_of_a_container() -> None:
    labels = (("a.b/c-d", "1"), ("empty", ""), ("team", "x"))
    found = pod(owner="web", owner_kind="Deployment", labels=labels).pod
    assert labels_of(found, found.containers[0]) == {
        "container": "app",
        "label_a_b_c_d": "1",
        "label_team": "x",
        "namespace": "shop",
        "owner": "web",
        "owner_kind": "Deployment",
        "pod": "web-1",
        "pod_uid": "uid-web-1",
    }


def test_of_two_labels_that_come_to_one_name_the_first_counts() -> None:
    found = pod(labels=(("a.b", "1"), ("a/b", "2"))).pod
    assert labels_of(found, found.containers[0])["label_a_b"] == "1"


@pytest.mark.parametrize("text", ["a\nb", "a\\", "x" * 256, "\u2028"])
def test_what_no_line_can_carry_is_left_out_and_the_rest_is_sent(text: str) -> None:
    found = pod(owner=text, owner_kind="Deployment", labels=(("team", text), ("tier", "1"), ("x" * 250, "1"))).pod
    known = labels_of(found, found.containers[0])
    assert known.keys() == {"container", "label_tier", "namespace", "owner_kind", "pod", "pod_uid"}
    sent = Labels(AT_A, tuple(known.items()))
    assert decode(encode_labels(sent, 1), now=1).labels == [sent]


names = st.text(st.characters(codec="ascii", categories=["L", "N"], include_characters="-_./"), min_size=1, max_size=63)


@given(st.lists(st.tuples(names, names), max_size=20))
def test_labels_of_any_pod_come_through_a_line(labels: list[tuple[str, str]]) -> None:
    found = pod(labels=tuple(sorted(dict(labels).items()))).pod
    known = labels_of(found, found.containers[0])
    sent = Labels(AT_A, tuple(known.items()))
    assert decode(encode_labels(sent, 1), now=1).labels == [sent]
    assert all(label_name(key) in known for key, value in labels if value)


def test_they_are_sent_when_a_container_appears_when_they_change_and_now_and_then() -> None:
    pods = Pods()
    labeller = Labeller(HERE, pods, 10)
    assert labeller.label([A], 0) == ({}, [])  # nothing is known yet, so nothing is said
    pods.put(pod(), 5)
    known, sent = labeller.label([A, "unknown"], 10)
    labels = {"container": "app", "namespace": "shop", "pod": "web-1", "pod_uid": "uid-web-1"}
    assert known == {AT_A: labels}
    assert sent == [Labels(AT_A, tuple(sorted(labels.items())))]
    assert labeller.label([A], 20) == (known, [])
    pods.put(pod(labels=(("team", "x"),)), 25)
    known, sent = labeller.label([A], 30)
    assert sent == [Labels(AT_A, tuple(sorted((labels | {"label_team": "x"}).items())))]
    times = range(40, 40 + 2 * int(REPEAT), 10)
    assert [at for at in times if labeller.label([A], at)[1]] == [30 + REPEAT, 30 + 2 * REPEAT]


def test_they_outlast_the_container_for_a_while_and_are_said_anew_when_it_is_back() -> None:
    pods = Pods()
    pods.put(pod(), 0)
    labeller = Labeller(HERE, pods, 10)
    assert len(labeller.label([A], 0)[1]) == 1
    assert AT_A in labeller.label([], KEPT)[0]
    assert labeller.label([], KEPT + 1) == ({}, [])
    assert len(labeller.label([A], KEPT + 2)[1]) == 1


def test_when_the_directory_forgets_ids_are_left_and_nothing_is_taken_back() -> None:
    pods = Pods()
    pods.put(pod(), 0)
    labeller = Labeller(HERE, pods, 10)
    labeller.label([A], 0)
    pods.expire(1e9)
    assert labeller.label([A], 10) == ({}, [])
    pods.put(pod(), 20)
    known, sent = labeller.label([A], 20)
    assert AT_A in known
    assert sent == []  # the store has them still


def test_labels_show_at_and_below_their_place() -> None:
    latest = Latest(10)
    latest.label({AT_A: {"pod": "web-1"}})
    for place in (AT_A, AT_A._replace(stype="app", stype_id="gauge"), AT_A._replace(stype="accelerator", stype_id="0")):
        assert latest.labels_of(place) == {"pod": "web-1"}
    for place in (HERE, AT_A._replace(type_id=B), AT_A._replace(host="n2"), HERE._replace(stype="app", stype_id=A)):
        assert latest.labels_of(place) == {}
