"""The server's Table objects as text: which columns show, what is put before and after them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.jsonpath import JSONPathError, Template, relaxed
from api.meta import Obj
from api.quantities import is_valid, parse
from kubectl.failures import CliError
from kubectl.tabwriter import Columns

ACCEPT = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)


@dataclass(slots=True)
class View:
    """How tables are shown. `kind` (`pod`, `deployment.apps`) goes before names when several kinds are shown."""

    wide: bool = False
    namespaces: bool = False
    headers: bool = True
    labels: bool = False
    label_columns: Sequence[str] = ()
    kind: str = ""


class TablePrinter:
    """Prints tables of one kind, one after the other, as one: headers once, columns never narrower."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._columns = Columns()
        self._definitions: list[Obj] = []
        self._started = not view.headers

    def write(self, table: Obj, event: str = "") -> str:
        """`event` fills the column of --output-watch-events when not empty."""
        if table.get("columnDefinitions"):
            self._definitions = table["columnDefinitions"]
        rows: list[list[str]] = []
        if not self._started:
            rows.append(self._header(bool(event)))
            self._started = True
        rows += [self._row(row, event) for row in table.get("rows") or []]
        return self._columns.write(rows)

    def _shown(self) -> list[int]:
        return [i for i, c in enumerate(self._definitions) if self._view.wide or not c.get("priority", 0)]

    def _header(self, events: bool) -> list[str]:
        view = self._view
        return [
            *(["EVENT"] if events else []),
            *(["NAMESPACE"] if view.namespaces else []),
            *(str(self._definitions[i]["name"]).upper() for i in self._shown()),
            *(label.rpartition("/")[2].upper() for label in view.label_columns),
            *(["LABELS"] if view.labels else []),
        ]

    def _row(self, row: Obj, event: str) -> list[str]:
        view = self._view
        metadata = (row.get("object") or {}).get("metadata") or {}
        labels = metadata.get("labels") or {}
        cells = row.get("cells") or []
        shown = [cell_text(cells[i]) if i < len(cells) else "" for i in self._shown()]
        if view.kind and shown:
            shown[0] = f"{view.kind}/{shown[0]}"
        return [
            *([event] if event else []),
            *([metadata.get("namespace", "")] if view.namespaces else []),
            *shown,
            *(labels.get(label, "") for label in view.label_columns),
            *([",".join(f"{k}={v}" for k, v in sorted(labels.items())) or "<none>"] if view.labels else []),
        ]


def cell_text(cell: Any) -> str:
    """One line of it; control characters are escaped so that a name cannot drive the terminal."""
    if cell is None:
        return "<nil>"
    if isinstance(cell, bool):
        return "true" if cell else "false"
    text = str(cell)
    first = re.split(r"[\f\n\r]", text, maxsplit=1)[0]
    text = first if first == text else f"{first}..."
    return text.replace("\x1b", "^[").replace("\r", "\\r").replace("\t", " ")


def sort_rows(rows: list[Obj], expression: str) -> list[Obj]:
    """Rows of a Table that carry their objects, by a JSONPath of these; as they are when none has the field."""
    return _sorted(rows, [row.get("object") or {} for row in rows], expression, must_exist=False)


def sort_objects(items: list[Obj], expression: str) -> list[Obj]:
    """CliError when no object has the field."""
    return _sorted(items, items, expression, must_exist=True)


def _sorted(values: list[Obj], objects: list[Obj], expression: str, *, must_exist: bool) -> list[Obj]:
    try:
        template = Template(relaxed(expression))
        keys = [[v for found in template.find(o) for v in found] for o in objects]
    except JSONPathError as error:
        raise CliError(str(error)) from error
    if must_exist and objects and not any(keys):
        raise CliError(f'couldn\'t find any field with path "{relaxed(expression)}" in the list of objects')
    order = sorted(range(len(values)), key=lambda i: _sort_key(keys[i]))
    return [values[i] for i in order]


def _sort_key(found: list[Any]) -> tuple[int, Any]:
    """Absent first, then numbers, then quantities by amount, then text."""
    if not found or found[0] is None:
        return 0, 0
    value = found[0]
    if isinstance(value, bool | int | float):
        return 1, value
    text = str(value)
    return (2, parse(text)) if is_valid(text) else (3, text)
