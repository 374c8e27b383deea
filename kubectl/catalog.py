"""What the server serves, looked up the way people name it: `po`, `pods`, `Pod`, `deploy.apps`, `all`. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from api import served
from api.meta import Obj
from api.registry import Resource


class Catalog:
    """Resources in the server's order: its first group that fits a bare name wins, and its first version."""

    def __init__(self, rows: Iterable[Resource]) -> None:
        self.rows = list(rows)

    def find(self, name: str) -> Resource | None:
        """By plural, singular, kind or short name, optionally with `.group` or `.version.group`."""
        bare, _, qualifier = name.lower().partition(".")
        candidates = [row for row in self.rows if _named(row, bare)]
        if qualifier:
            version, _, group = qualifier.partition(".")
            for row in candidates:
                if row.group == qualifier or (row.group == group and row.version == version):
                    return row
            return None
        exact = [row for row in candidates if bare not in row.short_names]
        return next(iter(exact or candidates), None)

    def of(self, obj: Obj) -> Resource | None:
        """The row of an object, by its apiVersion and kind."""
        group, _, version = str(obj.get("apiVersion", "")).rpartition("/")
        kind = obj.get("kind")
        return next((r for r in self.rows if r.group == group and r.version == version and r.kind == kind), None)

    def category(self, name: str) -> list[Resource]:
        """One row per group and kind."""
        found: dict[tuple[str, str], Resource] = {}
        for row in self.rows:
            if name.lower() in row.categories:
                found.setdefault((row.group, row.plural), row)
        return list(found.values())

    def preferred(self) -> list[Resource]:
        """One row per group and plural: its first version."""
        return served.preferred(self.rows)


def _named(row: Resource, name: str) -> bool:
    return name in (row.plural, row.singular, row.kind.lower()) or name in row.short_names


def from_discovery(documents: Iterable[Obj]) -> Catalog:
    """From aggregated discovery documents (APIGroupDiscoveryList) of /api and /apis."""
    return Catalog(served.rows(documents))


_KEPT = ("group", "version", "kind", "plural", "singular", "namespaced", "short_names", "categories",
         "subresources", "verbs")  # fmt: skip


def to_json(catalog: Catalog) -> list[dict[str, Any]]:
    return [{name: getattr(row, name) for name in _KEPT} for row in catalog.rows]


def from_json(rows: list[dict[str, Any]]) -> Catalog:
    """KeyError or TypeError when the rows are not what `to_json` wrote."""
    return Catalog(_from_json(row) for row in rows)


def _from_json(row: dict[str, Any]) -> Resource:
    values: dict[str, Any] = {k: tuple(row[k]) if isinstance(row[k], list) else row[k] for k in _KEPT}
    return Resource(**values)
