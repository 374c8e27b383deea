"""What every control loop is given, and the few habits that all of them share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from api import meta
from api.errors import ApiError
from api.meta import Obj
from api.registry import Resource
from client import log, metrics
from client.clock import Clock
from client.events import EventRecorder
from client.http import ApiClient
from client.informer import Informer, Informers
from client.store import Indexer, by_namespace
from controller import pod_state
from controller.discovery import Discovery

_log = log.get("controller")
_AT_ONCE = 32


class Loop(Protocol):
    async def run(self) -> None:
        """Until cancelled. Called once every informer has synced."""
        ...


@dataclass(frozen=True, slots=True)
class Options:
    """The flags, parsed."""

    cluster_cidr: str = "10.244.0.0/16"
    node_cidr_mask_size: int = 24
    node_monitor_grace_period: float = 40.0
    node_monitor_period: float = 5.0
    root_ca: str = ""  # PEM; "" = no kube-root-ca.crt config maps
    account_key: bytes = b""  # PEM; signs tokens in Secrets
    signing_certificate: bytes = b""  # PEM; with its key, signs approved certificate requests
    signing_key: bytes = b""
    signing_duration: float = 365 * 24 * 3600.0


def _by_node(obj: Obj) -> list[str]:
    return [pod_state.node_name(obj)]


def _by_controller(obj: Obj) -> list[str]:
    """The controlling owner's UID, or `orphans/<namespace>` for an object without one."""
    controller = meta.controller_of(obj)
    return [str(controller["uid"]) if controller else f"orphans/{meta.namespace(obj)}"]


def _by_service(obj: Obj) -> list[str]:
    service = meta.labels(obj).get("kubernetes.io/service-name")
    return [f"{meta.namespace(obj)}/{service}"] if service else []


_INDEXERS: dict[str, Indexer] = {
    "namespace": by_namespace,
    "node": _by_node,
    "controller": _by_controller,
    "service": _by_service,
}


@dataclass(slots=True)
class Context:
    client: ApiClient
    informers: Informers
    clock: Clock
    options: Options
    recorders: list[EventRecorder] = field(default_factory=list)
    followed: dict[str, set[str]] = field(default_factory=dict)
    """Resources (qualified) that have an unfiltered informer, and its indexes."""
    discovery: Discovery = field(init=False)

    def __post_init__(self) -> None:
        self.discovery = Discovery(self.client, self.clock)

    def informer(self, resource: Resource, *indexes: str) -> Informer:
        """The shared informer of all objects of a resource, with at least these indexes."""
        informer = self.informers.of(resource)
        present = self.followed.setdefault(resource.qualified, set())
        for index in indexes:
            if index not in present:
                informer.add_indexer(index, _INDEXERS[index])
                present.add(index)
        return informer

    def recorder(self, component: str) -> EventRecorder:
        """Whoever reports events is named as upstream names it."""
        recorder = EventRecorder(self.client, component, clock=self.clock)
        self.recorders.append(recorder)
        return recorder


async def periodically(clock: Clock, name: str, seconds: float, act: Callable[[], Awaitable[None]]) -> None:
    """Call `act` every `seconds`, until cancelled. One failed round is logged and counted, not fatal."""
    while True:
        try:
            await act()
        except ApiError as error:
            metrics.count("sampan_reconcile_errors", controller=name, reason=error.reason)
            _log.info("retry", controller=name, code=error.code, why=error.message)
        except Exception as error:  # the loop must survive any one round
            metrics.count("sampan_reconcile_errors", controller=name, reason=type(error).__name__)
            _log.exception("round failed", controller=name)
        await clock.sleep(seconds)


async def in_parallel(calls: Iterable[Awaitable[object]]) -> list[BaseException]:
    """Await all, some at a time, and return the errors."""
    limit = asyncio.Semaphore(_AT_ONCE)

    async def one(call: Awaitable[object]) -> object:
        async with limit:
            return await call

    results = await asyncio.gather(*(one(call) for call in calls), return_exceptions=True)
    return [result for result in results if isinstance(result, BaseException)]


def namespace_is_terminating(error: BaseException) -> bool:
    """Nothing can be created because the namespace is on its way out: nobody needs to hear of it."""
    causes = error.details.get("causes") or [] if isinstance(error, ApiError) else []
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
