"""The MetricsCluster in a YAML file. No I/O: text in, the operator's typed resource out, or where it is wrong.

Errors read `FILE:LINE: spec.store.storage.size: <what is allowed>`.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from metricsoperator import spec
from metricsoperator.names import KIND
from metricwire.errors import BadInput

_STEP = re.compile(r"([^.\[\]]+)|\[([0-9]+)\]")  # of a path such as spec.metrics[3].name


def read(data: bytes, source: str) -> spec.MetricsCluster:
    """The one MetricsCluster in `data`, documents of other kinds aside; `source` is the file's name in errors. BadInput."""
    node = _only(_composed(data, source), source)
    document = _constructed(node, source)
    metadata = document.get("metadata")
    if isinstance(metadata, Mapping):  # what only an API server sets is nothing to us
        document["metadata"] = {key: metadata[key] for key in ("name", "namespace") if key in metadata}
    try:
        return spec.parse(document)
    except BadInput as error:
        path = str(error).partition(": ")[0]
        raise BadInput(f"{source}:{_line(node, path)}: {error}") from error


def _composed(data: bytes, source: str) -> list[yaml.Node]:
    """The documents of the file, as nodes that know their lines."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{source}:{line}: cannot read YAML: it is not UTF-8") from error
    try:
        return [node for node in yaml.compose_all(text, yaml.SafeLoader) if node]
    except yaml.MarkedYAMLError as error:
        raise _unreadable(error, source) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BadInput(f"{source}:{line}: cannot read YAML: {error.reason}") from error
    except RecursionError as error:
        raise BadInput(f"{source}:1: cannot read YAML: it is nested too deeply") from error


def _constructed(node: yaml.Node, source: str) -> dict[str, Any]:
    """A document's value; keys that are given twice are errors, as they are for kubectl."""
    _refuse_twins(node, source)
    try:
        found: dict[str, Any] = yaml.constructor.SafeConstructor().construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise _unreadable(error, source) from error
    return found


def _unreadable(error: yaml.MarkedYAMLError, source: str) -> BadInput:
    line = error.problem_mark.line + 1 if error.problem_mark else 1
    return BadInput(f"{source}:{line}: cannot read YAML: {error.problem}")


def _refuse_twins(node: yaml.Node, source: str) -> None:
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise BadInput(f"{source}:{key.start_mark.line + 1}: cannot read YAML: key {key.value!r} is given twice")
                seen.add(key.value)
            _refuse_twins(value, source)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_twins(item, source)


def _only(nodes: list[yaml.Node], source: str) -> yaml.Node:
    """The document of our kind."""
    kinds = [_kind(node) for node in nodes]
    ours = [node for node, kind in zip(nodes, kinds, strict=True) if kind == KIND]
    if not ours:
        found = ", ".join(dict.fromkeys(kind for kind in kinds if kind)) if any(kinds) else "nothing with a kind"
        raise BadInput(f"{source}:1: kind: expected a document of kind {KIND}, found {found}")
    if len(ours) > 1:
        raise BadInput(f"{source}:{ours[1].start_mark.line + 1}: kind: expected one {KIND}, found {len(ours)}")
    return ours[0]


def _kind(node: yaml.Node) -> str:
    found = _child(node, "kind")
    return str(found[1].value) if found and isinstance(found[1], yaml.ScalarNode) else ""


def _child(node: yaml.Node, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    """Key and value of an entry of a mapping."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if isinstance(name, yaml.ScalarNode) and name.value == key:
                return name, value
    return None


def _line(node: yaml.Node, path: str) -> int:
    """The line of the field at `path`; of a field that is missing, the line of what it is missing in."""
    line = node.start_mark.line
    for key, index in _STEP.findall(path):
        if index and isinstance(node, yaml.SequenceNode) and int(index) < len(node.value):
            node = node.value[int(index)]
            line = node.start_mark.line
        elif key and (found := _child(node, key)):
            line, node = found[0].start_mark.line, found[1]
        else:
            break
    return int(line) + 1
