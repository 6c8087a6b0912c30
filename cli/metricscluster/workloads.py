"""Environment variables put into the text of workloads, which stays as it is: comments, order, quotes. No I/O.

The text is parsed to know where containers are, pieces are put in, and what has come out is parsed again: it must be what was
there and the variables, else nothing is changed (BadInput). So is YAML that is not read: aliases, too much, too deep.
JSON is YAML, and stays JSON. Documents without workloads are not even looked into, as far as their `kind` is plain to see.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from metricscluster.document import text_of
from metricscluster.podspecs import POD_SPECS, Agents, Container, Entry, Path, at, containers
from metricwire.errors import BadInput

LARGEST = 32 * 1024 * 1024  # bytes of all documents: charts are long
DEEPEST = 100  # levels of nesting
_SPLIT = re.compile(r"^(?=---(?:[ \t\r\n]|$))", re.MULTILINE)
_KIND = re.compile(r"^kind:[ \t]*[\"']?([A-Za-z]+)[\"']?[ \t]*(?:#.*)?\r?$", re.MULTILINE)
_REST = re.compile(r"[ \t]*(?:[ \t]#[^\r\n]*)?(?=\r?\n|$)")
_NOTHING = ("#", "%", "...")  # what lines that say nothing begin with
_NULL = "tag:yaml.org,2002:null"


class Injected(NamedTuple):
    """The text with the variables, and what people should know of it."""

    text: str
    containers: int  # that got variables
    seen: int  # that there are
    notes: list[str]


def inject(data: bytes, source: str, agents: Agents) -> Injected:
    """Put the variables into all workloads of the documents; `source` is the file's name in errors and notes. BadInput."""
    text = text_of(data, source, LARGEST)
    parts, notes, changed, seen, line = [], [], 0, 0, 1
    for part in _SPLIT.split(text):
        document = _Document(part, source, line)
        parts.append(document.inject(agents.entries()) if document.may_have_workloads() else part)
        notes += document.notes
        changed += document.changed
        seen += document.seen
        line += part.count("\n")
    return Injected("".join(parts), changed, seen, notes)


class _Edit(NamedTuple):
    """Text to put in place of text[start:end]."""

    start: int
    end: int
    text: str


