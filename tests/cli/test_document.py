"""A MetricsCluster file: what is wrong with it, and on which line."""

import json
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricscluster.document import LARGEST, read
from metricwire.errors import BadInput

HEAD = "apiVersion: metricscluster.io/v1alpha1\nkind: MetricsCluster\nmetadata:\n  name: fritz\n"
GOOD = HEAD + "spec:\n  nodeAgent: {interval: 5s}\n"
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x]\n" + "".join(f"a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 8)}]\n" for n in range(13))
OTHER = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        "---\n" + GOOD,
        OTHER + "---\n" + GOOD + "---\n" + OTHER,
        "# only a comment\n---\n---\n" + GOOD,
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("  name: fritz\n", "  name: fritz\n  generation: x\n  labels: {a: b}\n"),
    ],
)
def test_the_one_metricscluster_is_read(text: str) -> None:
    found = read(text.encode(), "f.yaml")
    assert (found.name, found.cluster, found.spec.node_agent.interval) == ("fritz", "fritz", "5s")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (HEAD + "spec:\n  store:\n    storage:\n      size: 10Zi\n", "8: spec.store.storage.size: "),
        (HEAD + "spec:\n  store: {storage: {size: 1Ki}}\n", "6: spec.store.storage.size: expected a size from "),
        (
            HEAD + "spec:\n  nodeAgent:\n    interval: 10\n",
            "7: spec.nodeAgent.interval: expected a duration from 1s to 24h such as 10s, got 10",
        ),
        (HEAD + "spec:\n  nodeAgent:\n    interval: 1ms\n", "7: spec.nodeAgent.interval: "),
        (
            HEAD + "spec:\n  nodeAgent:\n    collectors:\n      gpu: true\n",
            "8: spec.nodeAgent.collectors.gpu: unknown field; known are cpu, memory, swap, load, ",
        ),
        (
            HEAD + "spec:\n  metrics:\n    - {name: a}\n    - {name: 'b c'}\n",
            "8: spec.metrics[1].name: expected a metric's name such as flops_any, got 'b c'",
        ),
        (HEAD + "spec:\n  metrics:\n    - {name: a}\n    -\n      frequency: 1s\n", "9: spec.metrics[1].name: missing"),
        (
            HEAD + "spec:\n  metrics:\n    - {name: a}\n    - {name: a}\n",
            "8: spec.metrics[1].name: expected each name once, got 'a' again",
        ),
        (
            HEAD + "spec:\n  nodeAgent:\n    interval: 0x" + "f" * 5000 + "\n",
            "7: spec.nodeAgent.interval: expected a duration from 1s to 24h such as 10s, got a number of thousands of digits",
        ),
        (
            HEAD.replace("fritz", "0x" + "f" * 5000),
            "4: metadata.name: expected lower case letters",
        ),
        (
            HEAD + "spec:\n  metrics:\n    - name: load_one\n      frequency: 2s\n",
            "8: spec.metrics[0].frequency: expected 10s, the agents' interval, or nothing for a metric",
        ),
        (HEAD + "spec: [1]\n", "5: spec: expected object, got array"),
        (HEAD + "specs: {}\nspec:\n  sotre: {}\n", "7: spec.sotre: unknown field; known are clusterName, "),
        (GOOD.replace("v1alpha1", "v1"), "1: apiVersion: expected metricscluster.io/v1alpha1, got 'metricscluster.io/v1'"),
        (GOOD.replace("name: fritz", "name: Fritz"), "4: metadata.name: expected lower case letters"),
        (GOOD.replace("  name: fritz", "  namespace: x"), "3: metadata.name: expected lower case letters"),
        (GOOD.replace("metadata:\n  name: fritz\n", ""), "1: metadata: expected an object with a name"),
        ("", "1: kind: expected a document of kind MetricsCluster, found nothing with a kind"),
        (OTHER + "---\n" + OTHER, "1: kind: expected a document of kind MetricsCluster, found ConfigMap"),
        ("- 1\n", "1: kind: expected a document of kind MetricsCluster, found nothing with a kind"),
        (GOOD + "---\n" + GOOD, "8: kind: expected one MetricsCluster, found 2"),
        (GOOD + "  nodeAgent: {}\n", "7: cannot read YAML: key 'nodeAgent' is given twice"),
        (GOOD + "\tx: 1\n", "7: cannot read YAML: found character '\\t' that cannot start any token"),
        (GOOD + "  x: [1\n", "8: cannot read YAML: expected ',' or ']', but got '<stream end>'"),
        (GOOD + "  x: *y\n", "7: cannot read YAML: alias *y: write the value again instead"),
        (GOOD + "  store: &a {store: *a}\n", "7: cannot read YAML: alias *a: write the value again instead"),
        (GOOD + "  x: {\n    <<: *y}\n", "8: cannot read YAML: alias *y: write the value again instead"),
        (BOMB + "---\n" + GOOD, "2: cannot read YAML: alias *a0: write the value again instead"),
        (GOOD + "  x: !!python/name:os.system\n", "7: cannot read YAML: could not determine a constructor for the tag"),
        (GOOD + "  x: \x00\n", "7: cannot read YAML: special characters are not allowed"),
        (GOOD + "  x: " + "[" * 1000, "7: cannot read YAML: it is nested more than 32 levels deep"),
        (GOOD + "  x: " + "[" * 100_000, "7: cannot read YAML: it is nested more than 32 levels deep"),
        (GOOD + "  x:\n" + "".join(" " * n + "-\n" for n in range(3, 99)), "38: cannot read YAML: it is nested more than 32 "),
        (GOOD + "  clusterName: 2025-99-99\n", "7: cannot read YAML: '2025-99-99' is no timestamp; text is in quotes"),
        (GOOD + "  clusterName: 0b_\n", "7: cannot read YAML: '0b_' is no int; text is in quotes"),
        (GOOD + "  clusterName: " + "9" * 5000, f"7: cannot read YAML: '{'9' * 40}'... is no int; text is in quotes"),
        (GOOD + "  x: 2001-12-14t21:59:43.10+99:99\n", "7: cannot read YAML: '2001-12-14t21:59:43.10+99:99' is no timestamp"),
        (GOOD + "  x:\n  - !!bool x\n", "8: cannot read YAML: 'x' is no bool"),
        (GOOD + "  x: !!int ''\n", "7: cannot read YAML: '' is no int"),
        (GOOD + "  x: !!timestamp x\n", "7: cannot read YAML: 'x' is no timestamp"),
        (GOOD + "  x: !!binary \u00e9\n", "7: cannot read YAML: failed to convert base64 data into ascii"),
        (GOOD + '  "\\ud800": 1\n', "7: cannot read YAML: '\\ud800' is no text"),
        (GOOD + '  x: "a\\ud800"\n', "7: cannot read YAML: 'a\\ud800' is no text"),
        (GOOD + '  x: "\\UFFFFFFFF"\n', "7: cannot read YAML: there is no such character"),
        (GOOD + '  "\\e[31m\\n": 1\n', "7: cannot read YAML: '\\x1b[31m\\n' cannot be a key"),
        (GOOD + '  store: {pod: {"` - at `$.a`": 1}}\n', "7: cannot read YAML: '` - at `$.a`' cannot be a key"),
        ("%YAML " + "9" * 5000 + ".1\n---\n" + GOOD, "1: cannot read YAML: "),
        (GOOD + "#" * LARGEST, "1: cannot read YAML: it is larger than 1 MiB"),
    ],
)
def test_errors_name_line_and_field_and_what_is_allowed(text: str, error: str) -> None:
    with pytest.raises(BadInput) as raised:
        read(text.encode(), "f.yaml")
    assert str(raised.value).startswith(f"f.yaml:{error}")


