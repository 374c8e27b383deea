"""How records reach the log file, as `--audit-log-mode` says.

batch            gathered, written by a thread; what comes faster than it can be written is dropped, and counted
blocking         written before the request goes on; what cannot be written is counted and told of
blocking-strict  the same, but what cannot be written when it comes in is refused
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from itertools import islice

from apiserver.audit.logfile import LogFile
from apiserver.audit.record import Record

BATCH, BLOCKING, STRICT = MODES = ("batch", "blocking", "blocking-strict")

log = logging.getLogger("apiserver")


class Backend:
    def __init__(
        self,
        file: LogFile,
        mode: str,
        *,
        buffer_size: int,
        batch_size: int,
        batch_seconds: float,  # that a batch waits to be filled
    ) -> None:
        self.lost = 0
        self.strict = mode == STRICT
        self._file = file
        self._batches = mode == BATCH
        self._most, self._batch_size, self._seconds = buffer_size, batch_size, batch_seconds
        self._waiting: deque[Record] = deque()
        self._some = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._stopping = False

    def put(self, record: Record) -> bool:
        """False when it is lost."""
        if not self._batches:
            return self._write([record])
        if len(self._waiting) >= self._most:
            self.lost += 1
            return False
        self._waiting.append(record)
        if len(self._waiting) in (1, self._batch_size):
            self._some.set()
        return True

    async def start(self) -> None:
        if self._batches:
            self._running = asyncio.create_task(self._run(), name="audit log")

    async def stop(self) -> None:
        """All that was put is written."""
        self._stopping = True
        self._some.set()
        if self._running is not None:
            await self._running
        self._file.close()

    async def _run(self) -> None:
        while self._waiting or not self._stopping:
            await self._some.wait()
            self._some.clear()
            if self._seconds and len(self._waiting) < self._batch_size and not self._stopping:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._seconds):
                        await self._some.wait()
            while self._waiting:
                batch = list(islice(self._waiting, self._batch_size))
                await asyncio.to_thread(self._write, batch)
                for _ in batch:
                    self._waiting.popleft()

    def _write(self, records: list[Record]) -> bool:
        try:
            self._file.write(b"".join([self._line(record) for record in records]))
        except OSError as error:
            self.lost += len(records)
            log.error("the audit log cannot be written: %s", error.strerror)
            return False
        return True

    def _line(self, record: Record) -> bytes:
        try:
            return record.line()
        except Exception:  # whatever is wrong with this one, all others are to be written
            self.lost += 1
            log.exception("an audit event cannot be written")
            return b""
