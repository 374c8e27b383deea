"""CEL source to a tree: lexer and operator-precedence parser.

The grammar is that of the CEL specification (langdef.md, "Syntax") with optional syntax (`a.?b`, `a[?i]`,
`[?x]`, `{?k: v}`). Macros are not expanded here. Every node knows where its operator stands in the source, which
is where messages point.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from api.cel.types import BOOL, BYTES, DOUBLE, INT, NULL, STRING, UINT, Type
from api.cel.values import Uint

_DEEPEST = 250
_LONGEST = 100_000


class CompileError(Exception):
    """An expression that is not CEL or breaks its type rules. The message is cel-go's, with the place marked."""

    def __init__(self, source: str, at: int, message: str) -> None:
        self.source = source
        line_start = source.rfind("\n", 0, at) + 1
        line_number = source.count("\n", 0, at) + 1
        column = at - line_start
        line = source[line_start:].split("\n", 1)[0].replace("\t", " ")
        super().__init__(f"ERROR: <input>:{line_number}:{column + 1}: {message}\n | {line}\n | {'.' * column}^")


@dataclass(slots=True)
class Node:
    at: int


@dataclass(slots=True)
class Const(Node):
    value: Any
    type: Type


@dataclass(slots=True)
class Ident(Node):
    name: str


@dataclass(slots=True)
class Select(Node):
    operand: Node
    field: str
    optional: bool = False


@dataclass(slots=True)
class Call(Node):
    """`name(args)`, or `target.name(args)`. Operators are calls of `_+_` and the like."""

    name: str
    target: Node | None
    args: list[Node]


@dataclass(slots=True)
class ListNode(Node):
    items: list[Node]
    optional: set[int]


@dataclass(slots=True)
class MapNode(Node):
    entries: list[tuple[Node, Node, bool]]


@dataclass(slots=True)
class Struct(Node):
    """`Object.spec{replicas: 1}`."""

    name: str
    fields: list[tuple[str, Node, bool]]


_TOKEN = re.compile(
    r"(?P<space>(?:[ \t\r\n\f]+|//[^\n]*)+)"
    r"|(?P<text>[rR]?[bB]?[rR]?(?:\"{3}[\s\S]*?(?<!\\)(?:\\\\)*\"{3}|'{3}[\s\S]*?(?<!\\)(?:\\\\)*'{3}"
    r"|(?<=[rR])\"[^\"\n]*\"|(?<=[rR])'[^'\n]*'|(?<=[rR][bB])\"[^\"\n]*\"|(?<=[rR][bB])'[^'\n]*'"
    r"|\"(?:\\[^\n]|[^\"\\\n])*\"|'(?:\\[^\n]|[^'\\\n])*'))"
    r"|(?P<float>(?:\d+\.\d+|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)"
    r"|(?P<int>0x[0-9a-fA-F]+[uU]?|\d+[uU]?)"
    r"|(?P<ident>[A-Za-z_]\w*|`[A-Za-z0-9_.\-/ ]+`)"
    r"|(?P<op>&&|\|\||[<>=!]=|[-+*/%<>!?:.,()\[\]{}=])"
)
_RESERVED = frozenset(
    ("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
     "namespace", "return", "var", "void", "while")
)  # fmt: skip
_BINARY = {"||": 1, "&&": 2, **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 3),
           "+": 4, "-": 4, "*": 5, "/": 5, "%": 5}  # fmt: skip
_ESCAPE = re.compile(r"\\(?:x|X)([0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})|\\([0-3][0-7]{2})|\\(.)", re.S)
_SINGLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
           **{c: c for c in "\\\"'`?"}}  # fmt: skip


@dataclass(slots=True)
class _Token:
    kind: str
    text: str
    at: int


