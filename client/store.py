"""A local copy of a resource's objects, by key (`namespace/name`) and by named indexes.

Objects in it are shared and READ-ONLY: copy before editing. It never does I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from api.meta import Obj, key

Indexer = Callable[[Obj], list[str]]


def by_namespace(obj: Obj) -> list[str]:
    return [obj["metadata"].get("namespace") or ""]


class Store:
    def __init__(self, indexers: Mapping[str, Indexer] | None = None) -> None:
        self._objects: dict[str, Obj] = {}
        self._indexers: dict[str, Indexer] = dict(indexers or {})
        self._indexes: dict[str, dict[str, dict[str, Obj]]] = {name: {} for name in self._indexers}

    def __len__(self) -> int:
        return len(self._objects)

    def __contains__(self, key: str) -> bool:
        return key in self._objects

    def get(self, key: str) -> Obj | None:
        return self._objects.get(key)

    def keys(self) -> Iterable[str]:
        return tuple(self._objects)

    def by_index(self, index: str, value: str) -> list[Obj]:
        """The objects for which the indexer `index` names `value`. KeyError for an unknown index."""
        return list(self._indexes[index].get(value, {}).values())

    def index_values(self, index: str) -> list[str]:
        return list(self._indexes[index])

    def add_indexer(self, name: str, indexer: Indexer) -> None:
        self._indexers[name] = indexer
        self._indexes[name] = {}
        for object_key, obj in self._objects.items():
            for value in indexer(obj):
                self._indexes[name].setdefault(value, {})[object_key] = obj

    def put(self, obj: Obj) -> Obj | None:
        """Add or replace; returns what was there."""
        object_key = key(obj)
        old = self._objects.get(object_key)
        if old is not None:
            self._unindex(object_key, old)
        self._objects[object_key] = obj
        for name, indexer in self._indexers.items():
            for value in indexer(obj):
                self._indexes[name].setdefault(value, {})[object_key] = obj
        return old

    def remove(self, object_key: str) -> Obj | None:
        old = self._objects.pop(object_key, None)
        if old is not None:
            self._unindex(object_key, old)
        return old

    def list(self) -> list[Obj]:  # last: below it, `list` in this class is the method
        return list(self._objects.values())

    def _unindex(self, object_key: str, old: Obj) -> None:
        for name, indexer in self._indexers.items():
            index = self._indexes[name]
            for value in indexer(old):
                members = index.get(value)
                if members is not None:
                    members.pop(object_key, None)
                    if not members:
                        del index[value]
