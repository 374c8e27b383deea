"""Pods that come and go, each of a kind that promises how its containers live."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import kubernetes
import urllib3.exceptions

from tests.harness.cluster import HELLO

Obj = dict[str, Any]
_STEADY = "trap 'exit 0' TERM; while true; do sleep 1 & wait $!; done"


def _container(name: str, script: str, **more: Any) -> Obj:
    return {"name": name, "image": HELLO, "command": ["sh", "-c", script], **more}


@dataclass(frozen=True, slots=True)
class Kind:
    containers: tuple[Obj, ...]
    inits: tuple[Obj, ...] = ()
    policy: str = "Always"
    ends: str = ""
    """The phase it comes to rest in; "" when it runs until it is deleted."""
    restarts: tuple[str, ...] = ()
    """Containers that may be started more than once, each time as the next attempt."""
    until_done: tuple[str, ...] = ()
    """Containers that are run until they end with 0."""
    volumes: tuple[Obj, ...] = ()


_CACHE: tuple[Obj, ...] = ({"name": "cache", "emptyDir": {"medium": "Memory"}},)
_MOUNT = [{"name": "cache", "mountPath": "/cache"}]
KINDS: dict[str, Kind] = {
    "steady": Kind((_container("a", _STEADY), _container("b", _STEADY, volumeMounts=_MOUNT)), volumes=_CACHE),
    "done": Kind((_container("a", "sleep 1"),), policy="Never", ends="Succeeded"),
    "failed": Kind((_container("a", "sleep 1; exit 3"),), policy="Never", ends="Failed"),
    "inits": Kind(
        (_container("a", _STEADY),), (_container("i", "true"), _container("j", "sleep 0.5")), until_done=("i", "j")
    ),
    "sidecar": Kind(
        (_container("a", "sleep 2"),), (_container("s", _STEADY, restartPolicy="Always"),), "Never", "Succeeded"
    ),
    "crashing": Kind((_container("a", "sleep 1; exit 1"), _container("b", _STEADY)), restarts=("a",)),
}


def manifest(name: str, kind: Kind, grace: int) -> Obj:
    spec: Obj = {
        "restartPolicy": kind.policy,
        "terminationGracePeriodSeconds": grace,
        "containers": list(kind.containers),
        "initContainers": list(kind.inits),
        "volumes": list(kind.volumes),
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


class Churn:
    """Keeps about `size` pods in a namespace, in a thread of its own, until `stop`. `kinds`: uid → name of kind."""

    def __init__(self, core: kubernetes.client.CoreV1Api, namespace: str, size: int, seed: int) -> None:
        self.kinds: dict[str, str] = {}
        self.deleted = 0
        self._core, self._namespace, self._size = core, namespace, size
        self._random = random.Random(seed)
        self._there: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._count = 0
        self.trouble: list[str] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        while not self._stop.is_set():
            step = self._create if len(self._there) < self._size else self._delete
            self._try(step)
            time.sleep(self._random.uniform(0.1, 1.0))  # so that most pods live to see a kill or several

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except (kubernetes.client.ApiException, urllib3.exceptions.HTTPError) as error:
            self.trouble.append(str(error))

    def _create(self) -> None:
        kind = self._random.choice(list(KINDS))
        self._count += 1
        name = f"{kind}-{self._count}"
        body = manifest(name, KINDS[kind], self._random.choice([0, 1, 2]))
        made = self._core.create_namespaced_pod(self._namespace, body)
        self.kinds[made.metadata.uid] = kind
        self._there.append(name)

    def _delete(self) -> None:
        name = self._there.pop(self._random.randrange(len(self._there)))
        forced = {"grace_period_seconds": 0} if self._random.random() < 0.2 else {}
        self._core.delete_namespaced_pod(name, self._namespace, **forced)
        self.deleted += 1
