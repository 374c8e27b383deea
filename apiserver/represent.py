"""Objects in the form a client accepts: themselves, a Table, or metadata alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

import orjson

from api import tables
from api.errors import BadRequest
from api.meta import Obj
from api.registry import Resource
from apiserver.negotiate import Form
from apiserver.request import Request
from apiserver.response import Reply
from apiserver.storage.stored import Page, Stored, WatchEvent


def _include(request: Request) -> str:
    include = request.query("includeObject") or "Metadata"
    if include not in ("None", "Metadata", "Object"):
        raise BadRequest(f'unrecognized includeObject value: "{include}"')
    return include


def one(form: Form, request: Request, res: Resource, found: Stored | Obj, now: datetime, status: int = 200) -> Reply:
    """A single object."""
    if not form.kind:
        return Reply(found.raw if isinstance(found, Stored) else orjson.dumps(found), status)
    obj = found.obj() if isinstance(found, Stored) else found
    return Reply(orjson.dumps(_formed(form, request, res, obj, now)), status)


def _formed(form: Form, request: Request, res: Resource, obj: Obj, now: datetime, *, headers: bool = True) -> Obj:
    if form.kind == "Metadata":
        return {**tables.partial(obj), "apiVersion": f"meta.k8s.io/{form.version}"}
    list_meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
    table = tables.table(res, [obj], now, include=_include(request), list_meta=list_meta, headers=headers)
    return {**table, "apiVersion": f"meta.k8s.io/{form.version}"}


def many(form: Form, request: Request, res: Resource, page: Page, now: datetime) -> Reply:
    """A list. For plain JSON the bytes of the objects are sent as they are, never decoded."""
    list_meta: Obj = {"resourceVersion": str(page.revision)}
    if page.continue_token:
        list_meta["continue"] = page.continue_token
    if page.remaining is not None:
        list_meta["remainingItemCount"] = page.remaining
    if form.kind == "Table":
        table = tables.table(res, (s.obj() for s in page.items), now, include=_include(request), list_meta=list_meta)
        return Reply(orjson.dumps({**table, "apiVersion": f"meta.k8s.io/{form.version}"}))
    if form.kind == "Metadata":
        kind, version = "PartialObjectMetadataList", f"meta.k8s.io/{form.version}"
        raws = [orjson.dumps({**tables.partial(s.obj()), "apiVersion": version}) for s in page.items]
    else:
        kind, version = res.list_kind, res.api_version
        raws = [s.raw for s in page.items]
    return Reply(_list_pieces(kind, version, list_meta, raws), between=b",")


def _list_pieces(kind: str, version: str, list_meta: Obj, raws: list[bytes]) -> list[bytes]:
    """The list, to be joined by commas."""
    head = orjson.dumps({"kind": kind, "apiVersion": version, "metadata": list_meta})[:-1] + b',"items":['
    if not raws:
        return [head + b"]}\n"]
    raws[0] = head + raws[0]
    raws[-1] += b"]}\n"
    return raws


def watch_lines(
    form: Form, request: Request, res: Resource, now: Callable[[], datetime]
) -> Callable[[Iterable[WatchEvent]], bytes]:
    """How the events of one watch are written."""
    if not form.kind:
        return lambda events: b"".join([event.line for event in events])
    _include(request)
    first = True

    def lines(events: Iterable[WatchEvent]) -> bytes:
        nonlocal first
        written: list[bytes] = []
        for event in events:
            if event.type == "ERROR":
                written.append(event.line)
                continue
            obj = _formed(form, request, res, event.obj(), now(), headers=first)
            first = False
            written.append(orjson.dumps({"type": event.type, "object": obj}) + b"\n")
        return b"".join(written)

    return lines
