"""The settings reader: whatever is in the file, the error is one that a program can say."""

import pytest

from metricwire.errors import SettingsError
from metricwire.settings import parse


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"a":"\xff"}', b'{"\xff":1}', b"[" * 100_000, b"\xef\xbb\xbf{}"])
def test_what_is_no_json_object_is_named(text: bytes) -> None:
    with pytest.raises(SettingsError, match=r"cannot read settings x\.json: "):
        parse(text, "x.json")
