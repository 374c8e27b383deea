"""The files of a container's log, read as one.

When a file is full, Docker renames it, and those before it, and begins another: `path` becomes `path.1`, that becomes
`path.2`; the oldest is deleted (daemon/logger/loggerutils/logfile.go). What is renamed is not written to any more.

Docker's own answer to a reader says lines twice or leaves them out where files are renamed under it, up to release
20.10 (moby/moby#43294); upstream's kubelet reads the files, too (pkg/kubelet/kuberuntime/logs).

Everything here blocks for the moment that a disk takes.
"""

from __future__ import annotations

import io
import os
import threading
from contextlib import suppress
from pathlib import Path

_CHUNK = 64 * 1024


class LogFiles:
    """Whole lines from one place on.

    The file that is read is held open: nothing of it is lost, however slow the reader. One that was deleted before the
    reader came to it is left out.
    """

    def __init__(self, path: Path, *, tail: int | None, follow: bool) -> None:
        """Begins `tail` lines before the end, else with the oldest. Without `follow`, what is written from now on is
        not read: a container that is faster than its reader would keep it for ever."""
        self._path, self._follow = path, follow
        self._lock = threading.Lock()
        self._rest, self._put_aside = b"", False
        self._file: io.FileIO | None = None
        self._last, self._size = 0, 0
        self._begin(tail)

    def _begin(self, tail: int | None) -> None:
        while self._file is None and (present := _newest_first(self._path)):
            left, opened = tail, set[int]()
            for found in present.values():
                with suppress(FileNotFoundError):
                    file = _open(found)
                    if _inode(file) in opened:  # renamed meanwhile
                        file.close()
                        continue
                    if not opened:
                        self._last, self._size = _inode(file), os.fstat(file.fileno()).st_size
                    opened.add(_inode(file))
                    self._take(file)
                    if left is not None:
                        left -= _seek_back(file, left)
                        if left <= 0:
                            break

    def read(self) -> bytes:
        """The next of them; b"" when there are none, or none yet."""
        with self._lock:
            while self._file is not None:
                data = self._read(self._file)
                if data:
                    self._put_aside = False
                    whole, newline, self._rest = (self._rest + data).rpartition(b"\n")
                    if newline:
                        return whole + newline
                elif not self._next(self._file):
                    break
            return b""

    def grown(self) -> bool:
        """Whether there may be more to read. It asks for what the kernel has at hand, and does not block."""
        file = self._file
        if file is None:
            return False
        return os.fstat(file.fileno()).st_size > file.tell() or self._current() not in (0, _inode(file))

    def close(self) -> None:
        """Waits for a reader in another thread."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _take(self, file: io.FileIO) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._rest, self._put_aside = file, b"", False

    def _read(self, file: io.FileIO) -> bytes:
        if self._follow or _inode(file) != self._last:
            return file.read(_CHUNK)
        return file.read(max(0, min(_CHUNK, self._size - file.tell())))

    def _current(self) -> int:
        """The inode of the file that Docker writes to; 0 while there is none."""
        try:
            return os.stat(self._path).st_ino
        except FileNotFoundError:
            return 0

    def _next(self, file: io.FileIO) -> bool:
        """Whether there may be more to read: go on to the file that was begun after this one."""
        own = _inode(file)
        if own == self._current() or (not self._follow and own == self._last):
            return False
        inodes = _newest_first(self._path)
        order = list(inodes)
        if not order or order[0] == own:
            return False
        if not self._put_aside:  # what was written just before may have come after our last look
            self._put_aside = True
            return True
        after = order[order.index(own) - 1] if own in inodes else order[-1]
        with suppress(FileNotFoundError):
            newer = _open(inodes[after])
            if _inode(newer) == after:
                self._take(newer)
            else:  # renamed once more
                newer.close()
        return True


def last(path: Path, lines: int) -> bytes:
    """The last so many lines."""
    files = LogFiles(path, tail=lines, follow=False)
    try:
        found = b""
        while more := files.read():
            found += more
        return found
    finally:
        files.close()


def _newest_first(path: Path) -> dict[int, Path]:
    """By inode. Looked at until two looks agree: what is renamed meanwhile may be seen twice or not at all."""
    seen: dict[int, Path] | None = None
    while (found := _look(path)) != seen:
        seen = found
    return found


def _look(path: Path) -> dict[int, Path]:
    aside = [(found.suffix[1:], found) for found in path.parent.glob(f"{path.name}.*")]
    names = [path, *(found for _, found in sorted((int(n), found) for n, found in aside if n.isdigit()))]
    inodes: dict[int, Path] = {}
    for name in names:
        with suppress(FileNotFoundError):
            inodes.setdefault(os.stat(name).st_ino, name)
    return inodes


def _open(path: Path) -> io.FileIO:
    return io.FileIO(path)


def _inode(file: io.FileIO) -> int:
    return os.fstat(file.fileno()).st_ino


def _seek_back(file: io.FileIO, lines: int) -> int:
    """To where its last so many lines begin; how many it has of them."""
    position, found = file.seek(0, os.SEEK_END), 0
    while position > 0:
        size = min(_CHUNK, position)
        position -= size
        file.seek(position)
        data, at = file.read(size), size
        while (at := data.rfind(b"\n", 0, at)) >= 0:
            if found == lines:
                file.seek(position + at + 1)
                return lines
            found += 1
    file.seek(0)
    return found
