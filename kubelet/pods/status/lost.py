"""Containers of which nothing is known at the end of their pod: they count as failed, so that no pod is called a
success for what nobody saw. Source: status_manager.go TerminatePod, hasPodInitialized, initializedContainers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.meta import Obj
from kubelet.pods.sync.restarts import LOST


def unknown_end(message: str = "The container could not be located when the pod was terminated") -> Obj:
    """The terminated state of a container that is not to be found."""
    return {
        "exitCode": LOST,
        "reason": "ContainerStatusUnknown",
        "message": message,
        "startedAt": None,
        "finishedAt": None,
    }


def settled(pod: Mapping[str, Any], status: Mapping[str, Any]) -> dict[str, list[Obj]]:
    """The container statuses of a pod of which nothing runs any more and nothing will. App containers that wait for an
    initialization that was not completed go on waiting, as do init containers whose turn had not come."""
    inits: list[Obj] = status.get("initContainerStatuses") or []
    apps: list[Obj] = status["containerStatuses"]
    reached = max((i for i, told in enumerate(inits) if _has_run(told)), default=0)
    made = {}
    if apps and _initialized(inits, apps):
        made["containerStatuses"] = [_settle(told) for told in apps]
    if inits:
        made["initContainerStatuses"] = [_settle(told) for told in inits[: reached + 1]] + inits[reached + 1 :]
    return made


def _settle(told: Obj) -> Obj:
    return told if told["state"].get("terminated") else {**told, "state": {"terminated": unknown_end()}, "ready": False}


def _has_run(told: Obj) -> bool:
    return "waiting" not in told["state"] or bool(told["lastState"].get("terminated"))


def _initialized(inits: list[Obj], apps: list[Obj]) -> bool:
    if not inits or any(_has_run(told) for told in apps):
        return True
    last = inits[-1]
    ends = (last["state"].get("terminated"), last["lastState"].get("terminated"))
    return bool(last.get("started")) or any(end is not None and end["exitCode"] == 0 for end in ends)
