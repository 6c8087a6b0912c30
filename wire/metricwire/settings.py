"""JSON settings to frozen msgspec structs: one reader for all programs, with errors that name file and field."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from metricwire.errors import SettingsError

NODE_NAME = "METRICSCLUSTER_NODE_NAME"  # set in pods from spec.nodeName: their own host name is the pod's

Settings = TypeVar("Settings", bound=msgspec.Struct)


def parse(text: bytes, source: str) -> dict[str, Any]:
    """The JSON object in `text`; `source` names it in errors. SettingsError when it is none."""
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"cannot read settings {source}: {error}") from error
    if not isinstance(found, dict):
        raise SettingsError(f"cannot read settings {source}: expected a JSON object")
    return found


def convert(found: Mapping[str, Any], form: type[Settings], source: str) -> Settings:
    """`found` as a `form`; SettingsError names the field that does not fit and what was expected there."""
    try:
        return msgspec.convert(found, form)
    except msgspec.ValidationError as error:
        raise SettingsError(f"cannot use settings {source}: {error}") from error
