"""OpenAPI documents as bytes: made on first request, in a thread, and kept packed while they are asked for.

What is computed of the rows is kept under the registry's generation, so a custom kind shows at once. A document's
hash is taken from what it is made of, so that the index can name it without making it.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from importlib import metadata

import orjson

from api import schemas
from api.meta import Obj
from api.registry import Registry, Resource
from apiserver.discovery import Subresources, groups
from apiserver.openapi import paths, protobuf
from apiserver.openapi.schemas import written
from apiserver.served import kind_of

_KEPT = 12  # packed documents; the largest is 150 KB
_INFO = {"title": "Kubernetes", "version": schemas.LEVEL}
_SECURITY = {"BearerToken": {"description": "Bearer Token authentication", "in": "header", "name": "authorization",
                             "type": "apiKey"}}  # fmt: skip


class Documents:
    """The documents of one registry. `subresources(row)` gives the subresources that are served, with their verbs."""

    def __init__(self, registry: Registry, subresources: Subresources) -> None:
        self._registry = registry
        self._subresources = subresources
        self._generation = -1
        self._rows: dict[str, list[Resource]] = {}
        self._hashes: dict[str, str] = {}
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._making: dict[tuple[str, str], asyncio.Task[bytes]] = {}

    def hashes(self) -> dict[str, str]:
        """`apis/apps/v1` → the hash of its document."""
        if self._generation != self._registry.generation:
            self._generation = self._registry.generation
            self._rows = {
                version.rows[0].root[1:]: version.rows
                for group in groups(self._registry)
                for version in group.versions
            }  # fmt: skip
            self._hashes = {name: self._hash(rows) for name, rows in self._rows.items()}
        return self._hashes

    def hash_of_all(self) -> str:
        return _digest("".join(self.hashes().values()))

    async def version3(self, name: str) -> bytes:
        """The gzipped document of a group version that `hashes` names."""
        rows = self._rows[name]
        return await self._packed((name, self._hashes[name]), lambda: orjson.dumps(self._version3(rows)))

    async def version2(self, *, as_protobuf: bool) -> bytes:
        """The gzipped document of everything."""
        rows = [row for each in self._rows.values() for row in each]

        def make() -> bytes:
            document = self._version2(rows)
            if as_protobuf:
                return protobuf.document(document)
            return orjson.dumps(document).replace(b"#/components/schemas/", b"#/definitions/")

        return await self._packed(("v2.pb" if as_protobuf else "v2", self.hash_of_all()), make)

    async def _packed(self, key: tuple[str, str], make: Callable[[], bytes]) -> bytes:
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        task = self._making.get(key)
        if task is None:
            task = asyncio.ensure_future(asyncio.to_thread(lambda: gzip.compress(make(), 6, mtime=0)))
            self._making[key] = task
            task.add_done_callback(lambda _: self._making.pop(key, None))
        packed = await asyncio.shield(task)
        for old in [k for k in self._kept if k[0] == key[0]]:
            del self._kept[old]
        self._kept[key] = packed
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return packed

    def _hash(self, rows: list[Resource]) -> str:
        said = [f"{schemas.LEVEL} {metadata.version('sampan')}"]
        for row in rows:
            said.append(f"{row.path()} {row.kind} {row.namespaced} {row.verbs} {self._subresources(row)}")
            if row.custom is not None:
                custom = row.custom
                said.append(f"{custom.text.decode()} {custom.preserves_unknown} {custom.list_kind}")
        return _digest("\n".join(said))

    def _paths(self, rows: list[Resource]) -> Obj:
        found = paths.discovery(rows[0].root)
        for row in rows:
            found |= paths.of(row, self._subresources(row))
        return found

    def _schemas(self, rows: list[Resource], *, swagger: bool) -> Obj:
        kinds = [kind_of(row, name) for row in rows for name in self._subresources(row)]
        return written(rows, kinds, swagger=swagger)

    def _version3(self, rows: list[Resource]) -> Obj:
        return {
            "openapi": "3.0.0",
            "info": _INFO,
            "paths": self._paths(rows),
            "components": {"schemas": self._schemas(rows, swagger=False), "securitySchemes": _SECURITY},
        }

    def _version2(self, rows: list[Resource]) -> Obj:
        by_root: dict[str, list[Resource]] = {}
        for row in rows:
            by_root.setdefault(row.root, []).append(row)
        whole: Obj = {}
        for each in by_root.values():
            whole |= self._paths(each)
        return {
            "swagger": "2.0",
            "info": _INFO,
            "paths": paths.as_swagger(whole),
            "definitions": self._schemas(rows, swagger=True),
            "securityDefinitions": _SECURITY,
            "security": [{"BearerToken": []}],
        }


def _digest(text: str) -> str:
    return hashlib.sha512(text.encode()).hexdigest().upper()
