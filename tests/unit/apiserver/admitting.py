"""Admission steps on their own: a store that holds what a test gives it, and one step as a whole chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

import orjson

from api import meta
from api.errors import not_found
from api.meta import Obj
from api.registry import Resource
from api.selectors import EVERYTHING, Selector
from apiserver.admission.chain import Admission, Attempt, Step
from apiserver.auth.user import User
from apiserver.storage.collection import Listener
from apiserver.storage.keys import local
from apiserver.storage.store import Store
from apiserver.storage.stored import Page, Stored

ADMIN = User("admin", ("system:masters",))


class Objects:
    """The part of a Store that admission steps read, with (row, object) pairs in it."""

    def __init__(self, *objects: tuple[Resource, Obj]) -> None:
        self._objects: dict[str, dict[str, Stored]] = {}
        self._listeners: list[tuple[str, Listener]] = []
        self._revision = 0
        self.missed: Callable[[], None] = lambda: None
        """Called when somebody asks etcd for what is not there."""
        for row, obj in objects:
            self.put(row, obj)

    def put(self, row: Resource, obj: Obj) -> None:
        self._revision += 1
        key = local(meta.namespace(obj), meta.name(obj))
        raw, fields = orjson.dumps(obj), row.field_values(obj)
        stored = Stored(meta.namespace(obj), meta.name(obj), self._revision, raw, meta.labels(obj), fields)
        self._objects.setdefault(row.qualified, {})[key] = stored
        self._tell(row, key, stored)

    def remove(self, row: Resource, namespace: str, name: str) -> None:
        self._revision += 1
        del self._objects[row.qualified][local(namespace, name)]
        self._tell(row, local(namespace, name), None)

    def _tell(self, row: Resource, key: str, stored: Stored | None) -> None:
        for qualified, listener in self._listeners:
            if qualified == row.qualified:
                listener(key, stored)

    def _of(self, row: Resource) -> dict[str, Stored]:
        return self._objects.get(row.qualified, {})

    def listen(self, row: Resource, listener: Listener) -> None:
        self._listeners.append((row.qualified, listener))
        for key, stored in self._of(row).items():
            listener(key, stored)

    def check_filled(self) -> None:
        """It is, at once."""

    def changed_at(self, row: Resource) -> int:
        return self._revision

    def peek(self, row: Resource, namespace: str, name: str) -> Stored | None:
        return self._of(row).get(local(namespace, name))

    async def get(self, row: Resource, namespace: str, name: str, *, resource_version: str = "") -> Stored:
        found = self.peek(row, namespace, name)
        if found is None:
            self.missed()
            raise not_found(row.group, row.plural, name)
        return found

    async def list(
        self, row: Resource, namespace: str = "", *, labels: Selector = EVERYTHING, resource_version: str = ""
    ) -> Page:
        items = [stored for stored in self._of(row).values() if namespace in ("", stored.namespace)]
        return Page([stored for stored in items if labels.matches(stored.labels)], self._revision)

    @property
    def store(self) -> Store:
        return cast(Store, self)


async def admit(step: Step, row: Resource, obj: Obj | None, old: Obj | None = None, **more: Any) -> Obj:
    """What becomes of `obj`, created or, with `old`, updated in namespace a."""
    about = obj or old or {}
    values: dict[str, Any] = {
        "user": ADMIN, "verb": "create" if old is None else "update", "subresource": "",
        "namespace": "a" if row.namespaced else "", "name": about.get("metadata", {}).get("name", "x"), **more,
    }  # fmt: skip
    tried = Attempt(res=row, obj=obj, old=old, **values)
    chain = Admission([step])
    await chain.mutate(tried)
    await chain.validate(tried)
    return tried.obj or {}


def names(items: Iterable[Obj]) -> list[str]:
    return [item["name"] for item in items]
