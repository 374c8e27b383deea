"""The rows of custom kinds follow their definitions, on every server for itself.

A version is served from the moment its definition is Established. `catch_up` makes that true for what any server
has acknowledged; the door calls it before it says that it does not know a path, and before discovery.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from hashlib import sha256

import orjson

from api import meta
from api.builtin import CUSTOM_RESOURCE_DEFINITIONS
from api.errors import ServiceUnavailable, Timeout
from api.meta import Obj
from api.registry import Registry, Resource
from apiserver.custom.rows import rows_of
from apiserver.storage.store import Store
from apiserver.storage.stored import Stored

log = logging.getLogger("apiserver.custom")


class Definitions:
    def __init__(self, registry: Registry, store: Store) -> None:
        self._registry = registry
        self._store = store
        self._seen: dict[str, int] = {}  # definition → the revision its rows were made of
        self._said: dict[str, bytes] = {}
        self._rows: dict[str, dict[str, Resource]] = {}
        self._served: dict[str, list[Resource]] = {}
        self._terminating: set[str] = set()
        self._conversions: dict[str, Obj] = {}

    def row(self, definition: str, version: str) -> Resource | None:
        """The row of a version, served or not."""
        return self._rows.get(definition, {}).get(version)

    def conversion(self, definition: str) -> Obj:
        """spec.conversion"""
        return self._conversions.get(definition, {})

    def is_terminating(self, res: Resource) -> bool:
        """Nothing new may be made: what is there is being deleted with its definition."""
        return res.custom is not None and res.custom.definition in self._terminating

    async def catch_up(self) -> None:
        """Serve what has been established by now. With etcd away, what was known goes on being served."""
        if not self._store.ready:
            return
        with contextlib.suppress(ServiceUnavailable, Timeout):
            page = await self._store.list(CUSTOM_RESOURCE_DEFINITIONS)
            self.follow(page.items)

    def follow(self, items: Iterable[Stored]) -> None:
        """`items` are all the definitions there are."""
        there = {stored.name: stored for stored in items}
        for name in [name for name in self._seen if name not in there]:
            self._forget(name)
        for name, stored in there.items():
            if self._seen.get(name) != stored.revision:
                self._seen[name] = stored.revision
                try:
                    self._take(name, stored.obj())
                except (KeyError, TypeError, ValueError):
                    # Written past validation. The others are to be served all the same.
                    log.exception("the definition %s cannot be served", name)

    def _take(self, name: str, definition: Obj) -> None:
        if meta.is_deleting(definition):
            self._terminating.add(name)
        established = meta.is_condition_true(definition, "Established")
        names = (definition.get("status") or {}).get("acceptedNames")
        said = sha256(
            orjson.dumps([definition["metadata"].get("uid"), definition["spec"], names, established])
        ).digest()
        if self._said.get(name) == said:
            return  # the rest of the status does not matter here
        self._said[name] = said
        spec = definition["spec"]
        self._conversions[name] = spec.get("conversion") or {}
        rows = rows_of(definition)
        serve = {v["name"] for v in spec["versions"] if v.get("served")} if established else set()
        self._replace(name, [row for version, row in rows.items() if version in serve and not self._is_ours(row)])
        self._rows[name] = rows

    def _is_ours(self, row: Resource) -> bool:
        """No definition takes a built-in kind's place."""
        there = (
            self._registry.by_plural(row.group, row.version, row.plural),
            self._registry.by_kind(row.group, row.version, row.kind),
        )
        return any(found is not None and found.custom is None for found in there)

    def _replace(self, name: str, served: list[Resource]) -> None:
        before = self._served.get(name, [])
        kept = {(row.group, row.version, row.plural) for row in served}
        for row in before:
            if (row.group, row.version, row.plural) not in kept:
                self._registry.remove(row)
        for row in served:
            self._registry.add(row)
        if before:  # watchers look at objects in the old way
            self._store.end_watches(before[0])
        self._served[name] = served
        log.info("%s: serving %s", name, ", ".join(row.version for row in served) or "nothing")

    def _forget(self, name: str) -> None:
        self._replace(name, [])
        for known in (self._seen, self._said, self._rows, self._served, self._conversions):
            known.pop(name, None)
        self._terminating.discard(name)
