"""/stats/summary: looks at the node as upstream's Summary object. Pure.

Shapes: k8s.io/kubelet/pkg/apis/stats/v1alpha1/types.go; meaning: pkg/kubelet/stats (cri_stats_provider.go, helper.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from api.meta import Obj, rfc3339
from kubelet.stats.filesystems import Filesystem
from kubelet.stats.model import DiskUsage, Interface, Look, PodUsage, Reading, total
from kubelet.volumes.usage import Usage

_DEFAULT_INTERFACE = "eth0"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a summary tells besides control groups and pods' disks."""

    node_name: str
    booted: datetime
    cpus: int
    memory: int
    """Capacity of the node."""
    root: Filesystem
    images: Filesystem
    """Where Docker keeps them."""
    images_used: int
    most_pids: int
    processes: int
    own: Reading
    """Of the kubelet itself."""
    own_start: datetime
    claims: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By uid of a pod: its volumes' claims, by volume name."""


def summary(before: Look, last: Look, around: Surroundings, disks: Mapping[str, DiskUsage] | None) -> Obj:
    """Without `disks` (?only_cpu_and_memory=true) CPU, memory and swap alone."""
    return {"node": _node(before, last, around, disks), "pods": _pods(before, last, around, disks)}


def _node(before: Look, last: Look, around: Surroundings, disks: Mapping[str, DiskUsage] | None) -> Obj:
    time = rfc3339(last.time)
    pods = Reading.total(pod.total for pod in last.pods.values())
    before_pods = Reading.total(pod.total for pod in before.pods.values())
    seconds = last.at - before.at
    kubelet = {"name": "kubelet", "startTime": rfc3339(around.own_start), **_used(around.own, None, 0, time)}
    all_pods = {
        "name": "pods",
        "startTime": rfc3339(around.booted),
        **_used(pods, before_pods, seconds, time, around.memory),
    }
    node: Obj = {
        "nodeName": around.node_name,
        "systemContainers": [kubelet, all_pods],
        "startTime": rfc3339(around.booted),
        **_used(last.node, before.node, seconds, time, around.memory),
    }
    if disks is None:
        return node
    written = [used for disk in disks.values() for used in disk.layers.values()]
    return {
        **node,
        "network": _network(last.interfaces, time),
        "fs": _filesystem(around.root, Usage(around.root.used, around.root.inodes_used), time),
        "runtime": {
            "imageFs": _filesystem(around.images, Usage(around.images_used, around.images.inodes_used), time),
            "containerFs": _filesystem(around.images, total(written), time),
        },
        "rlimit": {"time": time, "maxpid": around.most_pids, "curproc": around.processes},
    }


def _pods(before: Look, last: Look, around: Surroundings, disks: Mapping[str, DiskUsage] | None) -> list[Obj]:
    return [_pod(uid, pod, before, last, around, (disks or {}).get(uid)) for uid, pod in last.pods.items()]


def _pod(
    uid: str, pod: PodUsage, before: Look, last: Look, around: Surroundings,
    disk: DiskUsage | None,
) -> Obj:  # fmt: skip
    time, seconds = rfc3339(last.time), last.at - before.at
    any_of_it = pod.any_container
    containers = []
    old = before.pods.get(uid)
    rates = []
    for name, (container, reading) in pod.containers.items():
        known = old.containers.get(name) if old is not None else None
        same = known[1] if known is not None and known[0].id == container.id else None
        shown: Obj = {"name": name, "startTime": _moment(container.started_at)}
        if same is None and container.started_at is not None:
            # It began after the earlier look: its whole life is the time in between.
            shown |= _used(reading, Reading(), (last.time - container.started_at).total_seconds(), time)
        else:
            shown |= _used(reading, same, seconds, time)
        if disk is not None:
            for part, used in (("rootfs", disk.layers), ("logs", disk.logs)):
                if name in used:
                    shown[part] = _filesystem(around.images, used[name], time)
        containers.append(shown)
        rates.append(shown["cpu"].get("usageNanoCores", 0))
    whole = pod.total
    limits = [reading.limit for _, reading in pod.containers.values()]
    made: Obj = {
        "podRef": {"name": any_of_it.pod_name, "namespace": any_of_it.pod_namespace, "uid": uid},
        "startTime": _moment(any_of_it.created_at),
        "containers": containers,
        **_used(whole, None, 0, time, sum(limits) if limits and all(limits) else 0),
        "process_stats": {"process_count": whole.pids},
    }
    made["cpu"]["usageNanoCores"] = sum(rates)
    if disk is None:
        return made
    if pod.interfaces:
        made["network"] = _network(pod.interfaces, time)
    claims = around.claims.get(uid, {})
    made["volume"] = [
        {**_filesystem(disk.filesystems.get(name, around.root), used, time), "name": name}
        | ({"pvcRef": {"name": claims[name], "namespace": any_of_it.pod_namespace}} if name in claims else {})
        for name, used in disk.volumes.items()
    ]
    made["ephemeral-storage"] = _filesystem(around.root, disk.ephemeral, time)
    return made


def _used(new: Reading, old: Reading | None, seconds: float, time: str, limit: int = 0) -> Obj:
    """The cpu, memory, swap and (on version 2) io of a Summary's entry. `limit` is the memory's, if it is not the
    group's own."""
    cpu: Obj = {"time": time}
    if old is not None and seconds > 0:
        cpu["usageNanoCores"] = int(max(0, new.cpu - old.cpu) / seconds)
    cpu["usageCoreNanoSeconds"] = new.cpu
    memory: Obj = {"time": time}
    limit = limit or new.limit
    if limit:
        memory["availableBytes"] = max(0, limit - new.working_set)
    memory |= {
        "usageBytes": new.memory,
        "workingSetBytes": new.working_set,
        "rssBytes": new.rss,
        "pageFaults": new.faults,
        "majorPageFaults": new.major_faults,
    }
    available = max(0, new.swap_limit - new.swap)
    used: Obj = {
        "cpu": cpu,
        "memory": memory,
        "swap": {"time": time, "swapAvailableBytes": available, "swapUsageBytes": new.swap},
    }
    for resource, pressure in new.pressure.items():
        used.setdefault(resource, {"time": time})["psi"] = pressure
    return used


def _network(interfaces: Iterable[Interface], time: str) -> Obj:
    every = [
        {"name": i.name, "rxBytes": i.rx_bytes, "rxErrors": i.rx_errors, "txBytes": i.tx_bytes, "txErrors": i.tx_errors}
        for i in interfaces
    ]
    default = next((i for i in every if i["name"] == _DEFAULT_INTERFACE), {"name": ""})
    return {"time": time, **default, "interfaces": every}


def _filesystem(found: Filesystem, used: Usage, time: str) -> Obj:
    return {
        "time": time,
        "availableBytes": found.available,
        "capacityBytes": found.capacity,
        "usedBytes": used.bytes,
        "inodesFree": found.inodes_free,
        "inodes": found.inodes,
        "inodesUsed": used.inodes,
    }


def _moment(moment: datetime | None) -> Any:
    return rfc3339(moment) if moment is not None else None
