"""This machine as a Node object: registered, its status kept true, its heartbeat sent, its network made.

The heartbeat is a Lease in kube-node-lease, renewed every 10 s. The status is written when something in it
changes, and every 5 minutes. When the apiserver gives the node a pod CIDR, the pod network is made and the node
becomes Ready. None of this stops pods that run.
"""

from __future__ import annotations

import asyncio
import platform
from pathlib import Path

from api.builtin import LEASES, NODES
from api.errors import AlreadyExists, ApiError, Conflict, NotFound
from api.meta import Obj, rfc3339_micro
from client import log
from client.clock import Clock
from client.events import EventRecorder
from client.http import ApiClient
from client.informer import Informer
from kubelet.docker.images import DockerImages, Image
from kubelet.docker.runtime import DockerRuntime, RuntimeFailure
from kubelet.network.pod_network import PodNetwork
from kubelet.node import status as node_status
from kubelet.pods.runner import Facts
from kubelet.volumes.manager import Volumes

_log = log.get("node")
LEASE_NAMESPACE = "kube-node-lease"
_LEASE_SECONDS = 40
_HEARTBEAT_SECONDS = 10.0
_CHECK_SECONDS = 10.0
_REPORT_SECONDS = 300.0
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
        volumes: Volumes,
        recorder: EventRecorder,
        clock: Clock,
        *,
        root: Path,
        port: int,
        labels: dict[str, str],
    ) -> None:
        self._client, self._runtime, self._informer, self._facts = client, runtime, informer, facts
        self._network, self._docker_images = network, images
        self._volumes, self._recorder, self._clock = volumes, recorder, clock
        self._root, self._port, self._labels = root, port, labels
        self._network_error = "waiting for the node's pod CIDR"
        self._runtime_error = "container runtime status check may not have completed yet"
        self._network_ready_for = ""
        self._changed = asyncio.Event()
        self._engine = ""
        self._images: list[Image] = []
        self._machine = node_status.machine(root)
        self._round = 0
        informer.on_event(lambda *_: self._changed.set())

    @property
    def network_ready(self) -> bool:
        return not self._network_error

    @property
    def ready(self) -> bool:
        return not self._why_not_ready()

    def _why_not_ready(self) -> str:
        if self._runtime_error:
            return f"container runtime is down: {self._runtime_error}"
        if self._network_error:
            return (
                "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
                f"message:{self._network_error}"
            )
        return ""

    async def run(self) -> None:
        """Until cancelled."""
        await self._look()
        await self._register()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._informer.run())
            group.create_task(self._heartbeat())
            group.create_task(self._keep_status())

    def _stored(self) -> Obj | None:
        return self._informer.store.get(self._facts.node_name)

    async def _register(self) -> None:
        name = self._facts.node_name
        node: Obj = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": self._own_labels()},
            "spec": {},
            "status": self._build({}),
        }
        while True:
            try:
                await self._client.create(NODES, node)
                _log.info("registered", node=name)
                break
            except AlreadyExists:
                if await self._update_labels():
                    break
            except ApiError as error:
                _log.warning("cannot register yet", why=error.message)
            await self._clock.sleep(_RETRY_SECONDS)
        self._recorder.event(self._itself(), "Normal", "Starting", "Starting kubelet.")

    def _itself(self) -> Obj:
        name = self._facts.node_name
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "uid": name}}

    def _own_labels(self) -> dict[str, str]:
        architecture = self._machine.architecture
        return {
            "beta.kubernetes.io/arch": architecture,
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": architecture,
            "kubernetes.io/hostname": self._facts.node_name,
            "kubernetes.io/os": "linux",
            **self._labels,
        }

    async def _update_labels(self) -> bool:
        try:
            stored = await self._client.get(NODES, self._facts.node_name)
            labels = stored["metadata"].get("labels") or {}
            if any(labels.get(k) != v for k, v in self._own_labels().items()):
                patch = {"metadata": {"labels": self._own_labels()}}
                await self._client.patch(NODES, self._facts.node_name, patch)
        except ApiError as error:
            _log.warning("cannot update the node's labels yet", why=error.message)
            return False
        return True

    async def _heartbeat(self) -> None:
        lease: Obj | None = None
        while True:
            try:
                lease = await self._renew(lease)
                await self._clock.sleep(_HEARTBEAT_SECONDS)
            except ApiError as error:
                lease = None
                _log.warning("heartbeat failed", why=error.message)
                await self._clock.sleep(_RETRY_SECONDS)

    async def _renew(self, lease: Obj | None) -> Obj:
        name = self._facts.node_name
        spec = {
            "holderIdentity": name,
            "leaseDurationSeconds": _LEASE_SECONDS,
            "renewTime": rfc3339_micro(self._clock.now()),
        }
        if lease is None:
            try:
                lease = await self._client.get(LEASES, name, LEASE_NAMESPACE)
            except NotFound:
                return await self._client.create(LEASES, self._new_lease(spec))
        return await self._client.update(LEASES, {**lease, "spec": {**(lease.get("spec") or {}), **spec}})

    def _new_lease(self, spec: Obj) -> Obj:
        metadata: Obj = {"name": self._facts.node_name, "namespace": LEASE_NAMESPACE}
        stored = self._stored()
        if stored is not None:
            owner = {"apiVersion": "v1", "kind": "Node", "name": self._facts.node_name}
            metadata["ownerReferences"] = [{**owner, "uid": stored["metadata"]["uid"]}]
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": spec,
        }

    async def _keep_status(self) -> None:
        await self._informer.wait_synced()
        reported = float("-inf")
        while True:
            self._changed.clear()
            await self._ensure_network()
            due = self._clock.monotonic() - reported >= _REPORT_SECONDS
            wait = _CHECK_SECONDS
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
        stored = self._stored()
        if stored is None:
            # Somebody deleted the Node: come back as a new one.
            await self._register()
            return False
        for _ in range(3):
            old = stored.get("status") or {}
            status = self._build(old)
            if not due and not node_status.differs(status, old):
                return False
            try:
                body = {**stored, "apiVersion": "v1", "kind": "Node", "status": status}
                await self._client.update(NODES, body, subresource="status")
                return True
            except Conflict:
                stored = await self._client.get(NODES, self._facts.node_name)
        return False

    def _build(self, old: Obj) -> Obj:
        return node_status.build(
            old,
            self._machine,
            node_ip=self._facts.host_ip,
            hostname=platform.node() if self._facts.node_name == platform.node() else self._facts.node_name,
            port=self._port,
            engine=self._engine,
            images=self._images,
            not_ready=self._why_not_ready(),
            now=self._clock.now(),
        )

    async def _look(self) -> None:
        """At the machine and at Docker."""
        self._machine = await asyncio.to_thread(node_status.machine, self._root)
        self._facts.memory = self._machine.memory
        self._facts.allocatable = self._volumes.node_allocatable = node_status.capacity(self._machine)
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
        stored = self._stored()
        cidr = ((stored or {}).get("spec") or {}).get("podCIDR") or ""
        if not cidr or cidr == self._network_ready_for or self._runtime_error:
            return
        try:
            await self._network.ensure(cidr)
        except RuntimeFailure as error:
            self._network_error = str(error)
            _log.warning("no pod network yet", why=str(error))
            return
        _log.info("pod network is there", cidr=cidr)
        self._network_ready_for, self._network_error = cidr, ""