def test_what_is_not_utf8_is_named_with_its_line() -> None:
    with pytest.raises(BadInput, match=r"^f:5: cannot read YAML: it is not UTF-8$"):
        read(HEAD.encode() + b"# \xff\n", "f")


def test_few_bytes_are_refused_at_once_whatever_they_would_unfold_to() -> None:
    assert len(BOMB) < 1024
    begun = time.monotonic()
    with pytest.raises(BadInput):
        read(BOMB.encode() + GOOD.encode(), "f")
    assert time.monotonic() - begun < 5


SCALARS = st.sampled_from(
    [
        "!!int ",
        "!!float ",
        "!!bool ",
        "!!timestamp ",
        "!!null ",
        "!!str ",
        "!!set ",
        "!!omap ",
        "!!pairs ",
        "!!binary ",
        "!!map ",
        "",
    ]
)


@given(SCALARS, st.text(st.sampled_from("0123456789abxo-+.:_teTZ '\"~<[]{},?=\\`$"), max_size=20), st.booleans())
def test_any_scalar_is_a_value_or_bad_input(tag: str, value: str, quoted: bool) -> None:
    value = json.dumps(value) if quoted else value
    for text in (
        f"  clusterName: {tag}{value}\n",
        f"  {tag}{value}: 1\n",
        f"  store: {{pod: {{labels: {{{value}: {value}}}}}}}\n",
    ):
        with suppress(BadInput):
            read((GOOD + text).encode(), "f")


@given(st.binary(max_size=60) | st.text(st.sampled_from("ab:-[]{}\n \"'#&*!|>%@`,?~0"), max_size=40).map(str.encode))
def test_any_bytes_are_a_resource_or_bad_input(data: bytes) -> None:
    for text in (data, GOOD.encode() + data):
        with suppress(BadInput):
            read(text, "f")
