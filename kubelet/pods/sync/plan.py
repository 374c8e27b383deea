"""What a decision is made of: what the worker remembers, and the plan that comes out. Plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from kubelet.pods.model import BackOff, Container, Ending, Failure, Probes
from kubelet.pods.resize_plan import Resize


@dataclass(frozen=True, slots=True)
class MakeSandbox:
    attempt: int


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Make and start `name` in the live sandbox. `back_off` is to be remembered once it is carried out."""

    name: str
    attempt: int
    back_off: BackOff | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """Stop a running container: preStop hook, SIGTERM, SIGKILL after `grace` seconds. Not waited for."""

    container: Container
    grace: int
    message: str = ""
    hook: bool = True
    after: tuple[str, ...] = ()
    """Ids of containers that are to end before this one is told to, as long as there is grace left."""
    renew: bool = False
    """It is killed to be started again, however it ends."""


@dataclass(frozen=True, slots=True)
class StopSandbox:
    container: Container


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a container that does not run."""

    container: Container


@dataclass(frozen=True, slots=True)
class ReleaseVolumes:
    """Nothing of the pod runs, or will again: its volumes are not needed any more."""


@dataclass(frozen=True, slots=True)
class Finish:
    """No container of the pod runs: report its last state, remove all with the sandbox, delete the object."""


@dataclass(frozen=True, slots=True)
class Update:
    """Hold a running container to what it has been granted: fields of Docker's HostConfig."""

    container: Container
    resources: dict[str, int]


Action = Update | MakeSandbox | StartContainer | Kill | StopSandbox | Remove | ReleaseVolumes | Finish


@dataclass(slots=True)
class Memory:
    """What a worker remembers of its pod. All of it may be lost without breaking a promise, save `ending`, which
    the worker keeps on disk."""

    back_offs: dict[str, BackOff] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    probes: dict[str, Probes] = field(default_factory=dict)
    """By container id."""
    kills: dict[str, datetime] = field(default_factory=dict)
    """Containers being stopped, by id: the moment SIGKILL is due."""
    renewals: set[str] = field(default_factory=set)
    """Containers killed to be started again, by id."""
    sandbox_failure: Failure | None = None
    stopping_since: datetime | None = None
    """When this worker saw the pod deleted, ended or finished, or its grace cut: the grace counts from there."""
    stopping_grace: int = 0
    resize: Resize = field(default_factory=Resize)
    ending: Ending | None = None
    """The node has decided that this pod fails."""
    longest_delay: float = 300.0
    """The most seconds of crash-loop back-off."""

    def renews(self, container: Container | None) -> bool:
        return container is not None and container.id in self.renewals


@dataclass(slots=True)
class Plan:
    actions: list[Action] = field(default_factory=list)
    wake_at: datetime | None = None
    waiting: dict[str, str] = field(default_factory=dict)
    """Containers held back by crash-loop back-off: name → message."""
    ending: Ending | None = None
    """Set when this decision is that the pod fails: to be remembered."""

    def wake(self, at: datetime) -> None:
        if self.wake_at is None or at < self.wake_at:
            self.wake_at = at

    def starts(self, name: str) -> bool:
        return any(isinstance(a, StartContainer) and a.name == name for a in self.actions)
