"""Node: validation of taints and the pod range, columns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import meta, printing
from api.errors import duplicate, forbidden_field, not_supported, required
from api.meta import Obj
from api.registry import Column, Hooks
from api.validation import Errors

_ROLE = "node-role.kubernetes.io/"


def default(node: Obj) -> None:
    node.setdefault("spec", {})
    status = node.get("status") or {}
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])


def validate(node: Obj, old: Obj | None) -> Errors:
    errors: Errors = []
    seen: set[tuple[Any, Any]] = set()
    for index, taint in enumerate((node.get("spec") or {}).get("taints") or []):
        at = f"spec.taints[{index}]"
        if not taint.get("key"):
            errors.append(required(f"{at}.key"))
        if taint.get("effect") not in ("NoSchedule", "PreferNoSchedule", "NoExecute"):
            errors.append(
                not_supported(
                    f"{at}.effect", taint.get("effect") or "", ("NoSchedule", "PreferNoSchedule", "NoExecute")
                )
            )
        identity = (taint.get("key"), taint.get("effect"))
        if identity in seen:
            errors.append(duplicate(at, f"{identity[0]}:{identity[1]}"))
        seen.add(identity)
    before = (old or {}).get("spec", {}).get("podCIDR")
    if before and node["spec"].get("podCIDR") != before:
        errors.append(forbidden_field("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'))
    return errors


COLUMNS = (
    Column("Name", format="name"),
    Column("Status"),
    Column("Roles"),
    Column("Age"),
    Column("Version"),
    Column("Internal-IP", priority=1),
    Column("External-IP", priority=1),
    Column("OS-Image", priority=1),
    Column("Kernel-Version", priority=1),
    Column("Container-Runtime", priority=1),
)


def cells(node: Obj, now: datetime) -> list[Any]:
    status = node.get("status") or {}
    info = status.get("nodeInfo") or {}
    return [
        meta.name(node),
        condition_text(node),
        roles(node),
        printing.age_of(node, now),
        info.get("kubeletVersion") or "",
        address(node, "InternalIP") or "<none>",
        address(node, "ExternalIP") or "<none>",
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def condition_text(node: Obj) -> str:
    ready = meta.get_condition(node, "Ready")
    shown = ["Unknown" if ready is None else ("Ready" if ready.get("status") == "True" else "NotReady")]
    if (node.get("spec") or {}).get("unschedulable"):
        shown.append("SchedulingDisabled")
    return ",".join(shown)


def roles(node: Obj) -> str:
    found = {k.removeprefix(_ROLE) for k in meta.labels(node) if k.startswith(_ROLE) and k != _ROLE}
    found |= {v for k, v in meta.labels(node).items() if k == "kubernetes.io/role" and v}
    return printing.join(sorted(found))


def address(node: Obj, kind: str) -> str:
    addresses = (node.get("status") or {}).get("addresses") or []
    return next((str(a["address"]) for a in addresses if a.get("type") == kind), "")


HOOKS = Hooks(default=default, validate=validate, columns=COLUMNS, cells=cells)
