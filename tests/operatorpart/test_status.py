from typing import Any

import pytest

from metricsoperator.reasons import Reason
from metricsoperator.state import Condition, KeysState, Status, VolumeState
from metricsoperator.status import Sight, invalid, observe
from metricsoperator.trouble import Trouble

from .conftest import cluster

NOW, EARLIER = "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"


def store(ready: int = 1, *, seen: bool = True, rolled: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"generation": 2, "labels": {"app.kubernetes.io/version": "1.2.3"}},
        "status": {
            "observedGeneration": 2 if seen else 1,
            "readyReplicas": ready,
            "updatedReplicas": 1 if rolled else 0,
            "currentRevision": "b" if rolled else "a",
            "updateRevision": "b",
        },
    }


def agents(ready: int = 3, desired: int = 3, updated: int | None = None, *, seen: bool = True) -> dict[str, Any]:
    return {
        "metadata": {"generation": 1},
        "status": {
            "observedGeneration": 1 if seen else 0,
            "desiredNumberScheduled": desired,
            "numberReady": ready,
            "updatedNumberScheduled": desired if updated is None else updated,
        },
    }


FAULT = Trouble(Reason.FORBIDDEN, "may not")
PULL = Trouble(Reason.IMAGE_NOT_PULLED, "check spec.image")

# sight -> Ready, StoreAvailable, AgentsAvailable, Progressing, Degraded: status and reason
CASES = [
    ("all well", Sight(stateful_set=store(), daemon_set=agents()), "T:Ready T:Available T:Available F:UpToDate F:NoFaultKnown"),
    ("nothing yet", Sight(), "F:StoreNotReady F:StoreNotReady F:AgentsNotReady T:RollingOut F:NoFaultKnown"),
    (
        "store starts",
        Sight(stateful_set=store(0), daemon_set=agents()),
        "F:StoreNotReady F:StoreNotReady T:Available T:RollingOut F:NoFaultKnown",
    ),
    (
        "store's numbers are of the generation before",
        Sight(stateful_set=store(seen=False), daemon_set=agents()),
        "F:StoreNotReady F:StoreNotReady T:Available T:RollingOut F:NoFaultKnown",
    ),
    (
        "store is replaced",
        Sight(stateful_set=store(rolled=False), daemon_set=agents()),
        "T:Ready T:Available T:Available T:RollingOut F:NoFaultKnown",
    ),
    (
        "one agent of three lacks: none is tolerated of three (10 %)",
        Sight(stateful_set=store(), daemon_set=agents(2)),
        "F:AgentsNotReady T:Available F:AgentsNotReady F:UpToDate F:NoFaultKnown",
    ),
    (
        "three agents of forty lack: four are tolerated",
        Sight(stateful_set=store(), daemon_set=agents(37, 40)),
        "T:Ready T:Available T:Available F:UpToDate T:AgentsMissing",
    ),
    (
        "no node",
        Sight(stateful_set=store(), daemon_set=agents(0, 0)),
        "F:NoNodes T:Available F:NoNodes F:UpToDate F:NoFaultKnown",
    ),
    (
        "image",
        Sight(stateful_set=store(0), daemon_set=agents(), troubles={"store": PULL}),
        "F:ImageNotPulled F:ImageNotPulled T:Available T:RollingOut T:ImageNotPulled",
    ),
    (
        "agents' image",
        Sight(stateful_set=store(), daemon_set=agents(0), troubles={"agent": PULL}),
        "F:ImageNotPulled T:Available F:ImageNotPulled F:UpToDate T:ImageNotPulled",
    ),
    (
        "refused",
        Sight(stateful_set=store(), daemon_set=agents(), faults=[FAULT]),
        "F:Forbidden T:Available T:Available F:UpToDate T:Forbidden",
    ),
    (
        "what cannot be had here",
        Sight(stateful_set=store(), daemon_set=agents(), limits=[Trouble(Reason.CLUSTER_RIGHTS_MISSING, "no names")]),
        "T:Ready T:Available T:Available F:UpToDate T:ClusterRightsMissing",
    ),
]


