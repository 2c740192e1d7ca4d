"""Bounded YAML: any bytes in, plain data with the place of every value out, or problems with line and column.

The subset is JSON's values in YAML's notation: no aliases, no tags, no second document; only `true` and `false` are
booleans. Events are read one by one, so that neither depth nor expansion can cost more than the text itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from agentflow.errors import DocumentError, Problem, quoted

MAX_BYTES = 1_000_000
MAX_DEPTH = 64
MAX_PROBLEMS = 50
Key = str | int
Where = tuple[Key, ...]

_INT = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_ODD = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Tree:
    """A document as plain data, and where its keys and values stand (line and column from 1)."""

    file: str
    data: Any = None
    values: dict[Where, tuple[int, int]] = field(default_factory=dict)
    keys: dict[Where, tuple[int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    unread: set[Where] = field(default_factory=set)  # values that stand in for what could not be read

    def add(self, path: Where, message: str, hint: str | None = None, *, key: bool = False) -> None:
        """Note a problem at a key or value of the document; what is missing stands at what holds it."""
        if any(path[:end] in self.unread for end in range(len(path) + 1)):
            return  # a consequence of what is noted already
        line, column = self.place(path, key=key)
        self.problems.append(Problem(self.file, line, column, dotted(path), message, hint))

    def place(self, path: Where, *, key: bool = False) -> tuple[int, int]:
        """Line and column of a path, or of the nearest value around it."""
        if key and path in self.keys:
            return self.keys[path]
        for end in range(len(path), -1, -1):
            if path[:end] in self.values:
                return self.values[path[:end]]
        return (1, 1)

    def check(self) -> None:
        """Raise what was noted, in the order of the lines."""
        if self.problems:
            found = sorted(dict.fromkeys(self.problems), key=lambda p: (p.line, p.column))
            if len(found) > MAX_PROBLEMS:
                last = found[MAX_PROBLEMS]
                more = f"and {len(found) - MAX_PROBLEMS} more problems from here on"
                found = [*found[:MAX_PROBLEMS], Problem(self.file, last.line, last.column, "", more)]
            raise DocumentError(found)


def dotted(path: Where) -> str:
    """Write a path as `steps.plan.needs.0`."""
    return ".".join(map(str, path))


def read_tree(text: str | bytes, file: str) -> Tree:
    """Read a document; numbers out of bounds and keys that stand twice are noted in it, and reading goes on.

    Raises
    ------
    DocumentError
        If it is no document of the subset.
    """
    tree = Tree(file)
    decoded = _decode(text, tree)
    try:
        _build(yaml.parse(decoded, Loader=_LOADER), tree)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = (error.problem or "is not YAML").replace("\n", " ")
        _fail(tree, at, f"is not YAML: {what}", "check indentation, quotes, brackets and colons")
    except (yaml.YAMLError, UnicodeError, ValueError, RecursionError) as error:
        if isinstance(error, DocumentError):
            raise
        _fail(tree, (1, 1), "is not YAML that can be read", "check quotes and escapes")
    return tree


def _fail(tree: Tree, at: tuple[int, int], message: str, hint: str) -> None:
    raise DocumentError([*tree.problems, Problem(tree.file, *at, "", message, hint)])


def _decode(text: str | bytes, tree: Tree) -> str:
    if len(text) > MAX_BYTES:
        _fail(tree, (1, 1), f"is larger than {MAX_BYTES:,} bytes", "split it, or move samples to a file")
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before: bytes = error.object[: error.start]
            at = (before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1)
            _fail(tree, at, "is not text in UTF-8", "save it as UTF-8")
    assert isinstance(text, str)
    text = text.removeprefix("\ufeff")
    odd = _ODD.search(text)
    if odd:
        start = odd.start()
        at = (text.count("\n", 0, start) + 1, start - (text.rfind("\n", 0, start) + 1) + 1)
        _fail(tree, at, f"holds the character U+{ord(odd.group()):04X}, which does not print", "remove it")
    return text


@dataclass
class _Open:
    """A mapping or list under construction."""

    value: Any
    path: Where
    key: str | None = None
    skip: bool = False

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, list)


def _build(events: Iterator[Any], tree: Tree) -> None:
    """Build the data from the parser's events, with a stack of its own."""
    stack: list[_Open] = []
    documents = 0
    for event in events:
        at = (event.start_mark.line + 1, event.start_mark.column + 1) if event.start_mark else (1, 1)
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                _fail(tree, at, "holds a second document", "keep one document a file; remove the ---")
        elif isinstance(event, yaml.AliasEvent):
            _fail(
                tree,
                at,
                f"uses the alias {quoted(f'*{event.anchor}')}",
                "write the value out; aliases are not read",
            )
        elif isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            stack.pop()
        elif isinstance(event, yaml.NodeEvent):
            _check_node(event, at, tree)
            _node(event, at, tree, stack)
    if documents == 0:
        _fail(tree, (1, 1), "is empty", "a document begins with schema_version: 1")


