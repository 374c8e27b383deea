"""A Node's status from what the machine says. Pure, but for reading /proc, /sys and /etc in `machine`.

Reasons and wording: pkg/kubelet/nodestatus/setters.go; thresholds: the eviction defaults.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from api.meta import Obj, get_condition, rfc3339
from kubelet.docker.images import Image

VERSION = f"v1.35.0+sampan.{metadata.version('sampan')}"
MOST_PODS = 110
_MEMORY_THRESHOLD = 100 << 20
_DISK_THRESHOLD = 0.10
_PIDS_THRESHOLD = 1000
_MOST_IMAGES = 50
_OWNED = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Machine:
    """One look at the machine."""

    cpus: int
    memory: int
    memory_available: int
    disk: int
    disk_available: int
    pids_available: int
    machine_id: str
    system_uuid: str
    boot_id: str
    kernel: str
    os_image: str
    architecture: str


def machine(root: Path) -> Machine:
    memory = _meminfo()
    disk = shutil.disk_usage(root)
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory=memory.get("MemTotal", 0),
        memory_available=memory.get("MemAvailable", 0),
        disk=disk.total,
        disk_available=disk.free,
        pids_available=_pids_available(),
        machine_id=_line("/etc/machine-id"),
        system_uuid=_line("/sys/class/dmi/id/product_uuid") or _line("/etc/machine-id"),
        boot_id=_line("/proc/sys/kernel/random/boot_id"),
        kernel=platform.release(),
        os_image=_os_image(),
        architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
    )


def _line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _meminfo() -> dict[str, int]:
    found = {}
    for line in _line("/proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        found[name] = int(rest.split()[0]) * 1024
    return found


def _pids_available() -> int:
    most = int(_line("/proc/sys/kernel/pid_max") or 32768)
    running = _line("/proc/loadavg").split()
    used = int(running[3].partition("/")[2]) if len(running) > 3 else 0
    return most - used


def _os_image() -> str:
    for line in _line("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip('"')
    return "Linux"


def capacity(found: Machine) -> dict[str, str]:
    return {
        "cpu": str(found.cpus),
        "memory": f"{found.memory // 1024}Ki",
        "ephemeral-storage": f"{found.disk // 1024}Ki",
        "pods": str(MOST_PODS),
    }


def build(
    old: Mapping[str, Any],
    found: Machine,
    *,
    node_ip: str,
    hostname: str,
    port: int,
    engine: str,
    images: list[Image],
    not_ready: str,
    now: datetime,
) -> Obj:
    """The whole status. `not_ready` is empty, or why the node cannot run pods. Conditions of other writers and
    fields this node does not own are kept."""
    status: Obj = {k: v for k, v in old.items() if k != "conditions"}
    status["addresses"] = [
        {"type": "InternalIP", "address": node_ip},
        {"type": "Hostname", "address": hostname},
    ]
    status["capacity"] = capacity(found)
    status["allocatable"] = capacity(found)
    status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": port}}
    status["nodeInfo"] = {
        "machineID": found.machine_id,
        "systemUUID": found.system_uuid,
        "bootID": found.boot_id,
        "kernelVersion": found.kernel,
        "osImage": found.os_image,
        "containerRuntimeVersion": f"docker://{engine}",
        "kubeletVersion": VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": found.architecture,
    }
    largest = sorted(images, key=lambda i: i.size, reverse=True)[:_MOST_IMAGES]
    shown = [{"names": [*i.digests, *i.tags], "sizeBytes": i.size} for i in largest]
    status["images"] = [i for i in shown if i["names"]]
    status["conditions"] = _conditions(old, found, not_ready, now)
    return status


def _conditions(old: Mapping[str, Any], found: Machine, not_ready: str, now: datetime) -> list[Obj]:
    short_of_memory = found.memory_available < _MEMORY_THRESHOLD
    short_of_disk = found.disk_available < found.disk * _DISK_THRESHOLD
    short_of_pids = found.pids_available < _PIDS_THRESHOLD
    made = [
        ("MemoryPressure", short_of_memory, "KubeletHasInsufficientMemory",
         "kubelet has insufficient memory available", "KubeletHasSufficientMemory",
         "kubelet has sufficient memory available"),
        ("DiskPressure", short_of_disk, "KubeletHasDiskPressure", "kubelet has disk pressure",
         "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", short_of_pids, "KubeletHasInsufficientPID",
         "kubelet has insufficient PID available", "KubeletHasSufficientPID",
         "kubelet has sufficient PID available"),
        ("Ready", not not_ready, "KubeletReady", "kubelet is posting ready status", "KubeletNotReady",
         not_ready),
    ]  # fmt: skip
    conditions: list[Obj] = []
    for type_, true, reason, message, other_reason, other_message in made:
        before = get_condition({"status": old}, type_) or {}
        word = "True" if true else "False"
        moved = before.get("status") != word
        conditions.append(
            {
                "type": type_,
                "status": word,
                "lastHeartbeatTime": rfc3339(now),
                "lastTransitionTime": rfc3339(now) if moved else before["lastTransitionTime"],
                "reason": reason if true else other_reason,
                "message": message if true else other_message,
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
