"""What the kubelet knows of a pod on its node: containers as Docker reports them, and how they relate.

Plain values. Nothing here talks to anyone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any

from api.meta import Obj

SANDBOX = "POD"
"""The container name of a sandbox, as dockershim called it. No pod container can have it: it is upper case."""


@dataclass(frozen=True, slots=True)
class Container:
    """One container on this node that bears our labels, a sandbox included."""

    id: str
    pod_uid: str
    pod_name: str
    pod_namespace: str
    name: str
    attempt: int
    state: str
    """created, running or exited. A container Docker could not start is exited with `start_failed`."""
    sandbox_id: str = ""
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int = 0
    oom_killed: bool = False
    start_failed: bool = False
    error: str = ""
    image: str = ""
    image_id: str = ""
    grace: int = 30
    """The pod's termination grace when the container was made: all we know of an orphan."""
    ips: tuple[str, ...] = ()
    """A sandbox's addresses on the pod network."""
    own_address: str = ""
    """The one of them that the kubelet gave it; "" when Docker did."""
    pid: int = 0
    """Of the first process while it runs, as the node counts them."""
    host_network: bool = False
    termination_log: str = ""
    """Where the file behind terminationMessagePath lies on the node."""
    message_from_logs: bool = False
    """terminationMessagePolicy FallbackToLogsOnError."""
    spec_hash: str = ""
    resources: str = ""
    """What the spec said of them when it was made, in JSON; "" when that is not known."""
    applied: tuple[tuple[str, int], ...] | None = None
    """What Docker holds it to: its fields for cpu and memory. None when that is not known."""
    runtime: str = ""
    """Which of Docker's runtimes it runs in."""
    cgroup_parent: str = ""
    """The control group of its pod; "" when it has none of its own."""
    user: str = ""
    """`uid:gid:group,group…` of its first process, when they are known."""
    stop_signal: str = "SIGTERM"
    tty: bool = False
    open_stdin: bool = False
    layer: str = ""
    """The directory on the node that takes what it writes into its own root; "" where Docker does not say."""
    log_path: str = ""
    message: str = ""
    """The termination message, read when the container exited."""

    @property
    def is_sandbox(self) -> bool:
        return self.name == SANDBOX

    @property
    def running(self) -> bool:
        return self.state == "running"

    @property
    def exited(self) -> bool:
        return self.state == "exited"

    @property
    def pod_key(self) -> str:
        return f"{self.pod_namespace}/{self.pod_name}"


@dataclass(slots=True)
class PodContainers:
    """Everything on the node that belongs to one pod, newest attempt first."""

    sandboxes: list[Container] = field(default_factory=list)
    containers: dict[str, list[Container]] = field(default_factory=dict)

    @classmethod
    def of(cls, everything: Iterable[Container]) -> PodContainers:
        pod = cls()
        for container in everything:
            if container.is_sandbox:
                pod.sandboxes.append(container)
            else:
                pod.containers.setdefault(container.name, []).append(container)
        for group in (pod.sandboxes, *pod.containers.values()):
            group.sort(key=lambda c: c.attempt, reverse=True)
        return pod

    @property
    def sandbox(self) -> Container | None:
        """The newest sandbox, alive or not."""
        return self.sandboxes[0] if self.sandboxes else None

    @property
    def live_sandbox(self) -> Container | None:
        sandbox = self.sandbox
        return sandbox if sandbox is not None and sandbox.running else None

    def latest(self, name: str) -> Container | None:
        found = self.containers.get(name)
        return found[0] if found else None

    def previous(self, name: str) -> Container | None:
        latest = self.latest(name)
        return None if latest is None else self.before(latest)

    def before(self, container: Container) -> Container | None:
        """The attempt before this one that is still there."""
        return next((c for c in self.containers[container.name] if c.attempt < container.attempt), None)

    def all(self) -> list[Container]:
        return [c for group in self.containers.values() for c in group]

    def everything(self) -> list[Container]:
        return [*self.all(), *self.sandboxes]

    def running(self) -> list[Container]:
        return [c for c in self.all() if c.running]


