"""The table form of custom objects: columns whose cells are found by JSONPath.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#additional-printer-columns
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from api import meta, printing
from api.jsonpath import JSONPathError, Template, shown
from api.meta import Obj
from api.registry import Cells, Column

_CREATED = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
Read = Callable[[Any, datetime], Any]


def _date(value: Any, now: datetime) -> Any:
    if not isinstance(value, str):
        return None
    try:
        return printing.since(value, now)
    except ValueError:
        return "<invalid>"


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


_READ: dict[str, Read] = {
    "string": lambda value, _: shown(value),
    "integer": lambda value, _: None if (n := _number(value)) is None else int(n),
    "number": lambda value, _: None if (n := _number(value)) is None else float(n),
    "boolean": lambda value, _: value if isinstance(value, bool) else None,
    "date": _date,
}


def columns_of(version: Obj) -> tuple[tuple[Column, ...], Cells]:
    """The columns of a version, and what makes a row of cells."""
    given = version.get("additionalPrinterColumns") or [_CREATED]
    columns = tuple(
        Column(c["name"], c["type"], c.get("format", ""), _description(c), int(c.get("priority") or 0)) for c in given
    )
    finders = [(_template(c["jsonPath"]), _READ[c["type"]]) for c in given]

    def cells(obj: Obj, now: datetime) -> list[Any]:
        return [meta.name(obj), *(_cell(template, read, obj, now) for template, read in finders)]

    return (Column("Name", format="name"), *columns), cells


def _description(column: Obj) -> str:
    if column is _CREATED:
        return ""  # every table says what Age is
    path = f"Custom resource definition column (in JSONPath format): {column['jsonPath']}"
    return str(column.get("description") or path)


def _template(path: str) -> Template | None:
    """None for a path that is none: its column stays empty."""
    try:
        return Template(f"{{{path}}}")
    except JSONPathError:
        return None


def _cell(template: Template | None, read: Read, obj: Obj, now: datetime) -> Any:
    if template is None:
        return None
    try:
        found = template.find(obj)
    except JSONPathError:
        return None
    return read(found[0][0], now) if found and found[0] else None
