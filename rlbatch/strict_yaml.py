"""What does a YAML file say, taken strictly? Plain data with the place of every value; YAML's traps are errors.

Refused are: a key that stands twice, anchors, aliases, merge keys, tags, directives, several documents, keys that are
not text, dates, and every spelling that YAML 1.1 and 1.2 read differently or that a reader may take for something else
(`010`, `0x20`, `1_000`, `12:30`, `yes`, `.5`). `1e-4` is a number, as in YAML 1.2. Nothing is ever constructed from a
file but texts, numbers, true, false, null, lists and mappings.
"""

from __future__ import annotations

import math
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import Reader

from rlbatch.errors import InputError

MAX_BYTES = 2**20
MAX_DEPTH = 20
MAX_VALUES = 10_000

Place = tuple[str | int, ...]
"""The keys and list indices that lead to a value."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MAX_DIGITS = 100
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_REAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_OTHER_BOOLEANS = re.compile(r"(?i)true|false|yes|no|on|off|y|n")
_OTHER_NUMBERS = re.compile(r"(?i)0o[0-7]+|\+[0-9.].*|[-+]?\.(inf|nan)")
_TAG_KINDS = {"int": "a number", "float": "a number", "timestamp": "a date"}


@dataclass(frozen=True)
class Document:
    """What a file says.

    Attributes:
        name: how errors call the file.
        text: as it stands in the file.
        content: the mapping at the top.
        lines: place of a value -> (line, column), both counted from 1.
    """

    name: str
    text: str
    content: dict[str, Any]
    lines: dict[Place, tuple[int, int]] = field(default_factory=dict)

    def where(self, place: Place) -> str:
        """Returns file:line:column of a value, or of the nearest value around it that is known."""
        while place and place not in self.lines:
            place = place[:-1]
        return ":".join(map(str, (self.name, *self.lines.get(place, ()))))

    def origin(self, place: Place) -> str:
        """Returns file:line of a value, as what is recorded names it."""
        return self.where(place).rpartition(":")[0] if place in self.lines else self.name


def read(path: Path) -> Document:
    """Reads a file; raises InputError if it cannot be read, is not UTF-8, or is not strict YAML with a mapping."""
    name = str(path)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(name, "is not a file")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(name, f"cannot be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise InputError(name, f"is larger than {MAX_BYTES:,} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise InputError(f"{name}:{line}", "is not UTF-8", "save it as UTF-8") from error
    return parse(text, name)


def parse(text: str, name: str) -> Document:
    """Reads a text; `name` is how errors call it; raises like `read`."""
    odd = Reader.NON_PRINTABLE.search(text)
    if odd is not None or text.startswith("\ufeff"):
        place = _place(text, odd.start() if odd is not None else 0)
        what = f"holds the character {odd.group()!r}" if odd is not None else "begins with a byte order mark"
        raise InputError(f"{name}:{place}", what, "save it as plain UTF-8")
    document = Document(name, text, {})
    try:
        content = _Builder(document, yaml.parse(text, Loader=_LOADER)).build()
    except yaml.YAMLError as error:
        raise not_yaml(error, name, "indent with spaces" if "\t" in text else "") from error
    document.content.update(content)
    return document


def not_yaml(error: yaml.YAMLError, name: str, hint: str = "") -> InputError:
    """Returns what the parser complains of as one line at file:line:column; `name` is how errors call the file."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return InputError(name, f"is not YAML: {str(error).partition(chr(10))[0]}", hint)
    mark = error.problem_mark or error.context_mark
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark is not None else name
    return InputError(where, f"is not YAML: {error.problem or error.context}", hint)


