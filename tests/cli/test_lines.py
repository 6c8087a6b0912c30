"""What a person sees of the programs' output."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricscluster import guide
from metricscluster.lines import event, shown
from metricscluster.ports import Ports
from metricscluster.terminal import LONGEST, printable


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('{"time":"t","level":"info","logger":"x","message":"ready"}', "ready"),
        ('{"level":"warning","message":"store away"}', "warning: store away"),
        ('{"level":"error","message":"no","traceback":"..."}', "error: no"),
        ('{"level":"critical","message":"no"}', "critical: no"),
        ('{"level":"info","message":"a\\nb\\u001b[31mc"}', "a b [31mc"),
        ('{"level":"debug","message":"x"}', None),
        ('{"level":"info"}', None),
        ('{"level":"info","message":1}', None),
        ("Traceback (most recent call last):", None),
        ("[" * 100_000, None),
        ("", None),
    ],
)
def test_events(line: str, text: str | None) -> None:
    found = event(line)
    assert (found.text if found else None) == text


@given(st.text())
def test_any_line_is_an_event_or_none(line: str) -> None:
    event(line)


def test_a_line_for_people() -> None:
    assert shown("12:00:05", "up", "stopping") == "12:00:05  up     stopping"


def test_the_guide_is_ready_to_be_pasted(tmp_path: object) -> None:
    import subprocess
    from pathlib import Path

    token_file = Path(str(tmp_path)) / "a b" / "token"
    text = guide.text(
        cluster="fritz",
        host="it's",
        ports=Ports(),
        statsd=8125,
        token="t",
        token_file=token_file,
        directory=token_file.parent,
        interval=10.0,
    )
    query, node, grep = (line.strip() for line in text.splitlines() if line.startswith("  curl"))
    done = subprocess.run(
        ["bash", "-c", f"curl() {{ printf '%s|' \"$@\"; }}; {query}"], capture_output=True, text=True, check=True
    )
    *_, url, _, body, _ = done.stdout.split("|")
    assert url == "http://127.0.0.1:8082/api/query"
    import json

    found = json.loads(body)
    assert found["to"] - found["from"] in (300, 301)
    assert found["queries"] == [{"metric": "load_one", "host": "it's"}]
    assert f"cat '{token_file}'" in node
    assert grep == "curl -s http://127.0.0.1:8083/metrics | grep ^cpu_user"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("f.yaml:5: größe 10 Ki", "f.yaml:5: größe 10 Ki"),
        ("a\x1b[31m\r\nb", "a\\x1b[31m\\r\\nb"),
        ("\u2028\u202e\x85\ud800\0", "\\u2028\\u202e\\x85\\ud800\\x00"),
        ("x" * 9999, "x" * LONGEST + "..."),
    ],
)
def test_an_error_is_one_line_whatever_is_in_it(text: str, line: str) -> None:
    assert printable(text) == line


@given(st.text(st.characters()))
def test_no_text_moves_the_cursor(text: str) -> None:
    assert printable(text).isprintable()
