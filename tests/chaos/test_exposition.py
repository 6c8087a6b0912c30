"""T19 (P13): /metrics stays well-formed whatever is in names, labels and values, for the parsers in Python and in Go."""

import json
import math
import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable

from prometheus_client.parser import text_string_to_metric_families

from chaos.conftest import Figures, Size
from chaos.names import escaped
from chaos.program import Program

SIGNS = ["\\", '"', "'", "%", "{", "}", "#", " ", "=", ",", "a", "n", "\u00e9", "\U0001f600", "\u202e"]
CONTROL = ["\u2028", "\r", "\t", "\x00", "\x1b", "\x7f", "\x85"]
TAGS = ["x", "le", "quantile", "__name__", "__x", "job", "instance", "0", "a-b", "a.b", "\u00e9", "cluster_", "owner", "a b"]
METRICS = [
    "load",
    "a.b",
    "9lives",
    "\u00e9t\u00e9",
    "a-b",
    "x_total",
    "x_bucket",
    "x_sum",
    "__m",
    "a:b",
    "HELP",
    "# TYPE x",
    'a"b',
    "NaN",
]
VALUES = ["1", "-0.0", "1e308", "5e-324", "3i", "7u", "0.1"]


def one_set(rng: random.Random, number: int) -> tuple[bytes, str]:
    """A line, and the value of the tag `id` in it that only it has."""
    signs = SIGNS + CONTROL if rng.random() < 0.2 else SIGNS
    unique = f"{number}-" + "".join(rng.choices(signs, k=rng.randrange(1, 12))) + "."
    if rng.random() < 0.01:
        unique = f"{number}-" + "x" * 60_000
    tags = [(tag, "".join(rng.choices(signs, k=rng.randrange(1, 6)))) for tag in rng.sample(TAGS, rng.randrange(4))]
    text = b"".join(b"," + escaped(name) + b"=" + escaped(value) for name, value in [*tags, ("id", unique)])
    metric = escaped(rng.choice(METRICS), (",", " "))
    place = rng.choice([b"", b",type=core,type-id=0", b",type=container,type-id=" + b"a" * 64])
    return metric + b",cluster=c,hostname=h" + place + text + b" value=" + rng.choice(
        VALUES
    ).encode() + b" %d" % time.time(), unique


def test_t19_the_exposition_stays_well_formed(
    make_program: Callable[..., Program], size: Size, rng: random.Random, figures: Figures
) -> None:
    store = make_program().run()
    taken, refused = [], 0
    for number in range(count := size.pick(150, 5_000)):
        line, unique = one_set(rng, number)
        answer = store.ask("POST", "/api/write", line)
        assert answer.status in (200, 400), answer.text
        refused += answer.status == 400
        if answer.status == 200 and not line.startswith(b"#"):
            taken.append(unique)
    answer = store.ask("GET", "/metrics", port=store.ops)
    assert answer.status == 200
    families = list(text_string_to_metric_families(answer.text))
    found = Counter(sample.labels["id"] for family in families for sample in family.samples if "id" in sample.labels)
    series = Counter((sample.name, tuple(sorted(sample.labels.items()))) for family in families for sample in family.samples)
    lost = [unique for unique in taken if not found[unique]]
    types = Counter(line.split()[2] for line in answer.text.splitlines() if line.startswith("# TYPE "))
    finite = sum(math.isfinite(sample.value) for family in families for sample in family.samples)
    go = go_parser(answer.text)
    figures(
        f"T19: {count} sets, {refused} refused by name, {len(taken)} shown; {len(lost)} labels changed on the way, "
        f"{len(families)} families, {max(series.values()) - 1} series and {max(types.values()) - 1} TYPE lines twice; "
        f"{finite} finite values; Go's parser (promtool): {go}"
    )
    assert not lost, json.dumps(lost[:10])
    assert max(series.values()) == 1
    assert max(types.values()) == 1
    assert go in ("parses", NO_PROMTOOL)
    assert not any(
        line.startswith(("#", "-")) and not line.startswith(("# HELP ", "# TYPE ")) for line in answer.text.split("\n")
    )


NO_PROMTOOL = "not tried, Debian's package prometheus is not installed"


def go_parser(text: str) -> str:
    """What Prometheus's own parser says; lint remarks on names are not about form."""
    tool = shutil.which("promtool")
    if tool is None:
        return NO_PROMTOOL
    done = subprocess.run([tool, "check", "metrics"], input=text.encode(), capture_output=True, timeout=60, check=False)
    said = (done.stdout + done.stderr).decode()
    return "parses" if done.returncode in (0, 3) and "error while linting" not in said else said[:500]