def _check_node(event: Any, at: tuple[int, int], tree: Tree) -> None:
    if event.anchor is not None:
        _fail(
            tree,
            at,
            f"uses the anchor {quoted('&' + event.anchor)}",
            "write the value out; anchors are not read",
        )
    if event.tag is not None and event.tag != "!":
        _fail(tree, at, f"uses the tag {quoted(event.tag)}", "remove it; values are read by their form")


def _node(event: Any, at: tuple[int, int], tree: Tree, stack: list[_Open]) -> None:
    top = stack[-1] if stack else None
    if top is not None and not top.is_list and top.key is None:
        _take_key(event, at, tree, top, stack)
        return
    path: Where = ()
    if top is not None:
        path = (*top.path, len(top.value) if top.is_list else str(top.key))
    value: Any
    if isinstance(event, yaml.ScalarEvent):
        value = _scalar(event, path, at, tree)
    else:
        if len(stack) >= MAX_DEPTH:
            _fail(tree, at, f"is nested more than {MAX_DEPTH} deep", "flatten it")
        value = [] if isinstance(event, yaml.SequenceStartEvent) else {}
    skip = top is not None and top.skip
    if not skip:
        tree.values[path] = at
    if top is None:
        tree.data = value
    elif top.is_list:
        top.value.append(value)
    else:
        if not (skip or top.key in top.value):
            top.value[top.key] = value
        top.key = None
    if not isinstance(event, yaml.ScalarEvent):
        stack.append(_Open(value, path, skip=skip))


def _take_key(event: Any, at: tuple[int, int], tree: Tree, top: _Open, stack: list[_Open]) -> None:
    if not isinstance(event, yaml.ScalarEvent):
        _fail(tree, at, "has a mapping or list as a key", "a key is a plain word")
    key = event.value
    path = (*top.path, key)
    if key in top.value:
        first = tree.keys[path][0]
        message = f"the key {quoted(key)} is there twice, first in line {first}"
        tree.problems.append(Problem(tree.file, *at, dotted(top.path), message, "keep one of them"))
    else:
        tree.keys[path] = at
    top.key = key


def _scalar(event: Any, path: Where, at: tuple[int, int], tree: Tree) -> Any:
    text = event.value
    if not event.implicit[0]:
        return text
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if _INT.fullmatch(text):
        if len(text.lstrip("+-0")) > 15:
            return _out_of_bounds(f"the number {quoted(text, 20)} has more than 15 digits", path, at, tree)
        return int(text)
    if len(text) <= 400 and _FLOAT.fullmatch(text):
        number = float(text)
        if number in (float("inf"), float("-inf")):
            return _out_of_bounds(f"the number {quoted(text, 20)} is too large", path, at, tree)
        return number
    return text


def _out_of_bounds(message: str, path: Where, at: tuple[int, int], tree: Tree) -> int:
    tree.problems.append(Problem(tree.file, *at, dotted(path), message, "write a smaller one"))
    tree.unread.add(path)
    return 1
