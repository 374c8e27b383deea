"""What the bodies of Docker's container-create calls have in common. Pure.

Names and labels are dockershim's, so that what people know of `docker ps` on a node holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api.meta import Obj
from kubelet.docker.labels import CONTAINER_NAME, GRACE, POD_NAME, POD_NAMESPACE, POD_UID, RESTART_COUNT
from kubelet.pods.model import grace_period


@dataclass(frozen=True, slots=True)
class Mount:
    source: str
    target: str
    read_only: bool = False
    propagation: str = ""

    def body(self) -> Obj:
        body: Obj = {"Type": "bind", "Source": self.source, "Target": self.target, "ReadOnly": self.read_only}
        options: Obj = {"Propagation": self.propagation} if self.propagation else {}
        if self.read_only:  # from Engine 25 on it would reach all the way down, which a mount has to ask for
            options["ReadOnlyNonRecursive"] = True
        return {**body, "BindOptions": options} if options else body


@dataclass(frozen=True, slots=True)
class Accounts:
    """Texts of an image's files; "" for one that it has not."""

    passwd: str = ""
    group: str = ""


@dataclass(slots=True)
class Surroundings:
    """What a container is put into."""

    labels: Mapping[str, str]
    """Of the cluster and the node."""
    sandbox_id: str = ""
    target_id: str = ""
    """The container whose processes an ephemeral container sees."""
    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: list[Mount] = field(default_factory=list)
    devices: list[Obj] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    """What its volumes ask its processes to be in."""
    termination_log: str = ""
    image: str = ""
    image_user: str = ""
    accounts: Accounts | None = None
    """Of the image; None when they cannot be told."""
    seccomp: str = ""
    """The profile, when it is a file of the node's."""
    seccomp_default: bool = False
    """Whether who asks for no profile gets Docker's."""
    runtime: str = ""
    """The handler of the pod's RuntimeClass; "" for the node's default."""
    cgroup_parent: str = ""
    log: Mapping[str, str] = field(default_factory=dict)
    """How Docker rotates what it writes."""
    node_memory: int = 0
    cluster_domain: str = "cluster.local"
    lower_oom_score: bool = True
    """False on a machine that does not let us make a process less likely to be killed."""
    selinux: bool = False
    """Whether the machine's kernel enforces it."""
    app_armor: bool = False
    """The same."""


def container_name(name: str, pod: Mapping[str, Any], attempt: int) -> str:
    meta = pod["metadata"]
    return f"k8s_{name}_{meta['name']}_{meta['namespace']}_{meta['uid']}_{attempt}"


def labels(name: str, pod: Mapping[str, Any], attempt: int, around: Surroundings) -> dict[str, str]:
    meta = pod["metadata"]
    return {
        **around.labels,
        POD_NAME: meta["name"],
        POD_NAMESPACE: meta["namespace"],
        POD_UID: meta["uid"],
        CONTAINER_NAME: name,
        RESTART_COUNT: str(attempt),
        GRACE: str(grace_period(pod)),
    }


def place(around: Surroundings) -> Obj:
    """HostConfig fields of a pod that is not where all others are."""
    host: Obj = {}
    if around.runtime:
        host["Runtime"] = around.runtime
    if around.cgroup_parent:
        host["CgroupParent"] = around.cgroup_parent
    return host


def oom_score(score: int, around: Surroundings) -> int:
    return score if around.lower_oom_score else max(score, 0)