class _Document:
    """One document; `line` is that of its beginning in the file."""

    def __init__(self, text: str, source: str, line: int) -> None:
        self.notes: list[str] = []
        self.changed = self.seen = 0
        self._text = text
        self._source = source
        self._line = line
        self._break = "\r\n" if "\r\n" in text else "\n"

    def may_have_workloads(self) -> bool:
        """False only where that is plain to see; parsing takes long."""
        kinds = _KIND.findall(self._text)
        others = len(kinds) == 1 and kinds[0].removesuffix("List") not in {*POD_SPECS, ""}
        lines = self._text.removeprefix("---").splitlines()
        return not others and any(line.strip() and not line.startswith(_NOTHING) for line in lines)

    def inject(self, wanted: list[Entry]) -> str:
        """The text with the variables."""
        root = self._compose(self._text)
        found = self._value(root)
        edits, added = [], []
        for container in containers(found):
            self.seen += 1
            node = _node(root, container.path)
            otherwise, lacks = container.otherwise(wanted), container.lacks(wanted)
            if otherwise:
                names = " and ".join(otherwise)
                self.notes.append(f"{self._where(node)}: {container.label}: {names} set otherwise; left alone")
            elif lacks:
                edits.append(self._edit(node, lacks, container))
                added.append((container.path, lacks))
        if not edits:
            return self._text
        text = self._text
        for edit in sorted(edits, reverse=True):
            text = text[: edit.start] + edit.text + text[edit.end :]
        self._check(text, found, added)
        self.changed = len(edits)
        return text

    def _edit(self, node: yaml.Node, entries: list[Entry], container: Container) -> _Edit:
        """Variables come first: those after them may refer to them by $(NAME)."""
        env = _child(node, "env")
        flow = ", ".join(json.dumps(entry) for entry in entries)
        edit = None
        if env is None and isinstance(node, yaml.MappingNode):
            edit = self._new_env(node, entries, flow)
        elif isinstance(env, yaml.SequenceNode):
            start = env.start_mark.index
            if self._text[start] == "[":
                edit = _Edit(start + 1, start + 1, flow + (", " if env.value else ""))
            elif self._text[start] == "-":
                column = " " * env.start_mark.column
                edit = _Edit(start, start, "".join(line + self._break + column for line in _block(entries)))
        elif isinstance(env, yaml.ScalarNode) and env.tag == _NULL:
            start, end = env.start_mark.index, env.end_mark.index
            edit = _Edit(start, end, f"[{flow}]" if start < end else f" [{flow}]")
        if edit is None:
            raise self._unusual(node, container.label)
        return edit

    def _new_env(self, node: yaml.MappingNode, entries: list[Entry], flow: str) -> _Edit | None:
        """After the opening brace, or in lines of its own after one that holds all of another field's value."""
        start = node.start_mark.index
        if node.flow_style:
            return _Edit(start + 1, start + 1, f'"env": [{flow}], ') if self._text[start] == "{" else None
        for wanted in ("image", "name", None):
            for key, value in node.value:
                if isinstance(value, yaml.ScalarNode) and value.style not in {"|", ">"} and wanted in {key.value, None}:
                    rest = _REST.match(self._text, value.end_mark.index)
                    if rest and value.end_mark.index > value.start_mark.index:
                        indent = self._break + " " * key.start_mark.column
                        lines = ["env:", *(f"  {line}" for line in _block(entries))]
                        return _Edit(rest.end(), rest.end(), "".join(indent + line for line in lines))
        return None

    def _check(self, text: str, before: object, added: list[tuple[Path, list[Entry]]]) -> None:
        """The new text must say what the old one said, and have the variables. BadInput when it does not."""
        unusual = BadInput(f"{self._source}:{self._line}: cannot inject into this document: write it in the usual form")
        try:
            after = self._value(self._compose(text))
        except BadInput as error:
            raise unusual from error
        for path, entries in added:
            container, was = at(after, path), at(before, path)
            env = container.get("env") if isinstance(container, dict) else None
            if not isinstance(env, list) or env[: len(entries)] != entries:
                raise unusual
            if env[len(entries) :]:
                container["env"] = env[len(entries) :]
            elif "env" in was:
                container["env"] = was["env"]
            else:
                del container["env"]
        if _sorted(after) != _sorted(before):
            raise unusual

    def _compose(self, text: str) -> yaml.Node | None:
        try:
            loader = _Loader(text)
            root: yaml.Node | None = loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            raise self._unreadable(error) from error
        except yaml.reader.ReaderError as error:
            line = self._line + text.count("\n", 0, error.position)
            raise BadInput(f"{self._source}:{line}: cannot read YAML: {error.reason}") from error
        except (ValueError, OverflowError) as error:  # of chr() and int() within the scanner
            raise BadInput(f"{self._source}:{self._line}: cannot read YAML: there is no such character or number") from error
        return root

    def _value(self, root: yaml.Node | None) -> object:
        try:
            return None if root is None else yaml.constructor.SafeConstructor().construct_document(root)
        except yaml.MarkedYAMLError as error:
            raise self._unreadable(error) from error
        except (
            ValueError,
            LookupError,
            AttributeError,
            TypeError,
            ArithmeticError,
        ) as error:  # of values that do not fit their tag
            raise BadInput(f"{self._source}:{self._line}: cannot read YAML: {error}") from error

    def _unreadable(self, error: yaml.MarkedYAMLError) -> BadInput:
        line = self._line + (error.problem_mark.line if error.problem_mark else 0)
        return BadInput(f"{self._source}:{line}: cannot read YAML: {error.problem}")

    def _unusual(self, node: yaml.Node, label: str) -> BadInput:
        return BadInput(f"{self._where(node)}: cannot inject into {label}: write the container and its env in the usual form")

    def _where(self, node: yaml.Node) -> str:
        return f"{self._source}:{self._line + node.start_mark.line}"


class _Loader(yaml.SafeLoader):
    """Composes nodes without aliases, within DEEPEST."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node, and what is in it."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        mark: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem=f"alias *{event.anchor}: write the value again instead", problem_mark=mark)
        if self.depth == DEEPEST:
            raise yaml.MarkedYAMLError(problem=f"it is nested more than {DEEPEST} levels deep", problem_mark=mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _block(entries: list[Entry]) -> Iterator[str]:
    """Lines of a block sequence."""
    for entry in entries:
        yield f"- name: {entry['name']}"
        if "value" in entry:
            yield f"  value: {json.dumps(entry['value'])}"
        else:
            yield from ("  valueFrom:", "    fieldRef:", f"      fieldPath: {entry['valueFrom']['fieldRef']['fieldPath']}")


def _node(root: yaml.Node | None, path: Path) -> yaml.Node:
    """The node that a path of the value leads to."""
    node = root
    for key in path:
        node = node.value[key] if isinstance(key, int) and isinstance(node, yaml.SequenceNode) else _child(node, str(key))
    assert node is not None  # the path is of a container that was found
    return node


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """The value of a key; of one that is given twice the last, as in its value."""
    found = None
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if isinstance(name, yaml.ScalarNode) and name.value == key:
                found = value
    return found


def _sorted(found: object) -> str:
    """A text that is the same for the same value, whatever the order of its keys."""
    if isinstance(found, dict):
        return "{" + ",".join(sorted(f"{key!r}:{_sorted(value)}" for key, value in found.items())) + "}"
    if isinstance(found, list):
        return "[" + ",".join(map(_sorted, found)) + "]"
    return repr(found)
