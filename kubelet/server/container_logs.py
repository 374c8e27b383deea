"""Which container a log request means, and Docker's parameters for it. Pure.

Rules and wording: kubelet_pods.go validateContainerLogStatus.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.errors import BadRequest
from api.meta import parse_time


def container_id(pod: Mapping[str, Any], name: str, previous: bool) -> str:
    """The Docker id whose log is asked for. BadRequest says why there is none."""
    pod_name, status = pod["metadata"]["name"], pod.get("status") or {}
    kinds = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    found = next((c for kind in kinds for c in status.get(kind) or [] if c["name"] == name), None)
    if found is None:
        raise BadRequest(f'container "{name}" in pod "{pod_name}" is not available')
    state, last = found.get("state") or {}, (found.get("lastState") or {}).get("terminated") or {}
    if previous:
        if not last.get("containerID"):
            raise BadRequest(f'previous terminated container "{name}" in pod "{pod_name}" not found')
        return _plain(last["containerID"])
    if "running" in state:
        return _plain(found["containerID"])
    if (state.get("terminated") or {}).get("containerID"):
        return _plain(state["terminated"]["containerID"])
    if last.get("containerID"):
        return _plain(last["containerID"])
    if "terminated" in state:
        raise BadRequest(f'container "{name}" in pod "{pod_name}" is terminated')
    if "waiting" not in state:
        raise BadRequest(f'container "{name}" in pod "{pod_name}" is waiting to start - no logs yet')
    reason = state["waiting"].get("reason", "")
    why = {
        "ErrImagePull": "image can't be pulled",
        "ImagePullBackOff": "trying and failing to pull image",
    }.get(reason, reason)
    raise BadRequest(f'container "{name}" in pod "{pod_name}" is waiting to start: {why}')


def _plain(identifier: str) -> str:
    return identifier.rpartition("//")[2]


def docker_parameters(query: Mapping[str, str], now: datetime) -> dict[str, str]:
    """BadRequest for a number or a time that is none."""
    params = {"stdout": "1", "stderr": "1", "follow": _flag(query, "follow")}
    match query.get("stream"):
        case "Stdout":
            params["stderr"] = "0"
        case "Stderr":
            params["stdout"] = "0"
    params["timestamps"] = _flag(query, "timestamps")
    if query.get("tailLines"):
        params["tail"] = str(number(query, "tailLines"))
    if query.get("sinceSeconds"):
        params["since"] = f"{now.timestamp() - (number(query, 'sinceSeconds') or 0):.9f}"
    elif query.get("sinceTime"):
        try:
            params["since"] = f"{parse_time(query['sinceTime']).timestamp():.9f}"
        except ValueError as error:
            raise BadRequest(f"invalid sinceTime: {query['sinceTime']}") from error
    return params


def _flag(query: Mapping[str, str], name: str) -> str:
    return "1" if query.get(name, "").lower() in ("true", "1") else "0"


def flag(query: Mapping[str, str], name: str) -> bool:
    return _flag(query, name) == "1"


def number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    try:
        value = int(text)
    except ValueError as error:
        raise BadRequest(f"invalid {name}: {text}") from error
    if value < 0:
        raise BadRequest(f"{name} must be greater than or equal to 0")
    return value
