from typing import Any

import pytest

from metricsoperator.drift import differences

WANTED: dict[str, Any] = {
    "spec": {
        "replicas": 1,
        "containers": [{"name": "store", "image": "a", "args": ["x", "y"]}],
        "resources": {"limits": {"memory": "1024Mi", "cpu": "0.5"}, "requests": {"cpu": 2}},
    },
    "owners": [{"uid": "1", "kind": "M"}],
}


@pytest.mark.parametrize(
    ("wanted", "found", "where"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, None),  # what others set
        ({"a": 1}, {"a": 2}, ".a"),
        ({"a": 1}, {}, ".a"),
        ({"a": {}}, {}, None),  # the API server drops what is empty
        ({"a": []}, {}, None),
        ({"a": False}, {}, None),
        ({"a": ""}, {"a": "x"}, ".a"),
        ({"a": ["x", "y"]}, {"a": ["x", "y"]}, None),
        ({"a": ["x"]}, {"a": ["x", "y"]}, ".a"),
        ({"a": ["x", "y"]}, {"a": ["y", "x"]}, ".a[0]"),
        ({"a": [{"name": "n", "v": 1}]}, {"a": [{"name": "sidecar"}, {"name": "n", "v": 1, "w": 2}]}, None),
        ({"a": [{"name": "n", "v": 1}]}, {"a": [{"name": "n", "v": 2}]}, ".a[n].v"),
        ({"a": [{"name": "n"}]}, {"a": [{"name": "m"}]}, ".a[n]"),
        ({"a": [{"port": 1}]}, {"a": [{"port": 1, "protocol": "TCP"}]}, None),
        ({"a": [{"port": 1}]}, {"a": [{"port": 2, "protocol": "TCP"}]}, ".a[0].port"),
        ({"limits": {"memory": "1024Mi"}}, {"limits": {"memory": "1Gi"}}, None),  # as the API server writes it
        ({"limits": {"cpu": "0.5"}}, {"limits": {"cpu": "500m"}}, None),
        ({"requests": {"cpu": 2}}, {"requests": {"cpu": "2"}}, None),
        ({"requests": {"cpu": 2}}, {"requests": {"cpu": "3"}}, ".requests.cpu"),
        ({"labels": {"version": "1Gi"}}, {"labels": {"version": "1024Mi"}}, ".labels.version"),
        ({"subjects": [{"name": "a"}]}, {"subjects": [{"name": "a"}, {"name": "b"}]}, ".subjects"),  # rights
        (WANTED, WANTED, None),
    ],
)
def test_difference(wanted: Any, found: Any, where: str | None) -> None:
    assert next((str(each) for each in differences(wanted, found)), None) == where


def test_all_differences_with_what_is_there() -> None:
    found = {"spec": {"containers": [{"name": "a", "image": 2}], "args": [1, 3]}}
    wanted = {"spec": {"containers": [{"name": "a", "image": 1}, {"name": "b"}], "args": [1, 2], "replicas": 1}}
    seen = {str(each): each.found for each in differences(wanted, found)}
    assert seen == {".spec.containers[a].image": 2, ".spec.containers[b]": None, ".spec.args[1]": 3, ".spec.replicas": None}
