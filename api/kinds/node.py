"""Node: validation of taints and the pod range, columns."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from api import meta, printing
from api.errors import duplicate, forbidden_field, invalid
from api.kinds import pod_placement
from api.kinds.containers import resource_quantity
from api.kinds.networking import cidr
from api.meta import Obj
from api.registry import Column, Hooks
from api.validation import Errors, shown

_ROLE = "node-role.kubernetes.io/"


def default(node: Obj) -> None:
    node.setdefault("spec", {})
    status = node.get("status") or {}
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = dict(status["capacity"])


def validate(node: Obj, old: Obj | None) -> Errors:
    """Upstream speaks of taints as if they were metadata."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    errors = pod_placement.taints(spec.get("taints") or [], "metadata.taints")
    for kind in ("capacity", "allocatable"):
        for name, value in (status.get(kind) or {}).items():
            errors += resource_quantity(name, value, f"status.{kind}.{name}")
    ranges = spec.get("podCIDRs") or []
    errors += [e for i, value in enumerate(ranges) for e in cidr(value, f"spec.podCIDRs[{i}]")]
    if len(ranges) > 1 and (len(ranges) > 2 or len({":" in value for value in ranges}) < 2):
        text = "may specify no more than one CIDR for each IP family"
        errors.append(invalid("spec.podCIDRs", shown(ranges), text))
    before = (old or {}).get("spec") or {}
    if before.get("podCIDR") and any(spec.get(n) != before.get(n) for n in ("podCIDR", "podCIDRs")):
        errors.append(forbidden_field("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'))
    if before.get("providerID") and spec.get("providerID") != before["providerID"]:
        text = 'node updates may not change providerID except from "" to valid'
        errors.append(forbidden_field("spec.providerID", text))
    return errors


def prepare(node: Obj, old: Obj | None) -> None:
    """podCIDR is the first of podCIDRs."""
    spec = node["spec"]
    if spec.get("podCIDR") and not spec.get("podCIDRs"):
        spec["podCIDRs"] = [spec["podCIDR"]]
    elif spec.get("podCIDRs") and not spec.get("podCIDR"):
        spec["podCIDR"] = spec["podCIDRs"][0]


def validate_status(node: Obj, old: Obj | None) -> Errors:
    errors: Errors = []
    seen: list[Obj] = []
    for index, address in enumerate((node.get("status") or {}).get("addresses") or ()):
        errors += [duplicate(f"status.addresses[{index}]", shown(address))] if address in seen else []
        seen.append(address)
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


HOOKS = Hooks(
    default=default, prepare=prepare, validate=validate, validate_status=validate_status, columns=COLUMNS, cells=cells
)
