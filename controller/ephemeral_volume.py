"""Generic ephemeral volumes: for each, a claim that lives and goes with its pod. The rest is as with any claim.

KEP-1698; texts as in k8s.io/kubernetes/pkg/controller/volume/ephemeral/controller.go
"""

from __future__ import annotations

from api import meta, volume_binding
from api.builtin import PERSISTENT_VOLUME_CLAIMS, PODS
from api.errors import AlreadyExists, ApiError
from api.meta import Obj
from client.reconciler import Reconciler
from controller import pod_state
from controller.context import Context, namespace_is_terminating

_AGAIN = 15.0  # until the other claim may have gone


class EphemeralVolumeLoop:
    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._events = context.recorder("ephemeral_volume")
        self._pods = context.informer(PODS)
        self._claims = context.informer(PERSISTENT_VOLUME_CLAIMS)
        self._work = Reconciler("ephemeral-volume", self._reconcile, clock=context.clock)
        self._pods.on_event(self._on_pod)
        self._claims.on_event(self._on_claim)

    async def run(self) -> None:
        await self._work.run()

    def _on_pod(self, _: str, old: Obj | None, new: Obj | None) -> None:
        if new is not None and old is None and any(v.get("ephemeral") for v in new["spec"].get("volumes") or ()):
            self._work.queue.add(meta.key(new))

    def _on_claim(self, _: str, old: Obj | None, new: Obj | None) -> None:
        """One that is gone is made again as long as its pod is there."""
        owner = meta.controller_of(old) if old is not None and new is None else None
        if old is not None and owner is not None and owner.get("kind") == "Pod":
            self._work.queue.add(f"{meta.namespace(old)}/{owner['name']}")

    async def _reconcile(self, key: str) -> float | None:
        pod = self._pods.store.get(key)
        if pod is None or meta.is_deleting(pod) or pod_state.is_terminal(pod):
            return None
        volumes = [v for v in pod["spec"].get("volumes") or () if v.get("ephemeral")]
        made = [await self._make(pod, volume) for volume in volumes]
        return None if all(made) else _AGAIN

    async def _make(self, pod: Obj, volume: Obj) -> bool:
        """False when another's claim has the name."""
        namespace, name = meta.namespace(pod), f"{meta.name(pod)}-{volume['name']}"
        claim = self._claims.store.get(f"{namespace}/{name}")
        if claim is None:
            try:
                claim = await self._client.create(PERSISTENT_VOLUME_CLAIMS, claim_for(pod, volume), namespace=namespace)
            except AlreadyExists:
                claim = await self._client.get(PERSISTENT_VOLUME_CLAIMS, name, namespace)
            except ApiError as error:
                if namespace_is_terminating(error):
                    return True
                text = f"ephemeral volume {volume['name']}: create PVC {name}: {error.message}"
                self._events.event(pod, "Warning", "FailedBinding", text)
                raise
        foreign = volume_binding.not_made_for(claim, pod)
        if foreign:
            self._events.event(pod, "Warning", "FailedBinding", f"ephemeral volume {volume['name']}: {foreign}")
        return not foreign


def claim_for(pod: Obj, volume: Obj) -> Obj:
    """PURE."""
    template = volume["ephemeral"].get("volumeClaimTemplate") or {}
    wanted = template.get("metadata") or {}
    metadata = {k: wanted[k] for k in ("labels", "annotations") if wanted.get(k)}
    metadata |= {
        "name": f"{meta.name(pod)}-{volume['name']}",
        "namespace": meta.namespace(pod),
        "ownerReferences": [meta.controller_reference(pod, PODS.api_version, PODS.kind)],
    }
    return {
        "apiVersion": PERSISTENT_VOLUME_CLAIMS.api_version,
        "kind": PERSISTENT_VOLUME_CLAIMS.kind,
        "metadata": metadata,
        "spec": template.get("spec") or {},
    }
