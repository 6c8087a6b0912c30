"""The MetricsCluster in a YAML file. No I/O: text in, the operator's typed resource out, or where it is wrong.

Errors read `FILE:LINE: spec.store.storage.size: <what is allowed>`. Any bytes are a resource or BadInput: YAML is read without
aliases (a few hundred bytes of them unfold to gigabytes, or never end), and within bounds of size and depth.
"""

import re
from collections.abc import Mapping
from typing import Any

import yaml

from metricsoperator import spec
from metricsoperator.names import KIND
from metricwire.errors import BadInput

LARGEST = 1024 * 1024  # bytes of a file; an API server takes no larger object
DEEPEST = 32  # levels of nesting; a MetricsCluster has 10
_SHOWN = 40  # characters of a value in an error
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


def text_of(data: bytes, source: str, most: int) -> str:
    """The text of a YAML file of at most so many bytes. BadInput."""
    if len(data) > most:
        raise BadInput(f"{source}:1: cannot read YAML: it is larger than {most >> 20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadInput(f"{source}:{line}: cannot read YAML: it is not UTF-8") from error


def _composed(data: bytes, source: str) -> list[yaml.Node]:
    """The documents of the file, as nodes that know their lines."""
    text, loader = text_of(data, source, LARGEST), None
    try:
        loader = _Loader(text)
        return loader.documents()
    except yaml.MarkedYAMLError as error:
        raise _unreadable(error, source) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BadInput(f"{source}:{line}: cannot read YAML: {error.reason}") from error
    except (ValueError, OverflowError) as error:  # of chr() and int() within the scanner
        line = loader.get_mark().line + 1 if loader else 1
        raise BadInput(f"{source}:{line}: cannot read YAML: there is no such character or number") from error


class _Loader(yaml.SafeLoader):
    """Composes nodes without aliases, within DEEPEST, of texts alone."""

    depth = 0

    def documents(self) -> list[yaml.Node]:
        """The root of each document that is not empty."""
        found = []
        while self.check_node():
            node = self.get_node()
            if node:
                found.append(node)
        return found

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node, and what is in it."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _wrong(f"alias *{event.anchor}: write the value again instead", event)
        if self.depth == DEEPEST:
            raise _wrong(f"it is nested more than {DEEPEST} levels deep", event)
        if isinstance(event, yaml.ScalarEvent) and not _is_text(event.value):
            raise _wrong(f"{_short(event.value)} is no text", event)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Constructor(yaml.constructor.SafeConstructor):
    """Makes values; one that does not fit its tag, written or guessed, is an error with a line."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError, ArithmeticError) as error:
            kind = node.tag.rpartition(":")[2]
            raise _wrong(f"{_short(node.value)} is no {kind}; text is in quotes", node) from error


def _wrong(problem: str, where: yaml.Node | yaml.Event) -> yaml.MarkedYAMLError:
    mark: Any = where.start_mark  # of two classes that are one to readers
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _is_text(value: str) -> bool:
    """Whether no half of a pair is in it, which no encoding can carry."""
    return not any("\ud800" <= sign <= "\udfff" for sign in value)


def _short(value: Any) -> str:
    return repr(value) if len(str(value)) <= _SHOWN else f"{str(value)[:_SHOWN]!r}..."


def _constructed(node: yaml.Node, source: str) -> dict[str, Any]:
    """A document's value."""
    _check_keys(node, source)
    try:
        found: dict[str, Any] = _Constructor().construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise _unreadable(error, source) from error
    return found


def _unreadable(error: yaml.MarkedYAMLError, source: str) -> BadInput:
    line = error.problem_mark.line + 1 if error.problem_mark else 1
    return BadInput(f"{source}:{line}: cannot read YAML: {error.problem}")


def _check_keys(node: yaml.Node, source: str) -> None:
    """Keys that are given twice are errors, as they are for kubectl; so are signs that no field, label or annotation has."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if not key.value.isprintable() or "`" in key.value:
                    raise BadInput(f"{source}:{key.start_mark.line + 1}: cannot read YAML: {_short(key.value)} cannot be a key")
                if key.value in seen:
                    raise BadInput(
                        f"{source}:{key.start_mark.line + 1}: cannot read YAML: key {_short(key.value)} is given twice"
                    )
                seen.add(key.value)
            _check_keys(value, source)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(item, source)


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
