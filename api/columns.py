"""The table form of a kind as a list: one entry per column, its heading beside what stands in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from api import meta, printing
from api.meta import Obj
from api.registry import Column, Hooks


@dataclass(frozen=True, slots=True)
class Cell:
    """One column. `value` gives what an object shows in it."""

    name: str
    value: Callable[[Obj], Any]
    type: str = "string"
    priority: int = 0
    format: str = ""


NAME = Cell("Name", meta.name, format="name")
AGE = Cell("Age", meta.name)  # the one cell that needs the time: see `tabled`


def tabled(hooks: Hooks, *given: Cell) -> Hooks:
    """`hooks` with these columns: Name comes first unless another is given for it."""
    columns = given if given[0].name == NAME.name else (NAME, *given)

    def cells(obj: Obj, now: datetime) -> list[Any]:
        return [printing.age_of(obj, now) if c is AGE else c.value(obj) for c in columns]

    heads = tuple(Column(c.name, c.type, c.format, priority=c.priority) for c in columns)
    return replace(hooks, columns=heads, cells=cells)


def at(*path: str, absent: Any = "") -> Callable[[Obj], Any]:
    """What stands at `path`, or `absent`."""

    def value(obj: Obj) -> Any:
        found: Any = obj
        for step in path:
            found = found.get(step) if isinstance(found, dict) else None
        return absent if found is None else found

    return value


def count(*path: str) -> Callable[[Obj], int]:
    """How many entries the list at `path` has."""
    listed = at(*path, absent=())
    return lambda obj: len(listed(obj))


def joined(*path: str, absent: str = "<none>") -> Callable[[Obj], str]:
    """The strings of the list at `path`, with commas."""
    listed = at(*path, absent=())
    return lambda obj: ",".join(listed(obj)) or absent
