"""What a DELETE does to an object (pure), as k8s.io/apiserver's registry/rest/delete.go decides.

An object goes at once, or is marked and waits: for its finalizers, for the kubelet (pods), for its contents
(namespaces), for its dependents (Foreground and Orphan propagation).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from api import errors, meta
from api.errors import BadRequest, Conflict, Invalid
from api.meta import Obj
from api.registry import Resource
from apiserver.request import check_dry_run

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_POLICIES = ("Background", "Foreground", "Orphan")


@dataclass(slots=True)
class DeleteOptions:
    grace: int | None = None
    policy: str = ""
    orphan: bool | None = None  # the deprecated orphanDependents
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False


def shown(options: DeleteOptions) -> Obj:
    """`options` as they stand in an AdmissionRequest."""
    given = {"uid": options.uid, "resourceVersion": options.resource_version}
    data = {
        "gracePeriodSeconds": options.grace,
        "preconditions": {k: v for k, v in given.items() if v} or None,
        "orphanDependents": options.orphan,
        "propagationPolicy": options.policy or None,
        "dryRun": ["All"] if options.dry_run else None,
    }
    set_ = {k: v for k, v in data.items() if v is not None}
    return {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", **set_}


def options_of(data: Mapping[str, Any]) -> DeleteOptions:
    """From a DeleteOptions object. BadRequest or Invalid when malformed."""
    preconditions = data.get("preconditions") or {}
    dry = data.get("dryRun") or []
    policy = data.get("propagationPolicy") or ""
    orphan, grace = data.get("orphanDependents"), data.get("gracePeriodSeconds")
    if not isinstance(preconditions, dict) or not isinstance(dry, list) or isinstance(grace, bool):
        raise BadRequest("error decoding DeleteOptions: a field has the wrong type")
    if grace is not None and not isinstance(grace, int):
        raise BadRequest("json: cannot unmarshal into Go struct field DeleteOptions.gracePeriodSeconds of type int64")
    check_dry_run(dry)
    if policy and orphan is not None:
        raise _invalid(
            errors.invalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set")
        )
    if policy and policy not in _POLICIES:
        raise _invalid(errors.not_supported("propagationPolicy", policy, sorted((*_POLICIES, "nil"))))
    return DeleteOptions(
        grace=grace,
        policy=policy,
        orphan=orphan,
        uid=str(preconditions.get("uid") or ""),
        resource_version=str(preconditions.get("resourceVersion") or ""),
        dry_run=bool(dry),
    )


def _invalid(error: errors.FieldError) -> Invalid:
    return errors.invalid_object("meta.k8s.io", "DeleteOptions", "", [error])


def check_preconditions(res: Resource, obj: Obj, options: DeleteOptions) -> None:
    """Conflict when the object is not the one that was meant."""
    metadata = obj["metadata"]
    if options.uid and options.uid != metadata.get("uid"):
        raise _unmet(
            res, obj, f"the UID in the precondition ({options.uid}) does not match the UID in record "
            f"({metadata.get('uid')}). The object might have been deleted and then recreated"
        )  # fmt: skip
    if options.resource_version and options.resource_version != metadata.get("resourceVersion"):
        raise _unmet(
            res, obj, f"the ResourceVersion in the precondition ({options.resource_version}) does not match the "
            f"ResourceVersion in record ({metadata.get('resourceVersion')}). The object might have been modified"
        )  # fmt: skip


def _unmet(res: Resource, obj: Obj, why: str) -> Conflict:
    return errors.conflict(res.group, res.plural, meta.name(obj), why)


@dataclass(frozen=True, slots=True)
class Remove:
    """It goes now."""


@dataclass(frozen=True, slots=True)
class Mark:
    """It is written back as `obj`, deletion under way."""

    obj: Obj


@dataclass(frozen=True, slots=True)
class Pending:
    """Its deletion is under way and this request adds nothing."""


Decision = Remove | Mark | Pending


def decide(res: Resource, obj: Obj, options: DeleteOptions, now: datetime) -> Decision:
    """`obj` is left as it is."""
    metadata = obj["metadata"]
    deleting = bool(metadata.get("deletionTimestamp"))
    if res.kind == "Namespace" and not res.group:
        return _decide_namespace(obj, options, deleting, now)
    if not deleting and res.hooks.deleting is not None:
        obj = copy.deepcopy(obj)
        metadata = obj["metadata"]
        res.hooks.deleting(obj, meta.rfc3339(now))
    finalizers = _finalizers(metadata.get("finalizers") or [], options, orphans=res.hooks.orphans and not deleting)
    if res.graceful and deleting and "deletionGracePeriodSeconds" in metadata:
        return _shorten(obj, options, finalizers)
    grace = _grace(res, obj, options)
    if grace > 0 and not deleting:
        return Mark(_marked(obj, finalizers, now, grace))
    if not finalizers:
        return Remove()
    if deleting and finalizers == (metadata.get("finalizers") or []):
        return Pending()
    return Mark(_marked(obj, finalizers, now, 0))


def _grace(res: Resource, obj: Obj, options: DeleteOptions) -> int:
    """Seconds an agent is given to stop the object; 0 when there is no agent to wait for."""
    if not res.graceful:
        return 0
    spec = obj.get("spec") or {}
    if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return 0
    period = options.grace if options.grace is not None else spec.get("terminationGracePeriodSeconds", 30)
    return 1 if period < 0 else int(period)


def _shorten(obj: Obj, options: DeleteOptions, finalizers: list[str]) -> Decision:
    """A graceful deletion that is under way may only get shorter."""
    metadata = obj["metadata"]
    current = int(metadata["deletionGracePeriodSeconds"])
    asked = current if options.grace is None else (1 if options.grace < 0 else options.grace)
    if asked >= current:
        if current == 0 and options.grace is not None and not finalizers:
            return Remove()
        return Pending()
    if asked == 0 and not finalizers:
        return Remove()
    new = copy.deepcopy(obj)
    moment = meta.parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=current - asked)
    new["metadata"]["deletionTimestamp"] = meta.rfc3339(moment)
    new["metadata"]["deletionGracePeriodSeconds"] = asked
    return Mark(new)


def _marked(obj: Obj, finalizers: list[str], now: datetime, grace: int) -> Obj:
    new = copy.deepcopy(obj)
    metadata = new["metadata"]
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    if not metadata.get("deletionTimestamp"):
        metadata["deletionTimestamp"] = meta.rfc3339(now + timedelta(seconds=grace))
        if metadata.get("generation"):
            metadata["generation"] += 1
    metadata["deletionGracePeriodSeconds"] = grace
    return new


def _finalizers(present: list[str], options: DeleteOptions, *, orphans: bool = False) -> list[str]:
    """The finalizers with those of the garbage collector added or removed, as the propagation asks; without one,
    what stands there holds, and else what the kind does (`orphans`)."""
    if options.orphan is not None:
        orphan, foreground = options.orphan, False
    elif options.policy:
        orphan, foreground = options.policy == "Orphan", options.policy == "Foreground"
    else:
        orphan, foreground = ORPHAN in present, FOREGROUND in present
        orphan = orphan or (orphans and not foreground)
    kept = [f for f in present if f not in (ORPHAN, FOREGROUND)]
    return kept + [ORPHAN] * orphan + [FOREGROUND] * foreground


def _decide_namespace(obj: Obj, options: DeleteOptions, deleting: bool, now: datetime) -> Decision:
    """A namespace waits for its spec.finalizers, which the namespace controller takes away when it is empty."""
    if deleting:
        waiting = (obj.get("spec") or {}).get("finalizers") or obj["metadata"].get("finalizers")
        return Pending() if waiting else Remove()
    new = copy.deepcopy(obj)
    new["metadata"]["deletionTimestamp"] = meta.rfc3339(now)
    finalizers = _finalizers(new["metadata"].get("finalizers") or [], options)
    if finalizers:
        new["metadata"]["finalizers"] = finalizers
    new.setdefault("status", {})["phase"] = "Terminating"
    return Mark(new)


def is_over(obj: Obj) -> bool:
    """True when an update took away the last thing that kept an object which is being deleted."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if obj.get("kind") == "Namespace" and (obj.get("spec") or {}).get("finalizers"):
        return False
    return not metadata.get("deletionGracePeriodSeconds")
