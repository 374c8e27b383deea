"""Text in quotes as Go prints it (`%q`, strconv.Quote): what cannot be printed is told by its number. Pure."""

from __future__ import annotations

_SHORT = {
    "\\": "\\\\", '"': '\\"',
    "\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip


def quoted(text: str) -> str:
    return f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    if character in _SHORT or character.isprintable():
        return _SHORT.get(character, character)
    number = ord(character)
    if number < 0x80:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
