"""A container's log as it is asked for: off the event loop, and to the container's end where it is followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any

from api.errors import InternalError
from kubelet.logs import files
from kubelet.logs.entries import Telling, Wanted
from kubelet.logs.files import LogFiles
from kubelet.pods.model import Container

_LOOK_SECONDS = 0.1
"""How often a log that is followed is looked at, once all of it was read."""


async def read(
    container: Container, wanted: Wanted, exited: Callable[[], Coroutine[Any, Any, object]]
) -> AsyncGenerator[bytes]:
    """`exited` waits for the container to end. InternalError."""
    if not container.log_path:  # Docker has not begun one
        return
    path = Path(container.log_path)
    log: LogFiles | None = None
    ending = asyncio.create_task(exited())
    try:
        log = await asyncio.to_thread(lambda: LogFiles(path, tail=wanted.tail, follow=wanted.follow))
        telling, left, over = Telling(wanted), wanted.limit, not wanted.follow
        while left is None or left > 0:
            lines = await asyncio.to_thread(log.read)
            if lines:
                told = telling.tell(lines)[:left]
                left = None if left is None else left - len(told)
                if told:
                    yield told
            elif over:
                return
            else:
                while not (over or log.grown()):
                    await asyncio.wait({ending}, timeout=_LOOK_SECONDS)
                    over = ending.done()  # what it said last is read after this
    except OSError as error:
        raise InternalError(f"cannot read the log of docker://{container.id}: {error}") from error
    finally:
        ending.cancel()
        if log is not None:
            log.close()


async def last_words(container: Container, lines: int, size: int) -> str:
    """The end of a log: at most so many lines and bytes. "" where there is none."""
    if not container.log_path:
        return ""
    try:
        found = await asyncio.to_thread(files.last, Path(container.log_path), lines)
    except OSError:
        return ""
    return Telling(Wanted()).tell(found)[-size:].decode(errors="replace")
