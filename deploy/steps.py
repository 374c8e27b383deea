"""Progress: one line per step, with the seconds it took. A spinner while it runs, on a terminal only."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any


class Step:
    """What a running step has to tell: `note` ends its line."""

    note = ""


class Steps:
    def __init__(self, *, tty: bool | None = None) -> None:
        self._tty = sys.stderr.isatty() if tty is None else tty
        self._began = time.monotonic()

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self._began

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        step, began = Step(), time.monotonic()
        try:
            with self._spinner(title):
                yield step
        except BaseException:
            self._print("✗", title, "", time.monotonic() - began)
            raise
        self._print("✓", title, step.note, time.monotonic() - began)

    def say(self, text: str = "") -> None:
        print(text, file=sys.stderr, flush=True)

    def _print(self, mark: str, title: str, note: str, seconds: float) -> None:
        self.say(f"{mark} {seconds:6.2f} s  {title}{': ' + note if note else ''}")

    def _spinner(self, title: str) -> Any:
        if not self._tty:
            return nullcontext()
        # Half of the start-up time of a command that prints nothing fancy: imported where it shows.
        from rich.console import Console  # noqa: PLC0415

        return Console(stderr=True).status(f"{title} …")