@dataclass(frozen=True, slots=True)
class BackOff:
    """The crash-loop memory of one container: the delay its next crash must wait, and since when it counts.

    With another image or other resources it begins anew.
    """

    delay: float
    updated: datetime
    of: str = ""
    """What `back_off_key` says of the container."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last try to make or start a container failed: what status shows as its waiting state.

    `attempt` is the attempt that failed. The next try is due at `retry_at`, or as soon as the spec has another hash.
    """

    reason: str
    message: str
    attempt: int
    retry_at: datetime
    spec_hash: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """The node's verdict that a pod fails, whatever its containers say: eviction, shutdown, deadline, refusal."""

    reason: str
    message: str
    grace: int | None = None
    """The most seconds of grace; None: the pod's own."""
    condition: Obj | None = None
    """What the pod's status says of it besides, such as DisruptionTarget: type, status, reason, message."""


@dataclass(frozen=True, slots=True)
class Probes:
    """What the probes last said of one running container (of one id: a new container starts afresh)."""

    container_id: str
    ready: bool = True
    started: bool = True
    failed: str = ""
    """Set when liveness or startup failed for good: the probe's kind, and the container is to be killed."""
    grace: int | None = None
    """The probe's own terminationGracePeriodSeconds."""


def spec_containers(pod: Mapping[str, Any]) -> list[Obj]:
    return pod["spec"].get("containers") or []


def spec_init_containers(pod: Mapping[str, Any]) -> list[Obj]:
    return pod["spec"].get("initContainers") or []


def spec_ephemeral_containers(pod: Mapping[str, Any]) -> list[Obj]:
    return pod["spec"].get("ephemeralContainers") or []


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """A restartable init container (KEP-753)."""
    return container.get("restartPolicy") == "Always"


def is_init(pod: Mapping[str, Any], name: str) -> bool:
    return any(c["name"] == name for c in spec_init_containers(pod))


def is_ephemeral(pod: Mapping[str, Any], name: str) -> bool:
    return any(c["name"] == name for c in spec_ephemeral_containers(pod))


def find_container(pod: Mapping[str, Any], name: str) -> Obj | None:
    return next((c for c in every_container(pod) if c["name"] == name), None)


def every_container(pod: Mapping[str, Any]) -> list[Obj]:
    return [*spec_init_containers(pod), *spec_containers(pod), *spec_ephemeral_containers(pod)]


def restart_policy(pod: Mapping[str, Any]) -> str:
    return str(pod["spec"].get("restartPolicy") or "Always")


def spec_hash(container: Mapping[str, Any]) -> str:
    """Names what may change under a running container and asks for a new one: its image."""
    return sha256(f"{container['name']}|{container.get('image', '')}".encode()).hexdigest()[:16]


def back_off_key(container: Mapping[str, Any]) -> str:
    """Source: pkg/kubelet/container/helpers.go GetBackoffKey (less the pod's name: it is asked of one pod)."""
    return f"{container.get('image', '')} {json.dumps(container.get('resources') or {}, sort_keys=True)}"


def field_path(pod: Mapping[str, Any], name: str) -> str:
    """What events about a container name as their involvedObject.fieldPath."""
    for kind in ("initContainers", "ephemeralContainers"):
        if any(c["name"] == name for c in pod["spec"].get(kind) or []):
            return f"spec.{kind}{{{name}}}"
    return f"spec.containers{{{name}}}"


def is_terminal(pod: Mapping[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def grace_period(pod: Mapping[str, Any]) -> int:
    """Seconds: the deletion's own grace when the pod is being deleted, else the spec's. There is always one."""
    grace = pod["metadata"].get("deletionGracePeriodSeconds")
    if grace is None:
        grace = pod["spec"].get("terminationGracePeriodSeconds")
    return 30 if grace is None else max(1, int(grace))
