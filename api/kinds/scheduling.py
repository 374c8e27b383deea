"""PriorityClass and RuntimeClass: defaults, validation, columns.

Rules and wording follow k8s.io/kubernetes/pkg/apis/scheduling and pkg/apis/node.
"""

from __future__ import annotations

from api import meta
from api.columns import AGE, Cell, at, tabled
from api.errors import forbidden_field
from api.meta import Obj
from api.registry import Hooks
from api.rules import given, of
from api.validation import Errors, dns_label, immutable, labels, resource_list

HIGHEST_USER_PRIORITY = 1_000_000_000
_PREFIX = "system-"


def _system_class(name: str, value: int, description: str) -> Obj:
    return {
        "metadata": {"name": name},
        "value": value,
        "description": f"Used for system critical pods that must {description}",
    }


# Every cluster has these two.
SYSTEM_CLASSES = {
    meta.name(c): c
    for c in (
        _system_class(
            "system-cluster-critical",
            2 * HIGHEST_USER_PRIORITY,
            "run in the cluster, but can be moved to another node if necessary.",
        ),
        _system_class(
            "system-node-critical", 2 * HIGHEST_USER_PRIORITY + 1000, "not be moved from their current node."
        ),
    )
}


def _default_class(priority_class: Obj) -> None:
    priority_class.setdefault("value", 0)
    priority_class.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _prepare_class(priority_class: Obj, old: Obj | None) -> None:
    if old is None:
        priority_class["metadata"]["generation"] = 1


def _reserved(priority_class: Obj) -> str:
    """Why this class may not have a name of the system's, or ""."""
    known = SYSTEM_CLASSES.get(meta.name(priority_class))
    if known is None:
        return f"{meta.name(priority_class)} is not a known system priority class"
    if priority_class["value"] != known["value"]:
        return f"value of {meta.name(known)} PriorityClass must be {known['value']}"
    if priority_class.get("globalDefault"):
        return f"globalDefault of {meta.name(known)} PriorityClass must be false"
    return ""


def _validate_class(priority_class: Obj, old: Obj | None) -> Errors:
    value, policy = priority_class["value"], priority_class.get("preemptionPolicy")
    if old is not None:
        errors: Errors = []
        if value != old.get("value"):
            errors.append(forbidden_field("value", "may not be changed in an update."))
        return errors + immutable(policy, old.get("preemptionPolicy"), "preemptionPolicy")
    errors = []
    why = _reserved(priority_class) if meta.name(priority_class).startswith(_PREFIX) else ""
    if why:
        text = f"priority class names with '{_PREFIX}' prefix are reserved for system use only. error: {why}"
        errors.append(forbidden_field("metadata.name", text))
    elif value > HIGHEST_USER_PRIORITY and not meta.name(priority_class).startswith(_PREFIX):
        text = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        errors.append(forbidden_field("value", text))
    return errors + of("PreemptLowerPriority", "Never")(policy, "preemptionPolicy")


def _validate_runtime(runtime: Obj, old: Obj | None) -> Errors:
    handler = runtime.get("handler") or ""
    if old is not None:
        return immutable(handler, old.get("handler"), "handler")
    errors = dns_label(handler, "handler")
    errors += given(resource_list)((runtime.get("overhead") or {}).get("podFixed"), "overhead.limits")
    return errors + labels((runtime.get("scheduling") or {}).get("nodeSelector"), "scheduling.nodeSelector")


PRIORITY_CLASS = tabled(
    Hooks(default=_default_class, prepare=_prepare_class, validate=_validate_class),
    Cell("Value", at("value", absent=0), "integer"),
    Cell("Global-Default", at("globalDefault", absent=False), "boolean"),
    AGE,
    Cell("PreemptionPolicy", at("preemptionPolicy")),
)
RUNTIME_CLASS = tabled(Hooks(validate=_validate_runtime), Cell("Handler", at("handler")), AGE)
