"""The node's heartbeat: a Lease in kube-node-lease, renewed four times in the span it is good for (KEP-589)."""

from __future__ import annotations

from collections.abc import Callable

from api.builtin import LEASES
from api.errors import ApiError, NotFound
from api.meta import Obj, rfc3339_micro
from client import log
from client.clock import Clock
from client.http import ApiClient

_log = log.get("node")
NAMESPACE = "kube-node-lease"
_SHARE = 0.25
_RETRY_SECONDS = 1.0


class Heartbeat:
    def __init__(
        self, client: ApiClient, name: str, seconds: int, node: Callable[[], Obj | None], clock: Clock
    ) -> None:
        """`node` is the Node as it is stored, which is to own the Lease; None while it is not known."""
        self._client, self._name, self._seconds, self._node, self._clock = client, name, seconds, node, clock

    async def run(self) -> None:
        """Until cancelled."""
        lease: Obj | None = None
        while True:
            try:
                lease = await self._renew(lease)
                await self._clock.sleep(self._seconds * _SHARE)
            except ApiError as error:
                lease = None
                _log.warning("heartbeat failed", why=error.message)
                await self._clock.sleep(_RETRY_SECONDS)

    async def _renew(self, lease: Obj | None) -> Obj:
        spec = {
            "holderIdentity": self._name,
            "leaseDurationSeconds": self._seconds,
            "renewTime": rfc3339_micro(self._clock.now()),
        }
        if lease is None:
            try:
                lease = await self._client.get(LEASES, self._name, NAMESPACE)
            except NotFound:
                return await self._client.create(LEASES, self._new(spec))
        return await self._client.update(LEASES, {**lease, "spec": {**(lease.get("spec") or {}), **spec}})

    def _new(self, spec: Obj) -> Obj:
        metadata: Obj = {"name": self._name, "namespace": NAMESPACE}
        stored = self._node()
        if stored is not None:
            owner = {"apiVersion": "v1", "kind": "Node", "name": self._name, "uid": stored["metadata"]["uid"]}
            metadata["ownerReferences"] = [owner]
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
