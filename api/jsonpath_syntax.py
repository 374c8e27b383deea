"""The grammar of kubectl's JSONPath: from a template's text to nodes. Pure; JSONPathError when malformed.

Meaning is given to the nodes by jsonpath.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


class JSONPathError(ValueError):
    """The template cannot be parsed, or does not fit the value."""


@dataclass(frozen=True, slots=True)
class Literal:
    """Text, number or boolean written in the template. Text outside braces is one too."""

    value: str | int | float | bool


@dataclass(frozen=True, slots=True)
class Field:
    name: str


@dataclass(frozen=True, slots=True)
class Wildcard:
    pass


@dataclass(frozen=True, slots=True)
class Recursive:
    pass


@dataclass(frozen=True, slots=True)
class Slice:
    start: int | None
    stop: int | None
    step: int | None
    single: bool = False


@dataclass(frozen=True, slots=True)
class Filter:
    left: tuple[Node, ...]
    operator: str
    right: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Union:
    paths: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True, slots=True)
class Range:
    path: tuple[Node, ...]
    body: tuple[tuple[Node, ...] | Range, ...]


Node = Literal | Field | Wildcard | Recursive | Slice | Filter | Union
Block = tuple[Node, ...] | Range

_INDEX = re.compile(r"^(-?\d*)(?::(-?\d*))?(?::(-?\d*))?$")
_COMPARISON = re.compile(r"^([^!<>=]+)([!<>=]+)(.+?)$", re.DOTALL)
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_WORD = re.compile(r"[A-Za-z_]+")
_FIELD_ENDS = set(" \t\r\n.,[]$@{}")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "a": "\a", "b": "\b", "f": "\f"}


def parse_template(text: str) -> tuple[Block, ...]:
    """Blocks of the template, `range … end` nested."""
    stack: list[list[Block]] = [[]]
    open_ranges: list[tuple[Node, ...]] = []
    position = 0
    while position < len(text):
        brace = text.find("{", position)
        if brace < 0:
            stack[-1].append((Literal(text[position:]),))
            break
        if brace > position:
            stack[-1].append((Literal(text[position:brace]),))
        end = _closing(text, brace)
        word, path = _parse_action(text[brace + 1 : end])
        if word == "range":
            open_ranges.append(path)
            stack.append([])
        elif word == "end":
            if not open_ranges:
                raise JSONPathError("not in range, nothing to end")
            body = tuple(stack.pop())
            stack[-1].append(Range(open_ranges.pop(), body))
        else:
            stack[-1].append(path)
        position = end + 1
    while open_ranges:  # upstream accepts a range that is never ended
        body = tuple(stack.pop())
        stack[-1].append(Range(open_ranges.pop(), body))
    return tuple(stack[0])


def _closing(text: str, brace: int) -> int:
    quote = ""
    at = brace + 1
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "}":
            return at
        at += 1
    raise JSONPathError("unclosed action")


def _parse_action(text: str) -> tuple[str, tuple[Node, ...]]:
    """(`range`, `end` or "", nodes) of what stands between braces."""
    text = text.strip()
    match = _WORD.match(text)
    if match and match[0] in ("range", "end"):
        return match[0], _parse_path(text[match.end() :])
    return "", _parse_path(text)


def _parse_path(text: str) -> tuple[Node, ...]:
    nodes: list[Node] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char in " \t\r\n@$":
            at += 1
        elif text.startswith("..", at):
            nodes.append(Recursive())
            at += 1 if at + 2 < len(text) and text[at + 2] not in "[*" else 2
            if text.startswith("*", at):
                nodes.append(Wildcard())
                at += 1
        elif text.startswith(".*", at):
            nodes.append(Wildcard())
            at += 2
        elif char == ".":
            name, at = _field_name(text, at + 1)
            nodes.append(Field(name))
        elif char == "[":
            end = _bracket(text, at)
            nodes += _parse_bracket(text[at + 1 : end])
            at = end + 1
        elif char in "'\"":
            end = _quote_end(text, at)
            nodes.append(Literal(_unescape(text[at + 1 : end])))
            at = end + 1
        elif number := _NUMBER.match(text, at):
            nodes.append(Literal(float(number[0]) if "." in number[0] else int(number[0])))
            at = number.end()
        elif word := _WORD.match(text, at):
            if word[0] not in ("true", "false"):
                raise JSONPathError(f"unrecognized identifier {word[0]}")
            nodes.append(Literal(word[0] == "true"))
            at = word.end()
        else:
            raise JSONPathError(f"unrecognized character in action: {_codepoint(char)}")
    return tuple(nodes)


def _codepoint(char: str) -> str:
    return f"U+{ord(char):04X} '{char}'"


def _field_name(text: str, at: int) -> tuple[str, int]:
    name = []
    while at < len(text) and text[at] not in _FIELD_ENDS:
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
        name.append(text[at])
        at += 1
    return "".join(name), at


def _quote_end(text: str, at: int) -> int:
    quote = text[at]
    end = at + 1
    while end < len(text):
        if text[end] == "\\":
            end += 1
        elif text[end] == quote:
            return end
        end += 1
    raise JSONPathError("unterminated quoted string")


def _bracket(text: str, at: int) -> int:
    """The `]` that closes the `[` at `at`; quotes and inner brackets are skipped."""
    depth, end = 0, at
    while end < len(text):
        char = text[end]
        if char in "'\"":
            end = _quote_end(text, end)
        elif char == "[":
            depth += 1
        elif char == "]":
            depth -= 1
            if depth == 0:
                return end
        end += 1
    raise JSONPathError("unterminated array" if "?(" not in text[at:] else "unterminated filter")


def _parse_bracket(text: str) -> tuple[Node, ...]:
    text = text.strip()
    if text.startswith("?("):
        if not text.endswith(")"):
            raise JSONPathError("unterminated filter")
        return (_parse_filter(text[2:-1]),)
    parts = _split_union(text)
    if len(parts) > 1:
        return (Union(tuple(_parse_subscript(part.strip()) for part in parts)),)
    return _parse_subscript(text)


def _split_union(text: str) -> list[str]:
    parts, start, at = [], 0, 0
    while at < len(text):
        if text[at] in "'\"":
            at = _quote_end(text, at)
        elif text[at] == ",":
            parts.append(text[start:at])
            start = at + 1
        at += 1
    return [*parts, text[start:]]


def _parse_subscript(text: str) -> tuple[Node, ...]:
    if text == "*":
        return (Slice(None, None, None),)
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return _parse_path(f".{text[1:-1]}")  # a quoted key is a path: a dot in a name is written \\.
    match = _INDEX.match(text)
    if match is None or not text:
        raise JSONPathError(f"invalid array index {text}")
    start, stop, step = (int(part) if part and part != "-" else None for part in match.groups())
    return (Slice(start, stop, step, single=":" not in text),)


def _parse_filter(text: str) -> Filter:
    match = _COMPARISON.match(text)
    if "=~" in text:
        raise JSONPathError("regular expressions are not supported")
    if match is None:
        return Filter(_parse_path(text), "exists", ())
    return Filter(_parse_path(match[1].strip()), match[2], _parse_path(match[3].strip()))


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), text, flags=re.DOTALL)