class _Builder:
    """Builds the data from the parser's events, so that nothing that is refused is ever expanded."""

    def __init__(self, document: Document, events: Iterator[yaml.Event]) -> None:
        self._document = document
        self._events = events
        self._values = 0

    def build(self) -> dict[str, Any]:
        first = self._next()
        while isinstance(first, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            if isinstance(first, yaml.DocumentStartEvent) and (first.version or first.tags):
                raise self._error(first, "holds a directive", "leave out the lines with %")
            first = self._next()
        if isinstance(first, yaml.StreamEndEvent):
            raise InputError(self._document.name, "is empty")
        if not isinstance(first, yaml.MappingStartEvent):
            raise self._error(first, "is not a mapping at the top", "write field: value, one a line")
        content: dict[str, Any] = self._value(first, ())
        self._next()  # the end of the document
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            raise self._error(after, "holds a second document", "one file is one experiment: remove the ---")
        return content

    def _next(self) -> yaml.Event:
        return next(self._events)

    def _value(self, event: yaml.Event, place: Place) -> Any:
        self._check(event, place)
        self._document.lines.setdefault(place, _start(event))
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(event := self._next(), yaml.SequenceEndEvent):
                items.append(self._value(event, (*place, len(items))))
            return items
        return self._mapping(place)

    def _mapping(self, place: Place) -> dict[str, Any]:
        content: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            self._check(event, place)
            key = self._scalar(event) if isinstance(event, yaml.ScalarEvent) else None
            if not isinstance(key, str):
                raise self._error(event, "has a key that is not text", "quote it, or write a name")
            here = (*place, key)
            if key in content:
                before = self._document.lines[here][0]
                raise self._error(event, f"{key!r} stands twice, before in line {before}", "keep one of them")
            self._document.lines[here] = _start(event)
            content[key] = None
            content[key] = self._value(self._next(), here)
        return content

    def _check(self, event: yaml.Event, place: Place) -> None:
        """Refuses what YAML can do and this reader does not."""
        self._values += 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise self._error(event, "holds an anchor or alias (& or *)", "write the value out, or quote the text")
        if tag := getattr(event, "tag", None):
            raise self._error(event, f"holds the tag {tag!r}", "tags are not allowed")
        if len(place) > MAX_DEPTH:
            raise self._error(event, f"is nested more than {MAX_DEPTH} deep")
        if self._values > MAX_VALUES:
            raise self._error(event, f"holds more than {MAX_VALUES:,} values")

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text: str = event.value
        if event.style:  # quoted, or a block of text
            return text
        if text in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[text]
        if _REAL.fullmatch(text):
            return self._number(event)
        kind = _kind_for_others(text)
        if kind == "nothing":
            raise self._error(event, "has no value", "write one, or null")
        if kind:
            raise self._error(event, f"{text!r} is {kind} to some readers of YAML", _spelling(text, kind))
        return text

    def _number(self, event: yaml.ScalarEvent) -> int | float:
        text = event.value
        if len(text) > _MAX_DIGITS:
            raise self._error(event, f"{text[:20]}... has too many digits")
        if _INTEGER.fullmatch(text):
            return int(text)
        value = float(text)
        if math.isinf(value) or (value == 0 and re.search("[1-9]", text.lower().partition("e")[0])):
            raise self._error(event, f"{text} is out of the range of numbers")
        return value

    def _error(self, event: yaml.Event, what: str, hint: str = "") -> InputError:
        line, column = _start(event)
        return InputError(f"{self._document.name}:{line}:{column}", what, hint)


def _start(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def _kind_for_others(text: str) -> str:
    """Returns what another reader of YAML would take an unquoted text for, or the empty string if that is text."""
    if text in ("", "~") or text.lower() == "null":
        return "nothing"
    if _OTHER_BOOLEANS.fullmatch(text):
        return "true or false"
    if _OTHER_NUMBERS.fullmatch(text):
        return "a number"
    for tag, pattern in yaml.SafeLoader.yaml_implicit_resolvers.get(text[0], ()):
        if pattern.match(text):
            return _TAG_KINDS.get(tag.rpartition(":")[2], "a merge key")
    return ""


def _spelling(text: str, kind: str) -> str:
    if kind == "true or false":
        return 'write true or false, or quote the text: "..."'
    if kind == "a number":
        return "write it in plain decimal digits, such as 32, 0.5 or 1.0e-4, or quote the text"
    return "write every value out" if kind == "a merge key" else f'quote it: "{text[:40]}"'


def _place(text: str, offset: int) -> str:
    line = text.count("\n", 0, offset) + 1
    return f"{line}:{offset - (text.rfind(chr(10), 0, offset) + 1) + 1}"
