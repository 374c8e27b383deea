"""Objects that go by themselves (events): each write is bound to an etcd lease that is never renewed.

A lease costs etcd more than an object does, so writes of one moment share one, as upstream's do
(k8s.io/apiserver/pkg/storage/etcd3/lease_manager.go): the lease lives a little longer than asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from apiserver.storage.etcd import Etcd

_MOST_OBJECTS = 1000
_LONGEST_SHARING = 60.0  # seconds


class _Shared(NamedTuple):
    lease: int
    until: float
    left: int


class Leases:
    def __init__(self, etcd: Etcd, *, clock: Callable[[], float] = monotonic) -> None:
        self._etcd = etcd
        self._clock = clock
        self._shared: dict[int, _Shared] = {}

    async def of(self, ttl: int) -> int:
        """A lease that ends in `ttl` seconds or up to a twentieth later. 0 for ttl 0."""
        if not ttl:
            return 0
        shared, now = self._shared.get(ttl), self._clock()
        if shared is None or shared.until <= now or not shared.left:
            sharing = min(_LONGEST_SHARING, ttl // 20)
            lease = await self._etcd.grant(ttl + int(sharing))
            shared = _Shared(lease, now + sharing, _MOST_OBJECTS)
        self._shared[ttl] = shared._replace(left=shared.left - 1)
        return shared.lease

    def forget(self, ttl: int) -> None:
        """etcd does not know the lease any more."""
        self._shared.pop(ttl, None)
