"""Which init containers are due, and whether the app containers may start.

They are looked at from the last to the first: one that was reached shows that those before it are through. Plain ones
run one after the other; a sidecar (KEP-753) lets the next begin once it has started, and is kept running from then on.
Rules: kuberuntime_container.go computeInitContainerActions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from api.meta import Obj
from kubelet.pods.model import Container, PodContainers, Probes, is_sidecar, spec_containers, spec_init_containers
from kubelet.pods.sync.plan import Memory


class Initialization(NamedTuple):
    due: list[Obj]
    """To be started, if their policies and back-offs allow."""
    done: bool
    """The app containers may run."""


def initialize(pod: Mapping[str, Any], observed: PodContainers, sandbox: Container, memory: Memory) -> Initialization:
    inits = spec_init_containers(pod)
    done = not inits or begun(pod, observed, sandbox)
    due: list[Obj] = []
    passed = done
    for index in reversed(range(len(inits))):
        container = inits[index]
        here = _in(sandbox, observed.latest(container["name"]))
        if here is None:
            if passed and is_sidecar(container):
                due.append(container)
            continue
        if is_sidecar(container):
            through = here.running and _started(memory.probes.get(here.id))
            if not here.running:
                due.append(container)
        else:
            through = here.exited and here.exit_code == 0 and not here.start_failed
            if not passed and not here.running and not through:
                due.append(container)
        if through and not passed:
            done = index == len(inits) - 1
            due += inits[index + 1 : index + 2]
        passed = True
    if not passed:
        due.append(inits[0])
    return Initialization(due[::-1], done)


def begun(pod: Mapping[str, Any], observed: PodContainers, sandbox: Container) -> bool:
    """Some app container was started in this sandbox, so its init containers were done with before."""
    return any(
        c.sandbox_id == sandbox.id and c.state != "created"
        for spec in spec_containers(pod)
        for c in observed.containers.get(spec["name"], [])
    )


def _in(sandbox: Container, container: Container | None) -> Container | None:
    return container if container is not None and container.sandbox_id == sandbox.id else None


def _started(probes: Probes | None) -> bool:
    return probes is None or probes.started
