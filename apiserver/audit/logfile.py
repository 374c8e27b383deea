"""A file that is never longer than it may be: what is full goes on under a name with its time, and leaves when there
are too many, or when it is too old. Only its owner may read it.

Names are those of upstream's log: `audit-2026-01-02T15-04-05.000.log` next to `audit.log`.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

_DAY = 24 * 3600.0


class LogFile:
    """Limits of 0 mean none. `path` "-" is standard output. OSError from `write` when there is no room, say; the next
    tries again."""

    def __init__(
        self,
        path: str,
        *,
        most_bytes: int = 0,
        backups: int = 0,
        days: int = 0,
        compress: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = Path(path)
        self._most, self._backups, self._days, self._compress = most_bytes, backups, days, compress
        self._clock = clock
        self._standard = path == "-"
        self._file: BinaryIO | None = None
        self._size = 0

    def write(self, data: bytes) -> None:
        """Whole lines; each piece of data stays in one file."""
        if self._standard:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
        file = self._file or self._open()
        if self._most and self._size and self._size + len(data) > self._most:
            file = self._rotate(file)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            with contextlib.suppress(OSError):  # a pipe, say
                file.truncate(self._size)  # nothing is to follow half a line
            raise
        self._size += len(data)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> BinaryIO:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        file = os.fdopen(descriptor, "ab", buffering=0)
        self._file, self._size = file, os.fstat(file.fileno()).st_size
        return file

    def _rotate(self, file: BinaryIO) -> BinaryIO:
        now = datetime.fromtimestamp(self._clock(), UTC)
        stamp = f"{now:%Y-%m-%dT%H-%M-%S}.{now.microsecond // 1000:03d}"
        full = self._path.with_name(f"{self._path.stem}-{stamp}{self._path.suffix}")
        os.replace(self._path, full)
        file.close()
        self._file = None
        fresh = self._open()
        self._tidy()
        if self._compress:
            threading.Thread(target=_compressed, args=(full,), name="audit log compression", daemon=True).start()
        return fresh

    def _tidy(self) -> None:
        stem, suffix = self._path.stem, self._path.suffix
        full = sorted((*self._path.parent.glob(f"{stem}-*{suffix}"), *self._path.parent.glob(f"{stem}-*{suffix}.gz")))
        for path in full[: -self._backups] if self._backups else ():
            path.unlink(missing_ok=True)
        for path in full if self._days else ():
            with contextlib.suppress(FileNotFoundError):  # it has just been packed
                if path.stat().st_mtime < self._clock() - self._days * _DAY:
                    path.unlink()


def _compressed(path: Path) -> None:
    packed = path.with_name(path.name + ".gz")
    part = path.with_name(f".{packed.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with path.open("rb") as plain, open(descriptor, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb") as out:
        shutil.copyfileobj(plain, out)
    os.replace(part, packed)
    path.unlink(missing_ok=True)
