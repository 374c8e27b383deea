"""This machine as a Node object: registered, its status kept true, its network made.

The status is written when something in it changes, and every 5 minutes; heartbeats are apart from it (lease.py). When
the apiserver gives the node a pod CIDR, the pod network is made and the node becomes Ready. None of this stops pods
that run.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Collection

from api.builtin import NODES
from api.errors import ApiError, Conflict
from api.meta import Obj
from client import log
from client.clock import Clock
from client.events import EventRecorder
from client.http import ApiClient
from client.informer import Informer
from kubelet.docker.images import DockerImages, Image
from kubelet.docker.runtime import DockerRuntime, RuntimeFailure
from kubelet.network.pod_network import PodNetwork
from kubelet.node import pod_cidr
from kubelet.node import status as node_status
from kubelet.node.lease import Heartbeat
from kubelet.node.machine import machine
from kubelet.node.registration import default_labels, new_node, register
from kubelet.node.resources import allocatable
from kubelet.pods.facts import Facts

_log = log.get("node")
_RETRY_SECONDS = 1.0
_IMAGES_EVERY = 6


class NodeAgent:
    def __init__(
        self,
        client: ApiClient,
        runtime: DockerRuntime,
        images: DockerImages,
        network: PodNetwork,
        informer: Informer,
        facts: Facts,
        recorder: EventRecorder,
        clock: Clock,
        *,
        port: int,
        labels: dict[str, str],
    ) -> None:
        self._client, self._runtime, self._informer, self._facts = client, runtime, informer, facts
        self._network, self._docker_images = network, images
        self._recorder, self._clock = recorder, clock
        self._root, self._port, self._labels = facts.root, port, labels
        self._configuration = facts.configuration
        self._network_error = "waiting for the node's pod CIDR"
        self._runtime_error = "container runtime status check may not have completed yet"
        self._network_ready_for = ""
        self._changed = asyncio.Event()
        self._engine = ""
        self._images: list[Image] = []
        self._machine = machine(facts.root)
        self._round = 0
        self._unschedulable = False
        self.pressure: Callable[[], Collection[str] | None] = lambda: None
        """Says which pressure conditions hold; `wake` when that changes."""
        self.shutting_down: Callable[[], bool] = lambda: False
        informer.on_event(lambda *_: self.wake())

    def wake(self) -> None:
        """Something that the status tells has changed."""
        self._changed.set()

    @property
    def network_ready(self) -> bool:
        return not self._network_error

    @property
    def ready(self) -> bool:
        return not self._why_not_ready()

    @property
    def reference(self) -> Obj:
        """What events about the node are about: it is known by its name, as upstream's."""
        name = self._facts.node_name
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}}

    def _why_not_ready(self) -> str:
        if self._runtime_error:
            return f"container runtime is down: {self._runtime_error}"
        if self._network_error:
            return (
                "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
                f"message:{self._network_error}"
            )
        return "node is shutting down" if self.shutting_down() else ""

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informer.run())
            await self._look()
            await self._ensure_network()
            await self._register()
            self._recorder.event(self.reference, "Normal", "Starting", "Starting kubelet.")
            heartbeat = Heartbeat(
                self._client, self._facts.node_name, self._configuration.lease_seconds, self.stored, self._clock
            )
            group.create_task(heartbeat.run())
            group.create_task(self._keep_status())

    def stored(self) -> Obj | None:
        return self._informer.store.get(self._facts.node_name)

    def known(self) -> Obj:
        """The Node as it is stored; where none is, as it would be made (kubelet_getters.go, getNodeAnyWay)."""
        return self.stored() or self._new()

    def _new(self) -> Obj:
        name = self._facts.node_name
        defaults = default_labels(name, self._machine.architecture)
        return new_node(name, defaults, self._labels, self._build({}), self._configuration)

    async def _register(self) -> None:
        if not self._configuration.register_node:
            return
        node = self._new()
        defaults = default_labels(self._facts.node_name, self._machine.architecture)
        if await register(self._client, node, defaults, self._clock):
            self._tell(node["status"], {})

    def _tell(self, new: Obj, old: Obj) -> None:
        for type_, reason, message in node_status.events(new, old, self._facts.node_name):
            self._recorder.event(self.reference, type_, reason, message)

    def _tell_schedulable(self, stored: Obj) -> None:
        unschedulable = bool(stored["spec"].get("unschedulable"))
        if unschedulable != self._unschedulable:
            self._unschedulable = unschedulable
            reason = "NodeNotSchedulable" if unschedulable else "NodeSchedulable"
            text = f"Node {self._facts.node_name} status is now: {reason}"
            self._recorder.event(self.reference, "Normal", reason, text)

    async def _keep_status(self) -> None:
        await self._informer.wait_synced()
        reported = float("-inf")
        while True:
            self._changed.clear()
            await self._ensure_network()
            due = self._clock.monotonic() - reported >= self._configuration.status_report_seconds
            wait = self._configuration.status_update_seconds
            try:
                if await self._report(due):
                    reported = self._clock.monotonic()
            except ApiError as error:
                _log.warning("node status not written", why=error.message)
                wait = _RETRY_SECONDS
            try:
                await asyncio.wait_for(self._changed.wait(), wait)
            except TimeoutError:
                await self._look()

    async def _report(self, due: bool) -> bool:
        stored = self.stored()
        if stored is None:
            # Somebody deleted the Node: come back as a new one.
            await self._register()
            return False
        self._tell_schedulable(stored)
        for _ in range(3):
            old = stored.get("status") or {}
            status = self._build(old)
            if not due and not node_status.differs(status, old):
                return False
            try:
                body = {**stored, "apiVersion": "v1", "kind": "Node", "status": status}
                await self._client.update(NODES, body, subresource="status")
            except Conflict:
                stored = await self._client.get(NODES, self._facts.node_name)
            else:
                self._tell(status, old)
                return True
        return False

    def _build(self, old: Obj) -> Obj:
        node = node_status.Node(
            ip=self._facts.host_ip,
            hostname=platform.node() if self._facts.node_name == platform.node() else self._facts.node_name,
            port=self._port,
            engine=self._engine,
            configuration=self._configuration,
            images=self._images,
            pressure=self.pressure(),
            not_ready=self._why_not_ready(),
        )
        return node_status.build(old, self._machine, node, self._clock.now())

    async def _look(self) -> None:
        """At the machine and at Docker."""
        self._machine = await asyncio.to_thread(machine, self._root)
        self._facts.memory = self._machine.memory
        self._facts.allocatable = allocatable(self._machine, self._configuration)
        try:
            if not self._engine or self._runtime_error:
                self._engine = ".".join(str(p) for p in await self._runtime.engine_version())
            if self._round % _IMAGES_EVERY == 0:
                self._images = await self._docker_images.all()
            else:
                await self._runtime.ping()
            self._round += 1
            self._runtime_error = ""
        except RuntimeFailure as error:
            self._runtime_error = str(error)
            self._network_ready_for = ""

    async def _ensure_network(self) -> None:
        """Until the apiserver has told it, the pod CIDR is that of an earlier life: static pods need none to run."""
        told = ((self.stored() or {}).get("spec") or {}).get("podCIDR")
        cidr = told or pod_cidr.kept(self._root)
        if not cidr or cidr == self._network_ready_for or self._runtime_error:
            return
        try:
            await self._network.ensure(cidr)
        except (RuntimeFailure, OSError, ValueError) as error:  # ValueError: what is kept is no CIDR
            self._network_error = str(error)
            _log.warning("no pod network yet", why=str(error))
            return
        _log.info("pod network is there", cidr=cidr)
        self._network_ready_for, self._network_error = cidr, ""
        try:
            pod_cidr.keep(self._root, cidr)
        except OSError as error:
            _log.warning("the pod CIDR is not kept: static pods will wait for the apiserver", why=str(error))
