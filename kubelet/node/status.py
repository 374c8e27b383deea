"""A Node's status from what is known of the node. Pure.

Reasons, wording and the order of conditions: pkg/kubelet/nodestatus/setters.go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import metadata
from typing import Any

from api.meta import Obj, get_condition, rfc3339
from kubelet.configuration import Configuration
from kubelet.docker.images import Image
from kubelet.eviction.thresholds import DISK, MEMORY, PID
from kubelet.node.machine import Machine
from kubelet.node.resources import allocatable, capacity
from kubelet.volumes import read_only

VERSION = f"v1.35.0+sampan.{metadata.version('sampan')}"
_NAMES_OF_AN_IMAGE = 5


@dataclass(frozen=True, slots=True)
class Pressure:
    """A condition that is True while the node is short of something. The reasons are also the names of events,
    without `Kubelet` before them and with `Node` instead."""

    short: str
    short_message: str
    enough: str
    enough_message: str


PRESSURES: Mapping[str, Pressure] = {
    MEMORY: Pressure(
        "HasInsufficientMemory", "kubelet has insufficient memory available",
        "HasSufficientMemory", "kubelet has sufficient memory available",
    ),
    DISK: Pressure(
        "HasDiskPressure", "kubelet has disk pressure", "HasNoDiskPressure", "kubelet has no disk pressure"
    ),
    PID: Pressure(
        "HasInsufficientPID", "kubelet has insufficient PID available",
        "HasSufficientPID", "kubelet has sufficient PID available",
    ),
}  # fmt: skip
_OWNED = (*PRESSURES, "Ready")


@dataclass(frozen=True, slots=True)
class Node:
    """What is known of the node beside its machine."""

    ip: str
    hostname: str
    port: int
    engine: str
    """Docker's version."""
    configuration: Configuration = field(default_factory=Configuration)
    images: Sequence[Image] = ()
    pressure: Collection[str] | None = ()
    """Conditions that are True; None: as they were, nobody has looked yet."""
    not_ready: str = ""
    """Why the node cannot run pods."""


def build(old: Mapping[str, Any], found: Machine, node: Node, now: datetime) -> Obj:
    """The whole status. Conditions of other writers and fields this node does not own are kept."""
    return {
        **{k: v for k, v in old.items() if k != "conditions"},
        "addresses": [
            {"type": "InternalIP", "address": node.ip},
            {"type": "Hostname", "address": node.hostname},
        ],
        "capacity": capacity(found, node.configuration),
        "allocatable": allocatable(found, node.configuration),
        "daemonEndpoints": {"kubeletEndpoint": {"Port": node.port}},
        "nodeInfo": {
            "machineID": found.machine_id,
            "systemUUID": found.system_uuid,
            "bootID": found.boot_id,
            "kernelVersion": found.kernel,
            "osImage": found.os_image,
            "containerRuntimeVersion": f"docker://{node.engine}",
            "kubeletVersion": VERSION,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": found.architecture,
            "swap": {"capacity": found.swap},
        },
        "features": {"supplementalGroupsPolicy": True},
        "runtimeHandlers": [
            {"name": "", "features": {"recursiveReadOnlyMounts": read_only.NODE_CAN, "userNamespaces": False}}
        ],
        "images": _images(node.images, node.configuration.status_max_images),
        "conditions": _conditions(old, node, now),
    }


def _images(images: Iterable[Image], most: int) -> list[Obj]:
    """The largest; -1: all."""
    largest = sorted(images, key=lambda i: i.size, reverse=True)
    shown = [{"names": [*i.digests, *i.tags][:_NAMES_OF_AN_IMAGE], "sizeBytes": i.size} for i in largest]
    named = [i for i in shown if i["names"]]
    return named if most < 0 else named[:most]


def _conditions(old: Mapping[str, Any], node: Node, now: datetime) -> list[Obj]:
    stored = {c["type"]: c for c in old.get("conditions") or []}
    pressure = node.pressure
    if pressure is None:
        pressure = [type_ for type_ in PRESSURES if stored.get(type_, {}).get("status") == "True"]
    made = {
        type_: (True, f"Kubelet{of.short}", of.short_message)
        if type_ in pressure
        else (False, f"Kubelet{of.enough}", of.enough_message)
        for type_, of in PRESSURES.items()
    }
    made["Ready"] = (
        (False, "KubeletNotReady", node.not_ready)
        if node.not_ready
        else (True, "KubeletReady", "kubelet is posting ready status")
    )
    conditions: list[Obj] = []
    for type_, (true, reason, message) in made.items():
        before, word = stored.get(type_, {}), str(true)
        moved = before.get("status") != word
        conditions.append(
            {
                "type": type_,
                "status": word,
                "lastHeartbeatTime": rfc3339(now),
                "lastTransitionTime": rfc3339(now) if moved else before["lastTransitionTime"],
                "reason": reason,
                "message": message,
            }
        )
    others = [c for c in old.get("conditions") or [] if c.get("type") not in _OWNED]
    return others + conditions


def differs(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Something other than a heartbeat's time has changed."""

    def essence(status: Mapping[str, Any]) -> Obj:
        conditions = [{k: v for k, v in c.items() if k != "lastHeartbeatTime"} for c in status.get("conditions") or []]
        return {**status, "conditions": conditions}

    return essence(new) != essence(old)


def events(new: Mapping[str, Any], old: Mapping[str, Any], name: str) -> Iterator[tuple[str, str, str]]:
    """(type, reason, message) of what has changed from one status to the next, as the kubelet tells it."""

    def word(status: Mapping[str, Any], type_: str) -> str:
        return str((get_condition({"status": status}, type_) or {}).get("status", ""))

    boot, before = new["nodeInfo"]["bootID"], (old.get("nodeInfo") or {}).get("bootID") or ""
    if before and before != boot:
        yield "Warning", "Rebooted", f"Node {name} has been rebooted, boot id: {boot}"
    changes = [type_ for type_ in PRESSURES if word(new, type_) != word(old, type_)]
    reasons = [f"Node{PRESSURES[t].short if word(new, t) == 'True' else PRESSURES[t].enough}" for t in changes]
    if word(old, "Ready") not in ("", word(new, "Ready")):
        reasons.append("NodeReady" if word(new, "Ready") == "True" else "NodeNotReady")
    for reason in reasons:
        yield "Normal", reason, f"Node {name} status is now: {reason}"
