"""Makes promises come true before a pod is bound: writes volumes and claims, and waits until the claims are bound.

The controller (or a provisioner) does the rest of the binding, which may take its time; whoever waits takes nobody's
place. The pod goes back to the queue when it cannot be: the time is over (10 min, upstream's default), the claim is
gone, the provisioner has given the node up, or the volume that was made cannot be reached from it.
"""

from __future__ import annotations

import asyncio

from api import meta, volume_binding
from api.builtin import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from api.errors import not_found
from client.clock import Clock
from client.http import ApiClient
from scheduler.filters.volume_binding import fits
from scheduler.pod import Pod
from scheduler.snapshot import Snapshot
from scheduler.volumes import Promise

TIMEOUT = 600.0


class NotBound(Exception):
    """Its text is for the user."""


class VolumeBinder:
    def __init__(self, client: ApiClient, snapshot: Snapshot, clock: Clock) -> None:
        self._client, self._snapshot, self._clock = client, snapshot, clock
        self._waiting: set[asyncio.Event] = set()

    def changed(self) -> None:
        """A claim or a volume did, or a pod went."""
        for news in self._waiting:
            news.set()

    async def bind(self, pod: Pod, node: str, promise: Promise) -> None:
        """NotBound or ApiError when it could not be."""
        for volume in promise.volumes:
            await self._client.update(PERSISTENT_VOLUMES, volume)
        for claim in promise.placed:
            await self._client.update(PERSISTENT_VOLUME_CLAIMS, claim)
        deadline, news = self._clock.monotonic() + TIMEOUT, asyncio.Event()
        timer = self._clock.call_later(TIMEOUT, news.set)
        self._waiting.add(news)
        try:
            while not all(self._is_bound(key, made, node) for key, made in promise.claims):
                if self._clock.monotonic() >= deadline:
                    raise NotBound("context deadline exceeded")
                if not self._snapshot.node_of(pod.uid):
                    raise not_found("", "pods", pod.name)
                await news.wait()
                news.clear()
        finally:
            self._waiting.discard(news)
            timer.cancel()

    def _is_bound(self, key: str, made: bool, node: str) -> bool:
        claim, row = self._snapshot.volumes.claim(key), self._snapshot.row_of.get(node)
        if claim is None:
            raise NotBound(f'persistentvolumeclaim "{meta.split_key(key)[1]}" not found')
        if row is None:
            raise NotBound(f'node "{node}" not found')
        if not volume_binding.is_bound(claim):
            if made and meta.annotations(claim).get(volume_binding.SELECTED_NODE) != node:
                raise NotBound(f'provisioning failed for PVC "{meta.name(claim)}"')
            return False
        volume = self._snapshot.volumes.volume(claim["spec"]["volumeName"])
        if volume is not None and not fits(volume, self._snapshot)[row]:
            raise NotBound(f'pv "{meta.name(volume)}" node affinity doesn\'t match node "{node}"')
        return volume is not None
