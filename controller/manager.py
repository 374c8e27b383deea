"""All control loops of the cluster in one process, run by whoever holds the lease.

LOOPS is the one table: adding a loop is adding a file and a row. Loops share informers; none starts before all
informers have synced. When the lease is lost everything is dropped, caches included, and built anew with the
next term: nothing is ever decided on what an earlier term believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from client import log
from client.clock import Clock
from client.http import ApiClient
from client.informer import Informers
from controller import protection
from controller.account_tokens import AccountTokensLoop
from controller.bootstrap_signer import BootstrapSignerLoop, TokenCleanerLoop
from controller.certificates import CertificatesCleanerLoop, CertificatesLoop
from controller.context import Context, Loop, Options
from controller.deployment import DeploymentLoop
from controller.disruption import DisruptionLoop
from controller.endpoints import EndpointsLoop
from controller.endpointslice import EndpointSliceLoop
from controller.endpointslice_mirror import EndpointSliceMirrorLoop
from controller.ephemeral_volume import EphemeralVolumeLoop
from controller.garbage_collector import GarbageCollectorLoop
from controller.namespace import NamespaceLoop
from controller.node_ipam import NodeIpamLoop
from controller.node_lifecycle import NodeLifecycleLoop
from controller.persistent_volume import PersistentVolumeLoop
from controller.pod_gc import PodGcLoop
from controller.replicaset import ReplicaSetLoop
from controller.resource_quota import ResourceQuotaLoop
from controller.service_account import RootCaLoop, ServiceAccountLoop
from controller.taint_eviction import TaintEvictionLoop

_log = log.get("manager")


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    make: Callable[[Context], Loop]


LOOPS = (
    Row("node-ipam", NodeIpamLoop),
    Row("deployment", DeploymentLoop),
    Row("replicaset", ReplicaSetLoop),
    Row("disruption", DisruptionLoop),
    Row("endpoints", EndpointsLoop),
    Row("endpointslice", EndpointSliceLoop),
    Row("endpointslice-mirroring", EndpointSliceMirrorLoop),
    Row("node-lifecycle", NodeLifecycleLoop),
    Row("taint-eviction", TaintEvictionLoop),
    Row("pod-gc", PodGcLoop),
    Row("namespace", NamespaceLoop),
    Row("serviceaccount", ServiceAccountLoop),
    Row("root-ca", RootCaLoop),
    Row("account-tokens", AccountTokensLoop),
    Row("certificates", CertificatesLoop),
    Row("certificates-cleaner", CertificatesCleanerLoop),
    Row("bootstrap-signer", BootstrapSignerLoop),
    Row("token-cleaner", TokenCleanerLoop),
    Row("resourcequota", ResourceQuotaLoop),
    Row("persistentvolume-binder", PersistentVolumeLoop),
    Row("ephemeral-volume", EphemeralVolumeLoop),
    Row("pvc-protection", protection.of_claims),
    Row("pv-protection", protection.of_volumes),
    Row("vac-protection", protection.of_attributes_classes),
    Row("garbage-collector", GarbageCollectorLoop),  # last: it listens to the informers of the others
)


class Manager:
    def __init__(self, client: ApiClient, clock: Clock, options: Options) -> None:
        self._client, self._clock, self._options = client, clock, options
        self._informers: Informers | None = None

    @property
    def ready(self) -> bool:
        """Not leading, or leading with synced caches."""
        return self._informers is None or self._informers.synced

    async def lead(self) -> None:
        """One term: until cancelled."""
        informers = Informers(self._client, clock=self._clock)
        context = Context(self._client, informers, self._clock, self._options)
        loops = {row.name: row.make(context) for row in LOOPS}
        self._informers = informers
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(informers.run())
                for recorder in context.recorders:
                    group.create_task(recorder.run())
                group.create_task(context.discovery.run())
                await informers.wait_synced()
                await context.discovery.wait_known()
                _log.info("caches are in sync", loops=len(loops))
                for name, loop in loops.items():
                    group.create_task(loop.run(), name=name)
        finally:
            self._informers = None
