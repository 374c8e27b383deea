"""The verbs of one apiserver: get, list, create, update, patch, delete, watch.

One ApiClient per process. Failures are api.errors (see client/connection.py).
"""

from __future__ import annotations

import builtins
import random
from collections.abc import AsyncGenerator
from typing import Any

import orjson

from api import errors, served
from api.meta import Obj, name, namespace
from api.registry import Resource
from client.connection import Connection, Params, lines

PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
_METADATA = (
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,"
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,"
    "application/json"
)
"""Objects without spec and status: lists, watches, and what servers answer that do not know of this."""
_HOT = ("/binding", "/status")
_WATCH_SILENCE = 150.0  # a healthy server sends a bookmark each minute


class ApiClient(Connection):
    # The verbs. `params` adds query parameters such as fieldManager, fieldValidation or dryRun.

    async def get(self, res: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Obj:
        return await self._object("GET", res.path(namespace, name, subresource))

    async def list(
        self,
        res: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
        metadata_only: bool = False,
    ) -> Obj:
        """The whole List object; `items` is always a list."""
        params = _selectors(labels, fields)
        if limit:
            params["limit"] = str(limit)
        if continue_token:
            params["continue"] = continue_token
        if resource_version:
            params["resourceVersion"] = resource_version
        found = await self._object("GET", res.path(namespace), params, accept=_METADATA if metadata_only else "")
        found["items"] = found.get("items") or []
        return found

    async def create(
        self,
        res: Resource,
        obj: Obj,
        *,
        namespace: str = "",
        name: str = "",
        subresource: str = "",
        params: Params | None = None,
    ) -> Obj:
        """POST. `name` and `subresource` for those that are created: binding, eviction, token."""
        where = namespace or _namespace(obj)
        return await self._object("POST", res.path(where, name, subresource), params, obj)

    async def update(self, res: Resource, obj: Obj, *, subresource: str = "", params: Params | None = None) -> Obj:
        """PUT: Conflict when the object's resourceVersion is no longer the current one."""
        return await self._object("PUT", res.path(namespace(obj), name(obj), subresource), params, obj)

    async def patch(
        self,
        res: Resource,
        name: str,
        patch: Any,
        *,
        namespace: str = "",
        kind: str = "merge",
        subresource: str = "",
        params: Params | None = None,
    ) -> Obj:
        """`kind` is merge, strategic, json or apply (which needs the parameter fieldManager)."""
        path = res.path(namespace, name, subresource)
        return await self._object("PATCH", path, params, patch, PATCH_TYPES[kind])

    async def delete(
        self,
        res: Resource,
        name: str,
        namespace: str = "",
        *,
        grace_period: int | None = None,
        uid: str = "",
        resource_version: str = "",
        propagation: str = "",
        params: Params | None = None,
    ) -> Obj:
        """`uid` and `resource_version` are preconditions: Conflict when they no longer hold."""
        options = _delete_options(grace_period, uid, resource_version, propagation)
        return await self._object("DELETE", res.path(namespace, name), params, options)

    async def delete_collection(
        self,
        res: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        grace_period: int | None = None,
        propagation: str = "",
    ) -> Obj:
        options = _delete_options(grace_period, "", "", propagation)
        return await self._object("DELETE", res.path(namespace), _selectors(labels, fields), options)

    async def watch(
        self,
        res: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        resource_version: str = "",
        bookmarks: bool = True,
        send_initial: bool = False,
        seconds: int = 0,
        metadata_only: bool = False,
    ) -> AsyncGenerator[tuple[str, Obj], None]:
        """(ADDED | MODIFIED | DELETED | BOOKMARK, object) until the server ends it (after `seconds`;
        0 = some minutes). An ERROR event is raised: Expired when `resource_version` is too old."""
        params = _selectors(labels, fields)
        params["watch"] = "true"
        params["timeoutSeconds"] = str(seconds or random.randint(290, 590))
        if bookmarks:
            params["allowWatchBookmarks"] = "true"
        if resource_version:
            params["resourceVersion"] = resource_version
        if send_initial:
            params["sendInitialEvents"] = "true"
            params["resourceVersionMatch"] = "NotOlderThan"
        path, headers = res.path(namespace), {"Accept": _METADATA} if metadata_only else {}
        async with self.stream("GET", path, params=params, headers=headers, read_timeout=_WATCH_SILENCE) as response:
            async for line in lines(response):
                try:
                    event = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise errors.InternalError(f"watch {path}: a line is not JSON: {error}") from error
                if event["type"] == "ERROR":
                    status = event.get("object") or {}
                    raise errors.from_status(status, int(status.get("code") or 500))
                yield event["type"], event["object"]

    async def discover(self) -> builtins.list[Obj]:
        """The aggregated discovery documents (api/served.py reads them)."""
        return [await self._object("GET", path, accept=served.ACCEPT) for path in served.PATHS]

    async def _object(
        self,
        method: str,
        path: str,
        params: Params | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "",
    ) -> Obj:
        sent = None if body is None else orjson.dumps(body)
        if sent is not None and path.endswith(_HOT):
            content = await self.send_hot(method, path, params, sent, content_type)
        else:
            headers = {} if sent is None else {"Content-Type": content_type}
            if accept:
                headers["Accept"] = accept
            content = (await self.request(method, path, params=params, content=sent, headers=headers)).content
        try:
            answer: Obj = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise errors.InternalError(f"{method} {path}: the server's answer is not JSON: {error}") from error
        return answer


def _namespace(obj: Obj) -> str:
    return str((obj.get("metadata") or {}).get("namespace") or "")


def _selectors(labels: str, fields: str) -> dict[str, str]:
    return {k: v for k, v in (("labelSelector", labels), ("fieldSelector", fields)) if v}


def _delete_options(grace_period: int | None, uid: str, resource_version: str, propagation: str) -> Obj:
    options: Obj = {"kind": "DeleteOptions", "apiVersion": "v1"}
    if grace_period is not None:
        options["gracePeriodSeconds"] = grace_period
    if propagation:
        options["propagationPolicy"] = propagation
    preconditions = {k: v for k, v in (("uid", uid), ("resourceVersion", resource_version)) if v}
    if preconditions:
        options["preconditions"] = preconditions
    return options
