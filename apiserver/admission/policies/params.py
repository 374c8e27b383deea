"""The parameters that a binding gives to its policy: objects of the policy's paramKind, from the cache.

A binding that the cache shows was written after the parameters that were there before it, so these are in it too.
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#parameter-resources
"""

from __future__ import annotations

from collections.abc import Mapping

from api.errors import NotFound
from api.meta import Obj
from api.registry import Registry, Resource
from api.selectors import from_label_selector
from apiserver.storage.store import Store


class Misconfigured(Exception):
    """A policy or binding that cannot be used as it stands. The text is upstream's."""


class Params:
    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    def row(self, kind: Mapping[str, str]) -> Resource:
        """Misconfigured when no such kind is served."""
        group, _, version = kind.get("apiVersion", "").rpartition("/")
        row = self._registry.by_kind(group, version, kind.get("kind", ""))
        if row is None or "list" not in row.verbs:
            shown = f"{group}/{version}, Kind={kind.get('kind', '')}"
            raise Misconfigured(f"failed to find resource referenced by paramKind: '{shown}'")
        return row

    async def of(self, row: Resource | None, reference: Obj | None, namespace: str) -> list[Obj | None]:
        """One evaluation for each. [None] without a reference; [] when none is found and that is well. Misconfigured"""
        if row is None or reference is None:
            return [None]
        named = reference.get("namespace") or ""
        if row.namespaced:
            namespace = named or namespace
            if not namespace:
                raise Misconfigured(
                    "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                )
        elif named:
            raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        else:
            namespace = ""
        found = await self._found(row, reference, namespace)
        if not found and reference.get("parameterNotFoundAction") == "Deny":
            raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
        return found

    async def _found(self, row: Resource, reference: Obj, namespace: str) -> list[Obj | None]:
        if not reference.get("name"):
            labels = from_label_selector(reference.get("selector"))
            page = await self._store.list(row, namespace, labels=labels, resource_version="0")
            return [stored.obj() for stored in page.items]
        try:
            return [(await self._store.get(row, namespace, reference["name"], resource_version="0")).obj()]
        except NotFound:
            return []
