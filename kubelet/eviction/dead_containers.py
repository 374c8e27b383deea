"""The containers of pods that are finished: kept for their logs, until the disk they lie on is full.

Source: pkg/kubelet/kuberuntime/kuberuntime_gc.go (DeleteAllUnusedContainers).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from api.meta import Obj
from kubelet.docker.observer import Observer
from kubelet.pods.model import Container, is_terminal


async def remove(pods: Iterable[Obj], observer: Observer, remove_one: Callable[[Container], Awaitable[None]]) -> None:
    """RuntimeFailure."""
    for pod in pods:
        found = observer.of_pod(pod["metadata"]["uid"])
        if is_terminal(pod) and not found.running():
            for container in found.everything():
                if container.exited:
                    await remove_one(container)
