"""Reading the metadata every object has. Objects are plain JSON dicts, as on the wire.

Functions here only read, except `set_condition`, which edits the list it is given.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Obj = dict[str, Any]


def copied(value: Any) -> Any:
    """A deep copy of JSON data; `copy.deepcopy` also looks for values that stand at two places, and takes five times
    as long."""
    if value.__class__ is dict:
        return {k: copied(v) if v.__class__ in _CONTAINERS else v for k, v in value.items()}
    if value.__class__ is list:
        return [copied(v) if v.__class__ in _CONTAINERS else v for v in value]
    return value


_CONTAINERS = frozenset((dict, list))


def name(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"].get("name", ""))


def namespace(obj: Mapping[str, Any]) -> str:
    """The namespace, or "" for a cluster-scoped object."""
    return str(obj["metadata"].get("namespace") or "")


def uid(obj: Mapping[str, Any]) -> str:
    return str(obj["metadata"].get("uid", ""))


def labels(obj: Mapping[str, Any]) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def annotations(obj: Mapping[str, Any]) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def resource_version(obj: Mapping[str, Any]) -> int:
    return int(obj["metadata"].get("resourceVersion") or 0)


def key(obj: Mapping[str, Any]) -> str:
    """`namespace/name`, or `name` for a cluster-scoped object: what work queues and stores use."""
    ns = namespace(obj)
    return f"{ns}/{name(obj)}" if ns else name(obj)


def split_key(value: str) -> tuple[str, str]:
    """(namespace, name); namespace is "" for a cluster-scoped key."""
    ns, _, rest = value.rpartition("/")
    return ns, rest


def is_deleting(obj: Mapping[str, Any]) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def owner_references(obj: Mapping[str, Any]) -> list[Obj]:
    return obj["metadata"].get("ownerReferences") or []


def controller_of(obj: Mapping[str, Any]) -> Obj | None:
    """The owner reference marked `controller: true`, if any."""
    return next((ref for ref in owner_references(obj) if ref.get("controller")), None)


def controller_reference(owner: Mapping[str, Any], api_version: str, kind: str) -> Obj:
    """The owner reference a controller sets on what it makes."""
    return {
        "apiVersion": api_version,
        "kind": kind,
        "name": name(owner),
        "uid": uid(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def get_condition(obj: Mapping[str, Any], type_: str) -> Obj | None:
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c.get("type") == type_), None)


def is_condition_true(obj: Mapping[str, Any], type_: str) -> bool:
    condition = get_condition(obj, type_)
    return condition is not None and condition.get("status") == "True"


def set_condition(conditions: list[Obj], new: Obj, now: datetime) -> bool:
    """Add or replace `new` in `conditions`; lastTransitionTime moves only when status does.

    Returns True when something other than a timestamp changed.
    """
    stamp = rfc3339(now)
    for index, old in enumerate(conditions):
        if old.get("type") != new["type"]:
            continue
        moved = old.get("status") != new["status"]
        kept = old.get("lastTransitionTime")
        merged = {**new, "lastTransitionTime": stamp if moved or not kept else kept}
        changed = any(old.get(f) != merged.get(f) for f in ("status", "reason", "message", "observedGeneration"))
        conditions[index] = merged
        return changed
    conditions.append({"lastTransitionTime": stamp, **new})
    return True


def rfc3339(moment: datetime) -> str:
    """metav1.Time: UTC, whole seconds, `2026-01-02T03:04:05Z`."""
    return moment.astimezone(UTC).isoformat()[:19] + "Z"


def rfc3339_micro(moment: datetime) -> str:
    """metav1.MicroTime: UTC, six digits, `2026-01-02T03:04:05.000006Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")[:26] + "Z"


def parse_time(text: str) -> datetime:
    """An aware datetime from either form. ValueError when it is neither."""
    return datetime.fromisoformat(text)
