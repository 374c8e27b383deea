"""Waiting in tests: for a condition, with a deadline, and with a message that says what was seen last.

The only place where tests poll. A condition is any callable; it holds when it returns something true. An
AssertionError inside counts as "not yet", so that plain asserts can be waited for.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_PAUSE = 0.05


class NeverHappened(AssertionError):
    """The deadline passed."""


async def eventually(
    condition: Callable[[], T | Awaitable[T]],
    what: str,
    *,
    within: float = 10.0,
    pause: float = _PAUSE,
) -> T:
    """What the condition returned when it held. NeverHappened after `within` seconds."""
    deadline = time.monotonic() + within
    while True:
        try:
            result = condition()
            value = await result if inspect.isawaitable(result) else result
            if value:
                return value
            seen: object = value
        except AssertionError as error:
            seen = error
        if time.monotonic() >= deadline:
            raise NeverHappened(f"not within {within:g} s: {what}; last seen: {seen!r}")
        await asyncio.sleep(pause)


def eventually_sync(condition: Callable[[], T], what: str, *, within: float = 10.0, pause: float = _PAUSE) -> T:
    """The same for code without an event loop."""
    deadline = time.monotonic() + within
    while True:
        try:
            value = condition()
            if value:
                return value
            seen: object = value
        except AssertionError as error:
            seen = error
        if time.monotonic() >= deadline:
            raise NeverHappened(f"not within {within:g} s: {what}; last seen: {seen!r}")
        time.sleep(pause)
