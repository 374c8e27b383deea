"""Nodes, with what their pods ask for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from api.meta import Obj
from api.quantities import canonical, format_binary, format_millis, millis, parse, units
from kubectl.describe.events import events_block
from kubectl.describe.sheet import Sheet, lower, rfc1123z, status

_ROLE_PREFIX = "node-role.kubernetes.io/"
_INFO = (
    ("Machine ID", "machineID"), ("System UUID", "systemUUID"), ("Boot ID", "bootID"),
    ("Kernel Version", "kernelVersion"), ("OS Image", "osImage"), ("Operating System", "operatingSystem"),
    ("Architecture", "architecture"), ("Container Runtime Version", "containerRuntimeVersion"),
    ("Kubelet Version", "kubeletVersion"),
)  # fmt: skip


def node(
    obj: Obj, pods: list[Obj], lease: Obj | None, lease_error: str, events: list[Obj] | None, now: datetime
) -> str:
    """`pods` are those bound to the node that have not ended; `lease_error` says why there is no lease."""
    sheet = Sheet(now)
    metadata, spec, state = obj["metadata"], obj.get("spec") or {}, status(obj)
    sheet.line(0, f"Name:\t{metadata['name']}")
    sheet.line(0, f"Roles:\t{','.join(roles(metadata.get('labels') or {})) or '<none>'}")
    sheet.labels("Labels", metadata.get("labels"))
    sheet.annotations(metadata.get("annotations"))
    sheet.line(0, f"CreationTimestamp:\t{rfc1123z(metadata.get('creationTimestamp'))}")
    sheet.block("Taints", taint_lines(spec.get("taints")))
    sheet.line(0, f"Unschedulable:\t{lower(spec.get('unschedulable'))}")
    _lease(sheet, lease, lease_error)
    _conditions(sheet, state.get("conditions"))
    sheet.line(0, "Addresses:")
    for address in state.get("addresses") or []:
        sheet.line(1, f"{address['type']}:\t{address['address']}")
    for title, field in (("Capacity", "capacity"), ("Allocatable", "allocatable")):
        if state.get(field):
            sheet.line(0, f"{title}:")
            for name in sorted(state[field]):
                sheet.line(1, f"{name}:\t{canonical(state[field][name])}")
    info = state.get("nodeInfo") or {}
    sheet.line(0, "System Info:")
    for title, field in _INFO:
        sheet.line(1, f"{title}:\t{info.get(field, '')}")
    if info.get("kubeProxyVersion"):
        sheet.line(1, f"Kube-Proxy Version:\t{info['kubeProxyVersion']}")
    if spec.get("podCIDR"):
        sheet.line(0, f"PodCIDR:\t{spec['podCIDR']}")
    if spec.get("podCIDRs"):
        sheet.line(0, f"PodCIDRs:\t{','.join(spec['podCIDRs'])}")
    if spec.get("providerID"):
        sheet.line(0, f"ProviderID:\t{spec['providerID']}")
    _resources(sheet, pods, state.get("allocatable") or state.get("capacity") or {})
    events_block(sheet, events)
    return sheet.text()


def roles(labels: dict[str, str]) -> list[str]:
    found = {k.removeprefix(_ROLE_PREFIX) for k in labels if k.startswith(_ROLE_PREFIX)}
    return sorted((found | {labels.get("kubernetes.io/role", "")}) - {""})


def taint_lines(taints: list[Obj] | None) -> list[str]:
    lines = []
    for taint in sorted(taints or [], key=lambda t: f"{t.get('effect', '')},{t['key']}"):
        value = f"={taint['value']}" if taint.get("value") else ""
        lines.append(f"{taint['key']}{value}:{taint.get('effect', '')}")
    return lines


def _lease(sheet: Sheet, lease: Obj | None, error: str) -> None:
    if lease is None:
        sheet.line(0, f"Lease:\tFailed to get lease: {error}")
        return
    spec = lease.get("spec") or {}
    sheet.line(0, "Lease:")
    sheet.line(1, f"HolderIdentity:\t{spec.get('holderIdentity') or '<unset>'}")
    for title, field in (("AcquireTime", "acquireTime"), ("RenewTime", "renewTime")):
        sheet.line(1, f"{title}:\t{rfc1123z(spec[field]) if spec.get(field) else '<unset>'}")


def _conditions(sheet: Sheet, conditions: list[Obj] | None) -> None:
    if conditions:
        sheet.line(0, "Conditions:")
        sheet.line(1, "Type\tStatus\tLastHeartbeatTime\tLastTransitionTime\tReason\tMessage")
        sheet.line(1, "----\t------\t-----------------\t------------------\t------\t-------")
    for c in conditions or []:
        sheet.line(1, f"{c['type']} \t{c['status']} \t{rfc1123z(c.get('lastHeartbeatTime'))} "
                      f"\t{rfc1123z(c.get('lastTransitionTime'))} \t{c.get('reason', '')} "
                      f"\t{c.get('message', '')}")  # fmt: skip


Amounts = dict[str, Decimal]


def pod_amounts(pod: Obj, field: str) -> Amounts:
    """A pod's effective `requests` or `limits`: its containers together, or its largest init container.

    Restartable init containers (sidecars) count with the containers, and with the init containers after them.
    """
    spec = pod["spec"]
    total: Amounts = {}
    for container in spec.get("containers") or []:
        _add(total, _amounts(container, field))
    sidecars: Amounts = {}
    highest: Amounts = {}
    for container in spec.get("initContainers") or []:
        asked = _amounts(container, field)
        if container.get("restartPolicy") == "Always":
            _add(total, asked)
            _add(sidecars, asked)
            asked = {}
        together = dict(sidecars)
        _add(together, asked)
        _raise(highest, together)
    _raise(total, highest)
    for name, amount in ((spec.get("resources") or {}).get(field) or {}).items():
        total[name] = parse(amount)
    overhead = spec.get("overhead") or {}
    for name, amount in overhead.items():
        if field == "requests" or name in total:
            _add(total, {name: parse(amount)})
    return total


def _amounts(container: Obj, field: str) -> Amounts:
    return {k: parse(v) for k, v in ((container.get("resources") or {}).get(field) or {}).items()}


def _add(into: Amounts, more: Amounts) -> None:
    for name, amount in more.items():
        into[name] = into.get(name, Decimal(0)) + amount


def _raise(into: Amounts, other: Amounts) -> None:
    for name, amount in other.items():
        into[name] = max(into.get(name, Decimal(0)), amount)


def _shown(name: str, amount: Decimal) -> str:
    """cpu in decimal, bytes in binary form."""
    if not amount:
        return "0"
    if name in ("memory", "ephemeral-storage") or name.startswith("hugepages-"):
        return format_binary(amount)
    return format_millis(int(amount * 1000))


def _share(name: str, amount: Decimal, allocatable: dict[str, str]) -> str:
    limit = allocatable.get(name, "0")
    if name == "cpu":
        part, whole = int(amount * 1000), millis(limit)
    else:
        part, whole = int(amount), units(limit)
    percent = int(part / whole * 100) if whole else 0
    return f"{_shown(name, amount)} ({percent}%)"


def _resources(sheet: Sheet, pods: list[Obj], allocatable: dict[str, str]) -> None:
    sheet.line(0, f"Non-terminated Pods:\t({len(pods)} in total)")
    sheet.line(1, "Namespace\tName\t\tCPU Requests\tCPU Limits\tMemory Requests\tMemory Limits\tAge")
    sheet.line(1, "---------\t----\t\t------------\t----------\t---------------\t-------------\t---")
    totals: tuple[Amounts, Amounts] = ({}, {})
    for pod in pods:
        requests, limits = pod_amounts(pod, "requests"), pod_amounts(pod, "limits")
        _add(totals[0], requests)
        _add(totals[1], limits)
        cells = [
            _share(name, amounts.get(name, Decimal(0)), allocatable)
            for name in ("cpu", "memory")
            for amounts in (requests, limits)
        ]
        metadata = pod["metadata"]
        age = sheet.since(metadata.get("creationTimestamp"))
        sheet.line(1, f"{metadata.get('namespace', '')}\t{metadata['name']}\t\t" + "\t".join([*cells, age]))
    sheet.line(0, "Allocated resources:")
    sheet.line(1, "(Total limits may be over 100 percent, i.e., overcommitted.)")
    sheet.line(1, "Resource\tRequests\tLimits")
    sheet.line(1, "--------\t--------\t------")
    huge, extended = _other_resources(allocatable)
    for name in ("cpu", "memory", "ephemeral-storage", *huge):
        shares = [_share(name, total.get(name, Decimal(0)), allocatable) for total in totals]
        sheet.line(1, "\t".join([name, *shares]))
    for name in extended:
        sheet.line(1, "\t".join([name, *(_shown(name, t.get(name, Decimal(0))) for t in totals)]))


def _other_resources(names: Iterable[str]) -> tuple[list[str], list[str]]:
    known = {"cpu", "memory", "ephemeral-storage", "pods"}
    huge = sorted(n for n in names if n.startswith("hugepages-"))
    return huge, sorted(n for n in names if n not in known and n not in huge)
