"""Which container a log request means, and what of its log is wanted. Pure.

Rules and wording: kubelet_pods.go validateContainerLogStatus.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from api.errors import BadRequest, Invalid
from api.meta import parse_time
from kubelet.logs.entries import Wanted


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


def check(query: Mapping[str, str]) -> None:
    """BadRequest for what cannot be read, Invalid for what is not allowed, both in upstream's few words
    (getContainerLogs, ValidatePodLogOptions)."""
    try:
        tail, since, limited = (number(query, name) for name in ("tailLines", "sinceSeconds", "limitBytes"))
        if query.get("sinceTime"):
            parse_time(query["sinceTime"])
    except ValueError as error:
        raise BadRequest('{"message": "Unable to decode query."}') from error
    stream = query.get("stream") or "All"
    wrong = (
        tail is not None and tail < 0,
        since is not None and since < 1,
        limited is not None and limited < 1,
        since is not None and query.get("sinceTime"),
        stream not in ("All", "Stdout", "Stderr"),
        stream != "All" and tail is not None,
    )
    if any(wrong):
        raise Invalid('{"message": "Invalid request."}')


def wanted(query: Mapping[str, str], now: datetime) -> Wanted:
    """Of a query that was checked."""
    stream, seconds = query.get("stream") or "All", number(query, "sinceSeconds")
    since = parse_time(query["sinceTime"]) if query.get("sinceTime") else None
    return Wanted(
        stdout=stream != "Stderr",
        stderr=stream != "Stdout",
        since=since if seconds is None else now - timedelta(seconds=seconds),
        tail=number(query, "tailLines"),
        timestamps=flag(query, "timestamps"),
        follow=flag(query, "follow"),
        limit=number(query, "limitBytes"),
    )


def flag(query: Mapping[str, str], name: str) -> bool:
    return query.get(name, "").lower() in ("true", "1")


def number(query: Mapping[str, str], name: str) -> int | None:
    """None when it is not given. ValueError."""
    text = query.get("tail") if name == "tailLines" and "tailLines" not in query else query.get(name)
    return int(text) if text and text != "all" else None
