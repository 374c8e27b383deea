from typing import cast

from apiserver.storage.etcd import Etcd
from apiserver.storage.leases import Leases


class Grants:
    """Stands in for etcd: hands out 1, 2, 3 …"""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def grant(self, ttl: int) -> int:
        self.asked.append(ttl)
        return len(self.asked)


async def test_writes_of_one_minute_share_a_lease_that_lives_a_minute_longer() -> None:
    grants, now = Grants(), 0.0
    leases = Leases(cast(Etcd, grants), clock=lambda: now)
    assert [await leases.of(3600), await leases.of(3600)] == [1, 1]
    now = 59.9
    assert await leases.of(3600) == 1
    now = 60.0
    assert await leases.of(3600) == 2
    assert grants.asked == [3660, 3660]


async def test_a_lease_takes_a_thousand_objects() -> None:
    leases = Leases(cast(Etcd, Grants()), clock=lambda: 0.0)
    assert {await leases.of(3600) for _ in range(1000)} == {1}
    assert await leases.of(3600) == 2


async def test_lives_of_different_length_are_apart_and_short_ones_are_exact() -> None:
    grants = Grants()
    leases = Leases(cast(Etcd, grants), clock=lambda: 0.0)
    assert [await leases.of(0), await leases.of(3600), await leases.of(2), await leases.of(2)] == [0, 1, 2, 3]
    assert grants.asked == [3660, 2, 2]


async def test_a_forgotten_lease_is_not_used_again() -> None:
    leases = Leases(cast(Etcd, Grants()), clock=lambda: 0.0)
    await leases.of(3600)
    leases.forget(3600)
    assert await leases.of(3600) == 2
