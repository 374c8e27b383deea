"""The EndpointSlices of a service: what to create, update and delete so that they list its pods. Pure.

Pods with the same resolved ports share slices of at most 100 endpoints. Endpoints keep their slice as long as
they exist, so that a change of one pod rewrites one slice. A service without any endpoint has one empty slice.
Rules: k8s.io/endpointslice/reconciler.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from api import meta
from api.meta import Obj
from controller import backends, pod_state
from controller.backends import Port

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
MAX_ENDPOINTS = 100

Ports = tuple[Port, ...]


@dataclass(slots=True)
class Plan:
    create: list[Obj] = field(default_factory=list)
    update: list[Obj] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)


def plan(
    service: Obj, pods: Iterable[Obj], zones: Mapping[str, str], existing: Sequence[Obj], limit: int = MAX_ENDPOINTS
) -> Plan:
    """`pods` of the service's namespace; `zones` by node name; `existing` slices that are ours, in any order;
    `limit` endpoints in each."""
    result = Plan()
    selected = backends.selected(service, pods)
    live = [s for s in existing if not meta.is_deleting(s)]
    wanted_families = backends.families(service)
    result.delete += [s for s in live if s.get("addressType") not in wanted_families]
    for family in wanted_families:
        ours = [s for s in live if s.get("addressType") == family]
        _plan_family(service, family, _desired(service, family, selected, zones), ours, result, limit)
    return result


def _desired(service: Obj, family: str, pods: Iterable[Obj], zones: Mapping[str, str]) -> dict[Ports, dict[str, Obj]]:
    """Endpoints by ports and then by pod UID."""
    desired: dict[Ports, dict[str, Obj]] = {}
    for pod in pods:
        ips = backends.addresses(pod, family)
        if ips and backends.belongs(pod, include_terminating=True):
            entry = endpoint(service, pod, ips, zones)
            desired.setdefault(backends.ports(service, pod), {})[meta.uid(pod)] = entry
    return desired


def endpoint(service: Obj, pod: Obj, ips: list[str], zones: Mapping[str, str]) -> Obj:
    node = pod_state.node_name(pod)
    result: Obj = {
        "addresses": ips,
        "conditions": {
            "ready": backends.is_published_ready(service, pod),
            "serving": pod_state.is_ready(pod),
            "terminating": meta.is_deleting(pod),
        },
    }
    hostname = backends.hostname(service, pod)
    if hostname:
        result["hostname"] = hostname
    if node:
        result["nodeName"] = node
    if zones.get(node):
        result["zone"] = zones[node]
    result["targetRef"] = backends.target_ref(pod)
    return result


def _plan_family(
    service: Obj, family: str, desired: dict[Ports, dict[str, Obj]], existing: Sequence[Obj], result: Plan, limit: int
) -> None:
    by_ports: dict[Ports, list[Obj]] = {}
    for slice_ in existing:
        by_ports.setdefault(_ports_of(slice_), []).append(slice_)
    wanted: list[tuple[Ports, list[Obj], Obj | None]] = []
    spare: list[Obj] = []
    for ports in sorted(by_ports.keys() | desired.keys()):
        kept, unused = _pack(ports, desired.get(ports, {}), by_ports.get(ports, []), limit)
        wanted += kept
        spare += unused
    if not wanted:
        wanted.append(((), [], None))
    spare.sort(key=meta.name)
    for ports, endpoints, listed_in in wanted:
        target = listed_in or (spare.pop() if spare else None)  # rewriting one is cheaper than delete and create
        new = _slice(service, family, ports, endpoints, target)
        if target is None:
            result.create.append(new)
        elif not _same(target, new):
            result.update.append(new)
    result.delete += spare


def _pack(
    ports: Ports, desired: dict[str, Obj], existing: Sequence[Obj], limit: int
) -> tuple[list[tuple[Ports, list[Obj], Obj | None]], list[Obj]]:
    """Endpoints to slices: those already listed stay where they are, new ones fill the fullest with room."""
    left = dict(desired)
    kept: list[tuple[Ports, list[Obj], Obj | None]] = []
    unused: list[Obj] = []
    for slice_ in sorted(existing, key=meta.name):
        uids = [_uid_of(e) for e in slice_.get("endpoints") or []]
        stay = [left.pop(uid) for uid in uids if uid in left]
        if stay:
            kept.append((ports, stay, slice_))
        else:
            unused.append(slice_)
    fresh = list(left.values())
    for _, endpoints, _ in sorted(kept, key=lambda entry: -len(entry[1])):
        room = limit - len(endpoints)
        endpoints += fresh[:room]
        fresh = fresh[room:]
    for start in range(0, len(fresh), limit):
        kept.append((ports, fresh[start : start + limit], None))
    return kept, unused


def _uid_of(entry: Obj) -> str:
    return str((entry.get("targetRef") or {}).get("uid") or "")


def _ports_of(slice_: Obj) -> Ports:
    return tuple(
        sorted(
            Port(p.get("name") or "", int(p.get("port") or 0), p.get("protocol") or "TCP", p.get("appProtocol") or "")
            for p in slice_.get("ports") or []
        )
    )  # fmt: skip


def _slice(service: Obj, family: str, ports: Ports, endpoints: list[Obj], old: Obj | None) -> Obj:
    labels = backends.service_labels(service)
    labels |= {SERVICE_NAME: meta.name(service), MANAGED_BY: MANAGER}
    metadata: Obj = dict(old["metadata"]) if old else {
        "generateName": f"{meta.name(service)}-",
        "namespace": meta.namespace(service),
    }  # fmt: skip
    metadata["labels"] = labels
    metadata["ownerReferences"] = [meta.controller_reference(service, "v1", "Service")]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        "addressType": family,
        "endpoints": endpoints,
        "ports": [port.as_obj() for port in ports],
    }


def _same(old: Obj, new: Obj) -> bool:
    return (
        meta.labels(old) == meta.labels(new)
        and meta.owner_references(old) == meta.owner_references(new)
        and (old.get("endpoints") or []) == new["endpoints"]
        and _ports_of(old) == _ports_of(new)
    )