@pytest.mark.parametrize(("sight", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_conditions(sight: Sight, expected: str) -> None:
    found = observe(cluster(), sight, Status(), NOW)
    assert " ".join(f"{condition.status[0]}:{condition.reason}" for condition in found.conditions) == expected
    assert all(condition.message and condition.observed_generation == 1 for condition in found.conditions)


PODS = Trouble(Reason.IMAGE_NOT_PULLED, "pod fritz-store-0: check spec.image")
AGENT_PODS = Trouble(Reason.IMAGE_NOT_PULLED, "pod fritz-agent-x: check spec.image")
DAMAGED = "Secret fritz-keys is damaged, private.key cannot be used: new keys"
LOST = "keys of Secret fritz-keys were lost, and new ones were made: tokens by the lost ones stop to count"
AGAIN = "whoever copied admin-token fetches it again, and whoever logged in does so again"
NAMES = Trouble(Reason.CLUSTER_RIGHTS_MISSING, "No names.")


@pytest.mark.parametrize(
    ("sight", "said"),
    [
        (Sight(stateful_set=store(), daemon_set=agents()), "No fault is known."),
        (Sight(), "No fault is known. Ready says what is still waited for."),
        (Sight(limits=[NAMES]), "No names."),
        (Sight(troubles={"store": PODS}, limits=[NAMES]), "pod fritz-store-0: check spec.image. No names."),
        (Sight(troubles={"store": FAULT, "agent": FAULT}, faults=[FAULT]), "may not"),
        (Sight(troubles={"store": PODS, "agent": AGENT_PODS}), "pod fritz-store-0: check spec.image; the agents' pods too"),
        (
            Sight(stateful_set=store(), daemon_set=agents(), keys=KeysState(unusable=("private.key",), next_signs=NOW)),
            f"{DAMAGED} sign from {NOW}",
        ),
        (
            Sight(stateful_set=store(), daemon_set=agents(), keys=KeysState(unusable=("private.key",), old_ends=NOW)),
            f"{DAMAGED} are made when the old ones stop to count, at {NOW}; a shorter spec.auth.keys.overlap is sooner",
        ),
        (
            Sight(stateful_set=store(), daemon_set=agents(), keys=KeysState(lost=True, old_ends=NOW)),
            f"{LOST}, at {NOW} at the latest; {AGAIN}",
        ),
        (Sight(stateful_set=store(), daemon_set=agents(), keys=KeysState(lost=True, next_signs=NOW)), f"{LOST}; {AGAIN}"),
    ],
)
def test_what_is_wrong_is_told_once(sight: Sight, said: str) -> None:
    [degraded] = [each for each in observe(cluster(), sight, Status(), NOW).conditions if each.type == "Degraded"]
    assert degraded.message == said


def messages(sight: Sight, before: Status) -> dict[str, str]:
    return {each.type: each.message for each in observe(cluster(), sight, before, NOW).conditions}


def test_the_first_pods_are_started_and_later_ones_replaced() -> None:
    first = messages(Sight(), Status())
    assert first["Progressing"] == "Pods of the store and the agents are being started."
    assert (first["StoreAvailable"], first["AgentsAvailable"]) == (
        "The store is being started.",
        "The agents are being started.",
    )
    before = observe(cluster(), Sight(stateful_set=store(), daemon_set=agents()), Status(), EARLIER)
    later = messages(Sight(stateful_set=store(rolled=False), daemon_set=agents()), before)
    assert later["Progressing"] == "Pods of the store are being replaced."


def test_what_keeps_agents_from_being_made_is_told() -> None:
    assert messages(Sight(stateful_set=store(), troubles={"agent": FAULT}), Status())["AgentsAvailable"] == "may not"


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (
            "Bound",
            "volume data still has 1Gi of 2Gi; nobody has begun: see whether a resizer of the StorageClass's driver runs",
        ),
        ("FileSystemResizePending", "with some drivers only for a new pod: `kubectl delete pod fritz-store-0`"),
        ("Resizing", "Resizing: see the log of the driver's resizer, and `kubectl describe pvc`"),
    ],
)
def test_a_volume_that_does_not_end_to_grow(state: str, says: str) -> None:
    volume = VolumeState(name="data", requested="2Gi", capacity="1Gi", state=state)
    sight = Sight(stateful_set=store(), daemon_set=agents(), volumes=(volume,))
    before = observe(cluster(), sight, Status(), EARLIER)
    assert [each.reason for each in before.conditions][3:] == ["VolumeGrowing", "NoFaultKnown"]
    after = observe(cluster(), sight, before, NOW)
    assert [each.reason for each in after.conditions][3:] == ["VolumeGrowing", "VolumeNotGrown"]
    assert says in after.conditions[4].message
    assert after.conditions[0].status == "True"
    grown = Sight(stateful_set=store(), daemon_set=agents())
    assert observe(cluster(), grown, after, NOW).conditions[4].reason == "NoFaultKnown"


