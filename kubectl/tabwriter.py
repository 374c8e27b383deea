"""Columns by elastic tab stops, as Go's text/tabwriter lays them out.

A cell is text ended by a tab; the text after a line's last tab belongs to no column. A column is a run of
consecutive lines that have a cell at that place; its width is its widest cell plus the padding, at least
the minimum. A line without tabs therefore ends every column.
"""

from __future__ import annotations

from unicodedata import combining, east_asian_width


def width(text: str) -> int:
    """Terminal cells that `text` takes."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def layout(text: str, *, minimum: int, padding: int) -> str:
    """`text` with its tabs replaced by spaces."""
    lines = [line.split("\t") for line in text.split("\n")]
    out: list[str] = []
    _format(lines, 0, len(lines), [], out, minimum, padding)
    return "\n".join(out)


def describe(text: str) -> str:
    """The layout of `kubectl describe`."""
    return layout(text, minimum=0, padding=2)


def _format(
    lines: list[list[str]], first: int, last: int, widths: list[int], out: list[str], minimum: int, pad: int
) -> None:
    column = len(widths)
    at = first
    while at < last:
        if column >= len(lines[at]) - 1:
            at += 1
            continue
        _write(lines[first:at], widths, out)
        first = at
        widest = minimum
        while at < last and column < len(lines[at]) - 1:
            widest = max(widest, width(lines[at][column]) + pad)
            at += 1
        _format(lines, first, at, [*widths, widest], out, minimum, pad)
        first = at
    _write(lines[first:last], widths, out)


def _write(lines: list[list[str]], widths: list[int], out: list[str]) -> None:
    for cells in lines:
        out.append(
            "".join(cell + " " * (widths[i] - width(cell)) if i < len(widths) else cell for i, cell in enumerate(cells))
        )


class Columns:
    """A table printed in parts (a watch): widths never shrink from one part to the next."""

    def __init__(self, minimum: int = 6, padding: int = 3) -> None:
        self._minimum, self._padding = minimum, padding
        self._widths: list[int] = []

    def write(self, rows: list[list[str]]) -> str:
        """The rows, one line each with its newline. The last cell of a row is not padded."""
        for row in rows:
            for i, cell in enumerate(row[:-1]):
                needed = max(self._minimum, width(cell) + self._padding)
                if i == len(self._widths):
                    self._widths.append(needed)
                elif needed > self._widths[i]:
                    self._widths[i] = needed
        return "".join(
            "".join(cell + " " * (self._widths[i] - width(cell)) for i, cell in enumerate(row[:-1]))
            + (row[-1] if row else "")
            + "\n"
            for row in rows
        )
