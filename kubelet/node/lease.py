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
                await self._clock.sleep(self._seconds * _SHARE if lease is not None else _RETRY_SECONDS)
            except ApiError as error:
                lease = None
                _log.warning("heartbeat failed", why=error.message)
                await self._clock.sleep(_RETRY_SECONDS)

    async def _renew(self, lease: Obj | None) -> Obj | None:
        """The Lease as it is stored now; None while there is none and no Node that could own it."""
        if lease is None:
            try:
                lease = await self._client.get(LEASES, self._name, NAMESPACE)
            except NotFound:
                made = self._renewed({"metadata": {"name": self._name, "namespace": NAMESPACE}})
                return await self._client.create(LEASES, made) if "ownerReferences" in made["metadata"] else None
        return await self._client.update(LEASES, self._renewed(lease))

    def _renewed(self, lease: Obj) -> Obj:
        """With the Node as its owner, if it has none yet and the Node is known, so that it goes when the Node does
        (pkg/kubelet/util/nodelease.go, SetNodeOwnerFunc)."""
        metadata, stored = dict(lease["metadata"]), self._node()
        if stored is not None and not metadata.get("ownerReferences"):
            owner = {"apiVersion": "v1", "kind": "Node", "name": self._name, "uid": stored["metadata"]["uid"]}
            metadata["ownerReferences"] = [owner]
        spec = {
            **(lease.get("spec") or {}),
            "holderIdentity": self._name,
            "leaseDurationSeconds": self._seconds,
            "renewTime": rfc3339_micro(self._clock.now()),
        }
        return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