def growing(now: str, before: Status, requested: str = "2Gi", updated: int = 3) -> Status:
    volume = VolumeState(name="data", requested=requested, capacity="1Gi", state="Resizing")
    return observe(cluster(), Sight(stateful_set=store(), daemon_set=agents(updated=updated), volumes=(volume,)), before, now)


def test_how_long_a_volume_grows_is_its_own_time() -> None:
    """Whatever else is under way, before and meanwhile."""
    rolling = observe(cluster(), Sight(stateful_set=store(), daemon_set=agents(updated=1)), Status(), EARLIER)
    begun = growing(NOW, rolling)
    for said in (begun, growing("2026-01-02T00:04:59Z", begun)):
        assert (said.conditions[4].reason, said.store.volumes[0].growing_since) == ("NoFaultKnown", NOW)
    assert growing("2026-01-02T00:05:00Z", begun, updated=1).conditions[4].reason == "VolumeNotGrown"
    more = growing("2026-01-02T00:05:00Z", begun, "3Gi")
    assert (more.conditions[4].reason, more.store.volumes[0].growing_since) == ("NoFaultKnown", "2026-01-02T00:05:00Z")
    grown = VolumeState(name="data", requested="2Gi", capacity="2Gi", state="Bound")
    after = observe(cluster(), Sight(volumes=(grown,)), begun, NOW)
    assert after.store.volumes[0].growing_since is None


def test_paused_is_said() -> None:
    found = observe(cluster({"paused": True}), Sight(stateful_set=store(), daemon_set=agents()), Status(), NOW)
    assert [condition.reason for condition in found.conditions if condition.type == "Progressing"] == ["Paused"]


def test_transition_time_stays_while_the_status_stays() -> None:
    sight = Sight(stateful_set=store(), daemon_set=agents())
    first = observe(cluster(), sight, Status(), EARLIER)
    assert observe(cluster(), sight, first, NOW) == first
    broken = observe(cluster(), Sight(stateful_set=store(0), daemon_set=agents()), first, NOW)
    times = {condition.type: condition.last_transition_time for condition in broken.conditions}
    assert times["Ready"] == times["StoreAvailable"] == NOW
    assert times["AgentsAvailable"] == EARLIER


def test_counts_and_version() -> None:
    found = observe(cluster(), Sight(stateful_set=store(), daemon_set=agents(2, 3, 1)), Status(), NOW)
    assert (found.node_agents.nodes, found.node_agents.updated, found.store.version) == ("2/3", 1, "1.2.3")


def test_version_is_what_runs_not_what_is_wanted() -> None:
    before = observe(cluster(), Sight(stateful_set=store(), daemon_set=agents()), Status(), NOW)
    replaced = store(rolled=False)
    replaced["metadata"]["labels"]["app.kubernetes.io/version"] = "2.0.0"
    assert observe(cluster(), Sight(stateful_set=replaced, daemon_set=agents()), before, NOW).store.version == "1.2.3"


def test_invalid_spec_leaves_the_rest_as_it_was() -> None:
    before = observe(cluster(), Sight(stateful_set=store(), daemon_set=agents()), Status(), EARLIER)
    found = invalid(7, "spec.store: expected object", before, NOW)
    assert found.conditions[0] == Condition(
        type="Ready",
        status="False",
        reason="InvalidSpec",
        message="spec.store: expected object",
        last_transition_time=NOW,
        observed_generation=7,
    )
    assert (found.observed_generation, found.store) == (7, before.store)


def test_long_messages_are_cut_to_what_the_schema_takes() -> None:
    found = observe(cluster(), Sight(faults=[Trouble(Reason.REFUSED, "x" * 5000)]), Status(), NOW)
    assert max(len(condition.message) for condition in found.conditions) <= 1024
