"""The only door from routes to the data. Every method works on one row of the registry table.

Promises
- A write is one etcd Txn that compares what the caller saw; an acknowledged write is durable, and the next read
  of this server sees it.
- Reads follow the resourceVersion contract of
  https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions.
- With etcd away, reads that may be stale (resourceVersion "0") go on; everything else fails within seconds with
  ServiceUnavailable (503) or Timeout (504), and heals by itself.

It never defaults, validates or authorizes: that is over before an object gets here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from api.meta import Obj
from api.registry import Registry, Resource
from api.selectors import EVERYTHING, FieldSelector, Selector
from apiserver.storage.stored import Page, Stored, WatchEvent

Change = Callable[[Obj], Obj | None]
Guard = Callable[[Obj], None]


class ClaimTaken(Exception):
    """Another object holds `claim` (`clusterip/10.96.0.10`). Nothing was written."""

    def __init__(self, claim: str) -> None:
        super().__init__(f"claim {claim} is taken")
        self.claim = claim


class Watch(Protocol):
    """A running watch. Iterate it, or take what is ready with `batch()`; always `close()` it."""

    def __aiter__(self) -> AsyncIterator[WatchEvent]: ...

    async def batch(self) -> Sequence[WatchEvent]:
        """At least one event as soon as there is one, in order; empty when the watch is over."""
        ...

    def close(self) -> None: ...


class Store:
    def __init__(
        self,
        registry: Registry,
        *,
        endpoints: Sequence[str],  # https://host:port (or http://, or host:port)
        ca_file: str = "",
        cert_file: str = "",
        key_file: str = "",
    ) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        """Begin to fill the cache, in the background: `ready` tells when it has. Never fails for a lost etcd."""
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    @property
    def ready(self) -> bool:
        raise NotImplementedError

    async def wait_ready(self) -> None:
        raise NotImplementedError

    def check(self) -> None:
        """For /readyz: raises ServiceUnavailable while the cache is not filled or etcd is away."""
        raise NotImplementedError

    async def current_revision(self) -> int:
        raise NotImplementedError

    async def get(self, res: Resource, namespace: str, name: str, *, resource_version: str = "") -> Stored:
        """NotFound."""
        raise NotImplementedError

    async def list(
        self,
        res: Resource,
        namespace: str = "",  # "" = all
        *,
        labels: Selector = EVERYTHING,
        fields: FieldSelector = FieldSelector(),  # noqa: B008
        resource_version: str = "",
        match: str = "",
        limit: int = 0,
        continue_token: str = "",
    ) -> Page:
        raise NotImplementedError

    async def watch(
        self,
        res: Resource,
        namespace: str = "",
        *,
        labels: Selector = EVERYTHING,
        fields: FieldSelector = FieldSelector(),  # noqa: B008
        resource_version: str = "",
        match: str = "",
        bookmarks: bool = False,
        send_initial: bool | None = None,
        timeout: float = 0,
    ) -> Watch:
        """Malformed options raise. A resourceVersion that is too old comes as an ERROR event, as upstream does."""
        raise NotImplementedError

    async def create(self, res: Resource, obj: Obj) -> Stored:
        """AlreadyExists; ClaimTaken. namespace and name are the object's own."""
        raise NotImplementedError

    async def update(
        self,
        res: Resource,
        namespace: str,
        name: str,
        change: Change,
        *,
        resource_version: str = "",
        uid: str = "",
    ) -> Stored:
        """change(a copy of the current object) → the new one, or None to write nothing; it may raise, and may be
        called again when another writer was faster. NotFound; Conflict when the object is not at the pinned
        resource_version or uid; ClaimTaken. A change that changes nothing writes nothing."""
        raise NotImplementedError

    async def delete(self, res: Resource, namespace: str, name: str, *, guard: Guard | None = None) -> Stored:
        """Remove it now; returns its last state, at the revision of the removal. guard may raise to refuse."""
        raise NotImplementedError
