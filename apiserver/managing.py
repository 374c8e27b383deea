"""Who writes, and through which door: what field management needs to know of a request.

A write is by the manager that `fieldManager` names, else by the program that the User-Agent names.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers
"""

from __future__ import annotations

import copy

from api import errors, objects
from api.errors import FieldError
from api.meta import Obj
from api.objects import Track
from api.patch import managers, typed
from api.patch.managers import Door, Version
from api.registry import Resource
from apiserver.context import Context
from apiserver.request import Request

_LONGEST = 128
_OPTIONS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}
_VALIDATIONS = ("", objects.IGNORE, objects.STRICT, objects.WARN)


def manager_of(request: Request, *, applies: bool = False) -> str:
    """The name of the writer. Invalid when the options of the write are malformed."""
    given = request.query("fieldManager")
    found = _broken(given)
    if applies and not given:
        found.insert(0, errors.required("fieldManager", "is required for apply patch"))
    if request.info.verb == "patch" and not applies and "force" in request.queries:
        found.insert(0, errors.forbidden_field("force", "may not be specified for non-apply patch"))
    if (validation := request.query("fieldValidation")) not in _VALIDATIONS:
        found.append(errors.not_supported("fieldValidation", validation, _VALIDATIONS))
    if found:
        raise errors.invalid_object("meta.k8s.io", _OPTIONS.get(request.info.verb, "UpdateOptions"), "", found)
    return given or _program(request.header(b"user-agent"))


def _broken(manager: str) -> list[FieldError]:
    found = []
    if len(manager.encode()) > _LONGEST:
        found.append(errors.too_long("fieldManager", _LONGEST))
    for index, char in enumerate(manager):
        if not char.isprintable():
            why = f"invalid character U+{ord(char):04X} (at position {index})"
            found.append(errors.invalid("fieldManager", manager, why))
    return found


def _program(user_agent: str) -> str:
    name = "".join(filter(str.isprintable, user_agent.partition("/")[0]))
    return name.encode()[:_LONGEST].decode(errors="ignore")


def door(context: Context, res: Resource, subresource: str) -> Door:
    reset, only = objects.kept_by(res, subresource)

    def versions(api_version: str) -> Version | None:
        group, _, version = api_version.rpartition("/")
        row = context.registry.by_kind(group, version, res.kind)
        return Version(typed.of(row), lambda obj: _converted(obj, res, row)) if row is not None else None

    return Door(res, context.now(), subresource, reset, only, versions)


def _converted(obj: Obj, source: Resource, target: Resource) -> Obj:
    """`obj` in another version, as far as that takes no webhook."""
    result = copy.deepcopy(obj)
    if source.stored_as is not None:
        result = source.hooks.to_stored(result)
    if target.stored_as is not None:
        result = target.hooks.from_stored(result)
    result["apiVersion"] = target.api_version
    return result


def tracker(context: Context, request: Request, res: Resource) -> Track:
    """What notes the manager of this request in an object that it creates or updates."""
    manager, at = manager_of(request), door(context, res, request.info.subresource)

    def track(new: Obj, old: Obj | None) -> None:
        warning = objects.dedupe_owners(new)
        if warning and warning not in request.warnings:
            request.warnings.append(warning)
        managers.track(at, new, old, manager)

    return track


def own(context: Context, res: Resource) -> Track:
    """The same for what the server writes by itself."""
    at = door(context, res, "")
    return lambda new, old: managers.track(at, new, old, "kube-apiserver")
