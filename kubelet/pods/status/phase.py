"""A pod's phase from the statuses of its containers. Rules: kubelet_pods.go getPhase; KEP-753 for sidecars."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from typing import Any

from api.meta import Obj
from kubelet.pods.model import is_sidecar, spec_containers, spec_init_containers
from kubelet.pods.sync.restarts import restarts


def phase(pod: Mapping[str, Any], status: Mapping[str, Any], renewing: Container[str] = (), *, over: bool) -> str:
    """`renewing`: names of containers that start again however they ended. `over`: nothing of the pod runs and nothing
    will, whatever its restart policy."""
    inits = {told["name"]: told for told in status.get("initContainerStatuses") or []}
    begun = any(_has_run(told) for told in status["containerStatuses"])
    seen: Counter[str] = Counter()
    for container in spec_init_containers(pod):
        told = inits[container["name"]]
        seen.update(_sidecar(told) if is_sidecar(container) else _plain_init(pod, container, told))
    for container, told in zip(spec_containers(pod), status["containerStatuses"], strict=True):
        seen.update(_app(pod, container, told, container["name"] in renewing))
    if seen["failed"]:
        return "Failed"
    if over:
        return "Succeeded" if begun and seen["stopped"] == seen["succeeded"] and not seen["waiting"] else "Failed"
    if seen["pending init"] or (seen["pending sidecar"] and not begun) or seen["waiting"]:
        return "Pending"
    if seen["running"]:
        return "Running"
    if not seen["stopped"]:
        return "Pending"
    if seen["again"]:
        return "Running"
    return "Succeeded" if seen["stopped"] == seen["succeeded"] else "Failed"


def _plain_init(pod: Mapping[str, Any], container: Mapping[str, Any], told: Obj) -> list[str]:
    ended = _last_end(told)
    if ended is None:
        return ["pending init"]
    code = int(ended["exitCode"])
    return ["failed"] if code and not restarts(pod, container, code) else []


def _sidecar(told: Obj) -> list[str]:
    if "running" in told["state"]:
        return ["running"] if told["started"] else ["running", "pending sidecar"]
    return [] if _last_end(told) is not None else ["waiting", "pending sidecar"]


def _app(pod: Mapping[str, Any], container: Mapping[str, Any], told: Obj, again: bool) -> list[str]:
    if "running" in told["state"]:
        return ["running"]
    ended = _last_end(told)
    if ended is None:
        return ["waiting"]
    code = int(ended["exitCode"])
    words = ["stopped"]
    if again or restarts(pod, container, code):
        words.append("again")
    if code == 0 and told["state"].get("terminated"):
        words.append("succeeded")
    return words


def _last_end(told: Obj) -> Obj | None:
    if "running" in told["state"]:
        return None
    ended: Obj | None = told["state"].get("terminated") or told["lastState"].get("terminated")
    return ended


def _has_run(told: Obj) -> bool:
    return "running" in told["state"] or _last_end(told) is not None
