"""What Docker's json-file driver writes, an entry per line: {"log": text, "stream": "stdout", "time": RFC 3339}. Pure.

A line of more than 16 KiB is several entries, of which only the last ends with a newline (daemon/logger/copier.go).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

_BEGINNING = b'{"log":'


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries of a log, and how they are told."""

    stdout: bool = True
    stderr: bool = True
    since: datetime | None = None
    tail: int | None = None
    """Only the last so many entries."""
    timestamps: bool = False
    follow: bool = False
    """Also those that come until the container ends."""
    limit: int | None = None
    """The most bytes that are told."""


class Telling:
    """Entries as whoever asked wants to read them."""

    def __init__(self, wanted: Wanted) -> None:
        self._streams = {name for name, yes in (("stdout", wanted.stdout), ("stderr", wanted.stderr)) if yes}
        since = wanted.since and wanted.since.astimezone(UTC).replace(tzinfo=None)
        self._since = _nine_digits(since.isoformat()) if since else ""
        self._timestamps = wanted.timestamps
        self._within: set[str] = set()  # streams whose last entry has not ended its line

    def tell(self, lines: bytes) -> bytes:
        return b"".join(self._told(lines))

    def _told(self, lines: bytes) -> Iterator[bytes]:
        for entry in _entries(lines):
            stream, text, time = entry["stream"], entry["log"].encode(), ""
            if stream not in self._streams:
                continue
            if self._since or self._timestamps:
                time = _nine_digits(entry["time"].removesuffix("Z"))
            if time < self._since:
                continue
            if self._timestamps and stream not in self._within:
                yield f"{time} ".encode()
            yield text
            if text.endswith(b"\n"):
                self._within.discard(stream)
            else:
                self._within.add(stream)


def _entries(lines: bytes) -> Iterator[dict[str, Any]]:
    for line in lines.splitlines():
        try:
            yield orjson.loads(line)
        except orjson.JSONDecodeError:
            # Docker was killed while it wrote: the next that it wrote follows on the same line, if anything.
            try:
                yield orjson.loads(line[max(line.rfind(_BEGINNING), 0) :])
            except orjson.JSONDecodeError:
                continue


def _nine_digits(time: str) -> str:
    """Of a time without its zone: with all digits of its second, so that the later one is the larger text."""
    head, _, fraction = time.partition(".")
    return f"{head}.{fraction:0<9}Z"
