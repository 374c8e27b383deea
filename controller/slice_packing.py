"""Packing endpoints into slices so that as few slices as possible change. Pure.

Endpoints with the same ports share slices of a limited size and keep their slice as long as they exist. Which
endpoints there should be is the caller's business: pods behind a service, or a hand-written Endpoints object.
Rules: k8s.io/endpointslice/reconciler.go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from api import meta
from api.meta import Obj
from controller.backends import Port

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MAX_ENDPOINTS = 100

Ports = tuple[Port, ...]
Desired = dict[Ports, dict[str, Obj]]
"""Endpoints by ports and then by identity (see `identity`)."""


@dataclass(slots=True)
class Plan:
    create: list[Obj] = field(default_factory=list)
    update: list[Obj] = field(default_factory=list)
    delete: list[Obj] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Header:
    """What all slices of one parent have in common."""

    service: str
    namespace: str
    labels: dict[str, str]
    owner: Obj  # the owner reference


def identity(entry: Obj) -> str:
    """What makes an endpoint the same one in another state: its pod, or else its address."""
    return str((entry.get("targetRef") or {}).get("uid") or (entry.get("addresses") or [""])[0])


def pack(
    header: Header,
    family: str,
    desired: Desired,
    existing: Sequence[Obj],
    result: Plan,
    *,
    limit: int = MAX_ENDPOINTS,
    keep_one: bool = True,
) -> None:
    """Add to `result` what turns `existing`, the parent's slices of one address family, into `desired`.
    `keep_one`: when nothing is desired one empty slice says so."""
    by_ports: dict[Ports, list[Obj]] = {}
    for slice_ in existing:
        by_ports.setdefault(_ports_of(slice_), []).append(slice_)
    wanted: list[tuple[Ports, list[Obj], Obj | None]] = []
    spare: list[Obj] = []
    for ports in sorted(by_ports.keys() | desired.keys()):
        kept, unused = _pack(ports, desired.get(ports, {}), by_ports.get(ports, []), limit)
        wanted += kept
        spare += unused
    if not wanted and keep_one:
        wanted.append(((), [], None))
    spare.sort(key=meta.name)
    for ports, endpoints, listed_in in wanted:
        target = listed_in or (spare.pop() if spare else None)  # rewriting one is cheaper than delete and create
        new = _slice(header, family, ports, endpoints, target)
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
        uids = [identity(e) for e in slice_.get("endpoints") or []]
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


def _ports_of(slice_: Obj) -> Ports:
    return tuple(
        sorted(
            Port(p.get("name") or "", int(p.get("port") or 0), p.get("protocol") or "TCP", p.get("appProtocol") or "")
            for p in slice_.get("ports") or []
        )
    )  # fmt: skip


def _slice(header: Header, family: str, ports: Ports, endpoints: list[Obj], old: Obj | None) -> Obj:
    metadata: Obj = dict(old["metadata"]) if old else {
        "generateName": f"{header.service}-",
        "namespace": header.namespace,
    }  # fmt: skip
    metadata["labels"] = header.labels
    metadata["ownerReferences"] = [header.owner]
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
