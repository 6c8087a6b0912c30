"""What clients would like: the examples of RFC 9110, Prometheus' own header, and nonsense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricwire.accept import coding, media
from metricwire.exposition import Format, negotiate

PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize(
    ("header", "quality"),
    [
        (None, 1.0),
        ("", 1.0),
        ("application/json", 1.0),
        ("application/JSON; q=0.5", 0.5),
        ("text/*, application/*;q=0.3", 0.3),
        ("*/*;q=0.1", 0.1),
        ("application/json;q=0, */*", 0.0),
        ("text/html", 0.0),
        ("application/json;q=x", 0.0),
        ("application/json;q=7", 1.0),
        ("application/json;q=0.2, application/json;q=0.4", 0.4),
    ],
)
def test_media(header: str | None, quality: float) -> None:
    assert media(header, "application/json").quality == quality


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("GZIP;q=0.1", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("*", True),
        ("br, deflate", False),
        ("identity", False),
    ],
)
def test_coding(header: str | None, allowed: bool) -> None:
    assert coding(header, "gzip") == allowed


@pytest.mark.parametrize(
    ("header", "form"),
    [
        (None, Format.TEXT),
        ("*/*", Format.TEXT),
        ("text/plain", Format.TEXT),
        (PROMETHEUS, Format.OPENMETRICS),
        ("application/openmetrics-text", Format.OPENMETRICS),
        ('application/openmetrics-text; version="1.0.0"', Format.OPENMETRICS),
        ("application/openmetrics-text; version=2.0.0, text/plain", Format.TEXT),
        ("application/openmetrics-text;q=0.2, text/plain;q=0.3", Format.TEXT),
        ("application/openmetrics-text;q=0.3, text/plain;q=0.2", Format.OPENMETRICS),
        ("application/openmetrics-text, text/plain", Format.TEXT),
        ("application/openmetrics-text, */*", Format.OPENMETRICS),
        ("application/openmetrics-text;q=0, */*", Format.TEXT),
        ("application/*", Format.OPENMETRICS),
        ("image/png", Format.TEXT),
    ],
)
def test_exposition(header: str | None, form: Format) -> None:
    assert negotiate(header) is form


@given(st.text())
def test_any_header_is_understood(header: str) -> None:
    assert 0 <= media(header, "text/plain").quality <= 1
    assert coding(header, "gzip") in {True, False}
