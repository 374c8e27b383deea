"""What Docker says of a container, as the kubelet understands it. Pure.

Docker 20.10 says "created" of everything whose start it did not finish itself: of what was never started, of what could
not be started (it has an error or an exit code then), and of what ran although the daemon was killed in the middle of
starting it. With live-restore the next daemon learns from containerd that this one runs, and how it ends, but never
when it was started: it has an end, then (moby, daemon/monitor.go ProcessEvent, container/state.go StateString).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kubelet.docker.labels import (
    CONTAINER_NAME,
    GRACE,
    IMAGE,
    POD_IP,
    POD_NAME,
    POD_NAMESPACE,
    POD_UID,
    RESOURCES,
    RESTART_COUNT,
    SANDBOX_ID,
    SPEC_HASH,
    TERMINATION_LOG,
    TERMINATION_POLICY,
    USER,
)
from kubelet.pods import resize_plan
from kubelet.pods.model import SANDBOX, Container


@dataclass(frozen=True, slots=True)
class Event:
    action: str
    container_id: str
    attributes: Mapping[str, str]
    """Its labels among others."""

    @property
    def exit_code(self) -> int | None:
        """Of a container that has ended; None when Docker did not say."""
        code = self.attributes.get("exitCode", "")
        return int(code) if code.isdigit() else None


def state(word: str) -> str:
    """The word of the daemon's list, in ours: created, running or exited."""
    if word in ("running", "paused", "restarting"):
        return "running"
    return "created" if word == "created" else "exited"


def parse_docker_time(text: str | None) -> datetime | None:
    """RFC 3339 with nanoseconds. Docker's zero time is None."""
    if not text or text.startswith("0001-"):
        return None
    main, _, rest = text.rstrip("Z").partition(".")
    micros = (rest[:6] if rest else "0").ljust(6, "0")
    return datetime.fromisoformat(f"{main}.{micros}").replace(tzinfo=UTC)


def container(found: Mapping[str, Any]) -> Container:
    """`found` as `docker inspect` shows it."""
    labels: Mapping[str, str] = found["Config"]["Labels"]
    told: Mapping[str, Any] = found["State"]
    host: Mapping[str, Any] = found.get("HostConfig") or {}
    kind, failed = state(told["Status"]), False
    created, finished = parse_docker_time(found.get("Created")), parse_docker_time(told.get("FinishedAt"))
    if kind == "created" and (told.get("Error") or (told.get("ExitCode") and finished is None)):
        kind, failed = "exited", True
    elif kind == "created" and finished is not None:
        kind = "exited"
    started = parse_docker_time(told.get("StartedAt")) or (None if kind == "created" else created)
    networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
    own_address = labels.get(POD_IP, "")
    ips = (
        [own_address]
        if own_address and kind == "running"
        else [
            address
            for network in networks.values()
            for address in (network.get("IPAddress"), network.get("GlobalIPv6Address"))
            if address
        ]
    )
    return Container(
        id=found["Id"],
        pod_uid=labels.get(POD_UID, ""),
        pod_name=labels.get(POD_NAME, ""),
        pod_namespace=labels.get(POD_NAMESPACE, ""),
        name=labels.get(CONTAINER_NAME, SANDBOX),
        attempt=int(labels.get(RESTART_COUNT) or 0),
        state=kind,
        sandbox_id=labels.get(SANDBOX_ID, ""),
        created_at=created,
        started_at=started,
        finished_at=created if failed else finished,
        exit_code=int(told.get("ExitCode") or 0) if kind == "exited" else 0,
        oom_killed=bool(told.get("OOMKilled")),
        start_failed=failed,
        error=str(told.get("Error") or ""),
        image=found["Config"].get("Image") or "",
        image_id=labels.get(IMAGE) or (f"docker://{found['Image']}" if found.get("Image") else ""),
        grace=int(labels.get(GRACE) or 30),
        ips=tuple(ips),
        own_address=own_address,
        pid=int(told.get("Pid") or 0),
        host_network=host.get("NetworkMode") == "host",
        termination_log=labels.get(TERMINATION_LOG, ""),
        message_from_logs=labels.get(TERMINATION_POLICY) == "FallbackToLogsOnError",
        spec_hash=labels.get(SPEC_HASH, ""),
        resources=labels.get(RESOURCES, ""),
        applied=resize_plan.applied(host),
        runtime=host.get("Runtime") or "",
        cgroup_parent=host.get("CgroupParent") or "",
        user=labels.get(USER, ""),
        stop_signal=found["Config"].get("StopSignal") or "SIGTERM",
        tty=bool(found["Config"].get("Tty")),
        open_stdin=bool(found["Config"].get("OpenStdin")),
        layer=((found.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir") or "",
        log_path=found.get("LogPath") or "",
    )


def from_event(event: Event) -> Container:
    """As much as its labels tell."""
    return container({"Id": event.container_id, "Config": {"Labels": event.attributes}, "State": {"Status": "created"}})
