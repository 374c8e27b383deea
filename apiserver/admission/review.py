"""What webhooks and policies are shown of a request: its object in the version they want, and an AdmissionRequest.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#webhook-request-and-response
"""

from __future__ import annotations

from typing import Any, NamedTuple

from api import meta
from api.builtin import NAMESPACES
from api.meta import Obj
from api.registry import Resource
from apiserver.admission.chain import Attempt
from apiserver.auth.user import User
from apiserver.storage.keys import lies_as
from apiserver.storage.store import Store
from apiserver.storage.views import by_hooks


class View(NamedTuple):
    """A request as it is shown in the version of `row`."""

    row: Resource
    obj: Obj | None
    old: Obj | None


def values(attempt: Attempt, view: View) -> dict[str, Any]:
    """`object`, `oldObject` and `request`, for expressions."""
    return {"object": view.obj, "oldObject": view.old, "request": request(attempt, view.row)}


def request(attempt: Attempt, row: Resource) -> Obj:
    """The AdmissionRequest, without what differs from one who sees it to the next: its uid and the objects."""
    asked = attempt.res
    group, version, kind = _kind(attempt)
    shown = (row.group, row.version, row.kind) if is_own(attempt) else (group, version, kind)
    made: Obj = {
        "kind": _gvk(*shown),
        "resource": _gvr(row),
        "requestKind": _gvk(group, version, kind),
        "requestResource": _gvr(asked),
        "operation": attempt.verb.upper(),
        "userInfo": _who(attempt.user),
        "dryRun": attempt.dry_run,
        "options": attempt.options,
    }
    if attempt.subresource:
        made["subResource"] = made["requestSubResource"] = attempt.subresource
    if attempt.name:
        made["name"] = attempt.name
    if namespace := namespace_of(attempt):
        made["namespace"] = namespace
    return made


def namespace_of(attempt: Attempt) -> str:
    """Where the request is for: a namespace is in itself."""
    return attempt.name if attempt.res is NAMESPACES else attempt.namespace


def _kind(attempt: Attempt) -> tuple[str, str, str]:
    obj = attempt.obj if attempt.obj is not None else attempt.old or {}
    group, _, version = str(obj.get("apiVersion", "")).rpartition("/")
    return group, version, str(obj.get("kind", ""))


def is_own(attempt: Attempt) -> bool:
    """Whether the objects are of the resource's own kind, not of its subresource's."""
    return _kind(attempt) == (attempt.res.group, attempt.res.version, attempt.res.kind)


def _gvk(group: str, version: str, kind: str) -> Obj:
    return {"group": group, "version": version, "kind": kind}


def _gvr(row: Resource) -> Obj:
    return {"group": row.group, "version": row.version, "resource": row.plural}


def _who(user: User) -> Obj:
    who = {"username": user.name, "uid": user.uid, "groups": list(user.groups), "extra": user.extra}
    return {name: value for name, value in who.items() if value}


async def show(store: Store, attempt: Attempt, row: Resource) -> View:
    """ApiError when it cannot be converted."""
    old = attempt.old if attempt.verb in ("update", "delete") else None
    if row.api_version == attempt.res.api_version or not is_own(attempt):
        return View(row, attempt.obj, old)
    obj = None if attempt.obj is None else await converted(store, attempt.obj, attempt.res, row)
    return View(row, obj, None if old is None else await converted(store, old, attempt.res, row))


async def converted(store: Store, obj: Obj, source: Resource, target: Resource) -> Obj:
    """`obj`, which stays as it is, in the version of `target`."""
    result: Obj = meta.copied(obj)
    if target.custom is not None:
        (result,) = await store.views.convert([result], source, target)
        return result
    for start, end in ((source, lies_as(source)), (lies_as(target), target)):
        if start.api_version != end.api_version:
            (result,) = await by_hooks([result], start, end)
    return result