def parse(source: str) -> Node:
    """The tree of one expression. CompileError when it is none."""
    if len(source) > _LONGEST:
        why = f"expression code point size exceeds limit: size: {len(source)}, limit {_LONGEST}"
        error = CompileError(source[:80], 0, why)
        error.source = source
        raise error
    return _Parser(source).whole()


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = self._lex()
        self._next = 0
        self._depth = 0

    def _lex(self) -> list[_Token]:
        tokens, at = [], 0
        while at < len(self._source):
            match = _TOKEN.match(self._source, at)
            if match is None:
                raise self._error(at, f"Syntax error: token recognition error at: '{self._source[at]}'")
            kind = str(match.lastgroup)
            if kind != "space":
                tokens.append(_Token(kind, match[0], at))
            at = match.end()
        return [*tokens, _Token("end", "<EOF>", at)]

    def _error(self, at: int, message: str) -> CompileError:
        return CompileError(self._source, at, message)

    def _unexpected(self, token: _Token) -> CompileError:
        return self._error(token.at, f"Syntax error: mismatched input '{token.text}'")

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next += 1
        return token

    def _accept(self, text: str) -> _Token | None:
        token = self._peek()
        return self._take() if token.kind == "op" and token.text == text else None

    def _expect(self, text: str) -> _Token:
        return self._accept(text) or self._refuse()

    def _refuse(self) -> _Token:
        raise self._unexpected(self._peek())

    def whole(self) -> Node:
        node = self._expression()
        if self._peek().kind != "end":
            self._refuse()
        return node

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(self._peek().at, f"expression recursion limit exceeded: {_DEEPEST}")
        node = self._binary(1)
        if question := self._accept("?"):
            then = self._binary(1)
            self._expect(":")
            node = Call(question.at, "_?_:_", None, [node, then, self._expression()])
        self._depth -= 1
        return node

    def _binary(self, tightness: int) -> Node:
        node = self._unary()
        while (level := self._level()) >= tightness:
            operator = self._take()
            name = "@in" if operator.text == "in" else f"_{operator.text}_"
            node = Call(operator.at, name, None, [node, self._binary(level + 1)])
        return node

    def _level(self) -> int:
        token = self._peek()
        return _BINARY.get(token.text, 0) if token.kind == "op" or token.text == "in" else 0

    def _unary(self) -> Node:
        operator = self._accept("!") or self._accept("-")
        if operator is None:
            return self._member()
        literal = self._peek()
        if operator.text == "-" and literal.kind in ("int", "float") and literal.at == operator.at + 1:
            literal.text = "-" + literal.text
            return self._member()
        self._depth += 1
        if self._depth > _DEEPEST:
            raise self._error(operator.at, f"expression recursion limit exceeded: {_DEEPEST}")
        node = Call(operator.at, "!_" if operator.text == "!" else "-_", None, [self._unary()])
        self._depth -= 1
        return node

    def _member(self) -> Node:
        node = self._primary()
        while True:
            if dot := self._accept("."):
                optional = self._accept("?") is not None
                name = self._take()
                if name.kind != "ident" or name.text in ("true", "false", "null", "in"):
                    raise self._unexpected(name)
                if not optional and (bracket := self._accept("(")):
                    node = Call(bracket.at, name.text, node, self._list(")"))
                elif not optional and self._peek().text == "{" and (dotted := _dotted(node)):
                    node = self._struct(f"{dotted}.{name.text}")
                else:
                    node = Select(dot.at, node, name.text.strip("`"), optional)
            elif bracket := self._accept("["):
                optional = self._accept("?") is not None
                index = self._expression()
                self._expect("]")
                node = Call(bracket.at, "_[?_]" if optional else "_[_]", None, [node, index])
            else:
                return node

    def _list(self, end: str) -> list[Node]:
        nodes: list[Node] = []
        while not self._accept(end):
            nodes.append(self._expression())
            if not self._accept(","):
                self._expect(end)
                break
        return nodes

    def _primary(self) -> Node:
        token = self._take()
        if token.kind == "op":
            return self._bracketed(token)
        if token.kind == "ident" and not token.text.startswith("`"):
            return self._name(token)
        if token.kind == "text":
            return self._text(token)
        if token.kind in ("int", "float"):
            return self._number(token)
        raise self._unexpected(token)

    def _bracketed(self, token: _Token) -> Node:
        if token.text == "(":
            node = self._expression()
            self._expect(")")
            return node
        if token.text == "." and self._peek().kind == "ident":
            return self._name(self._take())
        if token.text == "[":
            items: list[Node] = []
            optional: set[int] = set()
            while not self._accept("]"):
                if self._accept("?"):
                    optional.add(len(items))
                items.append(self._expression())
                if not self._accept(","):
                    self._expect("]")
                    break
            return ListNode(token.at, items, optional)
        if token.text == "{":
            entries: list[tuple[Node, Node, bool]] = []
            while not self._accept("}"):
                maybe = self._accept("?") is not None
                key = self._expression()
                self._expect(":")
                entries.append((key, self._expression(), maybe))
                if not self._accept(","):
                    self._expect("}")
                    break
            return MapNode(token.at, entries)
        raise self._unexpected(token)

    def _name(self, token: _Token) -> Node:
        constants = {"true": (True, BOOL), "false": (False, BOOL), "null": (None, NULL)}
        if token.text in constants:
            return Const(token.at, *constants[token.text])
        if token.text in _RESERVED:
            raise self._error(token.at, f"reserved identifier: {token.text}")
        if token.text == "in":
            raise self._unexpected(token)
        if bracket := self._accept("("):
            return Call(bracket.at, token.text, None, self._list(")"))
        if self._peek().text == "{":
            return self._struct(token.text)
        return Ident(token.at, token.text)

    def _struct(self, name: str) -> Node:
        brace = self._expect("{")
        fields: list[tuple[str, Node, bool]] = []
        while not self._accept("}"):
            maybe = self._accept("?") is not None
            key = self._take()
            if key.kind != "ident":
                raise self._unexpected(key)
            self._expect(":")
            fields.append((key.text.strip("`"), self._expression(), maybe))
            if not self._accept(","):
                self._expect("}")
                break
        return Struct(brace.at, name, fields)

    def _number(self, token: _Token) -> Node:
        text = token.text
        if token.kind == "float":
            return Const(token.at, float(text), DOUBLE)
        unsigned = text[-1] in "uU"
        digits = text.rstrip("uU")
        value = int(digits, 16 if "x" in digits else 10)
        if unsigned:
            if not 0 <= value < 1 << 64:
                raise self._error(token.at, "invalid uint literal")
            return Const(token.at, Uint(value), UINT)
        if not -(1 << 63) <= value < 1 << 63:
            raise self._error(token.at, "invalid int literal")
        return Const(token.at, value, INT)

    def _text(self, token: _Token) -> Node:
        body = token.text.lstrip("rRbB")
        prefix = token.text[: len(token.text) - len(body)].lower()
        edge = 3 if body[:3] in ('"""', "'''") and len(body) >= 6 else 1
        body = body[edge:-edge].replace("\r\n", "\n")
        if "b" in prefix:
            return Const(token.at, body.encode() if "r" in prefix else self._bytes(body, token.at), BYTES)
        return Const(token.at, body if "r" in prefix else self._unescape(body, token.at), STRING)

    def _unescape(self, body: str, at: int) -> str:
        def one(match: re.Match[str]) -> str:
            code = match[1] or match[2] or match[3]
            if code or match[4]:
                value = int(code, 16) if code else int(match[4], 8)
                if value > 0x10FFFF or 0xD800 <= value <= 0xDFFF:
                    raise self._error(at, "Syntax error: invalid unicode code point")
                return chr(value)
            if match[5] not in _SINGLE:
                raise self._error(at, f"Syntax error: invalid escape sequence '{match[0]}'")
            return _SINGLE[match[5]]

        return _ESCAPE.sub(one, body) if "\\" in body else body

    def _bytes(self, body: str, at: int) -> bytes:
        """In bytes `\\xff` and `\\377` are one octet; other characters are their UTF-8."""
        result, end = b"", 0
        for match in _ESCAPE.finditer(body):
            result += body[end : match.start()].encode()
            octet = match[1] or match[4]
            result += bytes([int(octet, 16 if match[1] else 8)]) if octet else self._unescape(match[0], at).encode()
            end = match.end()
        return result + body[end:].encode()


def _dotted(node: Node) -> str:
    """`a.b.c` when the node is nothing but names, else an empty string."""
    if isinstance(node, Ident):
        return node.name
    if isinstance(node, Select) and not node.optional and (rest := _dotted(node.operand)):
        return f"{rest}.{node.field}"
    return ""


def dotted(node: Node | None) -> str:
    return "" if node is None else _dotted(node)
