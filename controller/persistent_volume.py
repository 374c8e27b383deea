"""Claims get volumes, volumes know their claims: `persistent_volume_plan` decides, this loop asks and writes.

Binding is four writes, each of which may be the last one before we die: the volume refers to the claim, says Bound, the
claim refers to the volume, says Bound. Both objects are looked at again after each, so whoever comes next goes on. A
volume is written under the revision that was seen free: two claims cannot both have it.
"""

from __future__ import annotations

import asyncio
from functools import partial

from api import meta, volume_binding
from api.builtin import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from api.errors import NotFound
from api.kinds.volume_claim import class_name
from api.meta import Obj
from client.reconciler import Reconciler
from controller import persistent_volume_plan as plan
from controller import pod_state
from controller.context import Context


class PersistentVolumeLoop:
    def __init__(self, context: Context) -> None:
        self._client, self._clock = context.client, context.clock
        self._events = context.recorder("persistentvolume-controller")
        self._claims = context.informer(PERSISTENT_VOLUME_CLAIMS)
        self._volumes = context.informer(PERSISTENT_VOLUMES)
        self._classes = context.informer(STORAGE_CLASSES)
        self._pods = context.informer(PODS, "namespace")
        self._claims.add_indexer("volume", lambda claim: [claim["spec"].get("volumeName") or ""])
        self._volumes.add_indexer("class", lambda volume: [class_name(volume)])
        self._volumes.add_indexer("claim", _claim_key)
        self._claim_work = Reconciler("persistentvolume-binder/claims", self._sync_claim, clock=context.clock)
        self._volume_work = Reconciler("persistentvolume-binder/volumes", self._sync_volume, clock=context.clock)
        self._claims.on_event(self._on_claim)
        self._volumes.on_event(self._on_volume)
        self._classes.on_event(self._on_class)
        self._pods.on_event(self._on_pod)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._claim_work.run())
            group.create_task(self._volume_work.run())

    # What wakes whom.

    def _on_claim(self, _: str, old: Obj | None, new: Obj | None) -> None:
        claim = new or old
        assert claim is not None
        if new is not None:
            self._claim_work.queue.add(meta.key(new))
        for volume in self._volumes.store.by_index("claim", meta.key(claim)):
            self._volume_work.queue.add(meta.name(volume))

    def _on_volume(self, _: str, old: Obj | None, new: Obj | None) -> None:
        volume = new or old
        assert volume is not None
        name = meta.name(volume)
        if new is not None:
            self._volume_work.queue.add(name)
        for claim in self._claims.store.by_index("volume", name):
            self._claim_work.queue.add(meta.key(claim))
        for key in _claim_key(volume):
            self._claim_work.queue.add(key)
        if new is not None and not new["spec"].get("claimRef"):
            self._ask_unbound({class_name(new)})

    def _on_class(self, _: str, old: Obj | None, new: Obj | None) -> None:
        if new is not None:
            self._ask_unbound({meta.name(new), ""})

    def _on_pod(self, _: str, old: Obj | None, new: Obj | None) -> None:
        """That somebody waits is told to whoever looks at the claim."""
        if new is None or pod_state.node_name(new):
            return
        for name, _made in volume_binding.claims_of(new):
            claim = self._claims.store.get(f"{meta.namespace(new)}/{name}")
            if claim is not None and not claim["spec"].get("volumeName"):
                self._claim_work.queue.add(meta.key(claim))

    def _ask_unbound(self, classes: set[str]) -> None:
        for claim in self._claims.store.by_index("volume", ""):
            if class_name(claim) in classes:
                self._claim_work.queue.add(meta.key(claim))

    # Claims.

    async def _sync_claim(self, key: str) -> None:
        claim = self._claims.store.get(key)
        if claim is None:
            return
        decided = plan.plan_claim(claim, plan.Surroundings(
            self._volumes.store.get, self._free_for, self._classes.store.list(), partial(self._waiting_for, claim)
        ))  # fmt: skip
        if decided.change is not None:
            claim = await self._client.update(PERSISTENT_VOLUME_CLAIMS, decided.change)
        volume = decided.volume
        if volume is not None:
            volume = await self._reserve(volume, claim)
            changed = plan.bound_claim(claim, volume)
            claim = await self._client.update(PERSISTENT_VOLUME_CLAIMS, changed) if changed else claim
        status = plan.claim_status(claim, decided.phase, volume)
        was = claim.get("status") or {}
        if status != was:
            await self._client.update(PERSISTENT_VOLUME_CLAIMS, {**claim, "status": status}, subresource="status")
        if decided.event is not None and (decided.phase == "Pending" or was.get("phase") != decided.phase):
            self._tell(claim, decided.event)

    def _free_for(self, claim: Obj) -> list[Obj]:
        volumes = self._volumes.store
        return [*volumes.by_index("claim", meta.key(claim)), *volumes.by_index("class", class_name(claim))]

    def _waiting_for(self, claim: Obj) -> list[str]:
        name = meta.name(claim)
        return sorted(
            meta.name(pod)
            for pod in self._pods.store.by_index("namespace", meta.namespace(claim))
            if not pod_state.node_name(pod) and any(name == own for own, _ in volume_binding.claims_of(pod))
        )

    async def _reserve(self, volume: Obj, claim: Obj) -> Obj:
        changed = volume_binding.reserved(volume, claim)
        if changed is not None:
            volume = await self._client.update(PERSISTENT_VOLUMES, changed)
        return await self._say(volume, "Bound", "")

    # Volumes.

    async def _sync_volume(self, name: str) -> None:
        volume = self._volumes.store.get(name)
        if volume is None:
            return
        decided = plan.plan_volume(volume, await self._claim_of(volume))
        for key in _claim_key(volume) if decided.ask_claim else ():
            self._claim_work.queue.add(key)
        if decided.change is not None:
            volume = await self._client.update(PERSISTENT_VOLUMES, decided.change)
        if decided.phase:
            await self._say(volume, decided.phase, decided.message)
        if decided.event is not None:
            self._tell(volume, decided.event)
        if decided.claim_event is not None:
            claim = await self._claim_of(volume)
            if claim is not None:
                self._tell(claim, decided.claim_event)

    async def _claim_of(self, volume: Obj) -> Obj | None:
        """The claim it is bound to. That there is none is believed of the server alone: our cache may be behind."""
        reference = volume["spec"].get("claimRef") or {}
        if not reference.get("uid"):
            return None
        claim = self._claims.store.get(f"{reference['namespace']}/{reference['name']}")
        if claim is None or meta.uid(claim) != reference["uid"]:
            try:
                claim = await self._client.get(PERSISTENT_VOLUME_CLAIMS, reference["name"], reference["namespace"])
            except NotFound:
                return None
        return claim if meta.uid(claim) == reference["uid"] else None

    async def _say(self, volume: Obj, phase: str, message: str) -> Obj:
        known = volume.get("status") or {}
        if (known.get("phase"), known.get("message") or "") == (phase, message):
            return volume
        status = plan.volume_status(volume, phase, message, meta.rfc3339(self._clock.now()))
        return await self._client.update(PERSISTENT_VOLUMES, {**volume, "status": status}, subresource="status")

    def _tell(self, obj: Obj, event: plan.Event) -> None:
        self._events.event(obj, event.type, event.reason, event.message)


def _claim_key(volume: Obj) -> list[str]:
    reference = volume["spec"].get("claimRef")
    return [f"{reference.get('namespace', '')}/{reference.get('name', '')}"] if reference else []
