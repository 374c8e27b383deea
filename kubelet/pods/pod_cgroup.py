"""The control group of a pod that is limited as a whole: by its own resources (KEP-2837), by huge pages, or because the
node bounds how many processes a pod may have. Other pods need none: what bounds them are their containers' own.

Docker makes the group, as the parent of the sandbox's; what it is to allow is written before each container starts, so
that a crash in between is made good. It goes with the pod's directory.

Source: pkg/kubelet/cm/helpers_linux.go (ResourceConfigForPod)
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from api import pod_resources, quantities
from kubelet.pods import qos

_HUGE = "hugepages-"
Limits = dict[str, int]
"""`shares`, `quota`, `memory`, `pids`, and `hugepages-2Mi` …; what is not there is not limited."""


def limits(pod: Mapping[str, Any], most_pids: int = -1) -> Limits:
    """{} for a pod that needs no group."""
    spec, found = pod["spec"], Limits()
    if pod_resources.has_own(spec):
        own = (spec["resources"].get("limits") or {}).keys()
        most = {k: v for k, v in pod_resources.limits(dict(pod)).items() if k in own}
        made = qos.docker_resources({"resources": {"requests": pod_resources.requests(dict(pod)), "limits": most}})
        found = {"shares": made["CpuShares"]}
        found |= {name: made[key] for name, key in (("quota", "CpuQuota"), ("memory", "Memory")) if key in made}
    for name, amount in pod_resources.limits(dict(pod)).items():
        if name.startswith(_HUGE):
            found[name] = quantities.units(amount)
    if most_pids > 0:
        found["pids"] = most_pids
    return found


def parent(uid: str, driver: str) -> str:
    """What Docker is told; `driver` is its cgroup driver."""
    return f"sampan-pod{uid.replace('-', '_')}.slice" if driver == "systemd" else f"/{_name(uid)}"


def _name(uid: str) -> str:
    """`sampan reset` looks for it, too."""
    return f"sampan-pod{uid}"


_Row = tuple[str, str, Callable[[int], object]]
"""Controller, file, and what is written there of a limit."""

_V1: Mapping[str, tuple[_Row, ...]] = {
    "shares": (("cpu", "cpu.shares", int),),
    "quota": (("cpu", "cpu.cfs_period_us", lambda _: qos.CPU_PERIOD), ("cpu", "cpu.cfs_quota_us", int)),
    "memory": (("memory", "memory.limit_in_bytes", int), ("memory", "memory.memsw.limit_in_bytes", int)),
    "pids": (("pids", "pids.max", int),),
}
_V2: Mapping[str, tuple[_Row, ...]] = {
    "shares": (("cpu", "cpu.weight", lambda shares: 1 + (shares - 2) * 9999 // 262142),),
    "quota": (("cpu", "cpu.max", lambda quota: f"{quota} {qos.CPU_PERIOD}"),),
    "memory": (("memory", "memory.max", int), ("memory", "memory.swap.max", lambda _: 0)),
    "pids": (("pids", "pids.max", int),),
}


def files(limits: Limits, *, unified: bool) -> list[tuple[str, str, str]]:
    """(controller, file, what to write), in an order in which the kernel takes it."""
    rows, huge = (_V2, "max") if unified else (_V1, "limit_in_bytes")
    made = [
        (controller, file, str(text(value)))
        for name, value in limits.items()
        for controller, file, text in rows.get(name, ())
    ]
    sizes = [(name.removeprefix(_HUGE), value) for name, value in limits.items() if name.startswith(_HUGE)]
    return made + [("hugetlb", f"hugetlb.{size.rstrip('i')}B.{huge}", str(value)) for size, value in sizes]


def places(process: str, parent: str, root: Path) -> dict[str, Path]:
    """The group's directory by controller, version 2's under "". `process` is what /proc says of the sandbox's groups.
    Only a group that bears the name we gave it is taken for ours."""
    found: dict[str, Path] = {}
    for line in process.splitlines():
        _, controllers, path = line.split(":", 2)
        directory = Path(path).parent
        if directory.name != Path(parent).name:
            continue
        if not controllers:
            found[""] = root / str(directory).lstrip("/")
        for controller in filter(None, controllers.split(",")):
            mounted = root / controllers if (root / controllers).exists() else root / controller
            found[controller.removeprefix("name=")] = mounted / str(directory).lstrip("/")
    return found


def apply(
    pid: int, parent: str, limits: Limits, root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc")
) -> None:  # fmt: skip
    """Limit the group that the sandbox with this process is in. OSError when the pod would go unlimited."""
    unified = _is_unified(root)
    found = places((proc / str(pid) / "cgroup").read_text(), parent, root)
    for controller, file, text in files(limits, unified=unified):
        where = found.get("" if unified else controller)
        if where is None:
            raise OSError(f"the pod cannot be limited: it has no control group for {controller}")
        if ("swap" in file or "memsw" in file) and not (where / file).exists():
            continue  # the kernel does not count swap
        (where / file).write_text(text)


def remove(uid: str, root: Path = Path("/sys/fs/cgroup")) -> None:
    """What Docker leaves of the group when it made it itself; systemd takes away its own. OSError while something is
    in it."""
    for hierarchy in [root] if _is_unified(root) or not root.is_dir() else root.iterdir():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            (hierarchy / _name(uid)).rmdir()


def _is_unified(root: Path) -> bool:
    return (root / "cgroup.controllers").exists()
