"""Equal parts of an address range, handed out one at a time and never twice. Pure."""

from __future__ import annotations

import ipaddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Exhausted(Exception):
    """Every part is taken."""


class CidrSet:
    def __init__(self, cluster: str, mask_size: int) -> None:
        """ValueError when `cluster` is no network or cannot be divided into parts of `mask_size`."""
        self._cluster: Network = ipaddress.ip_network(cluster)
        if not self._cluster.prefixlen <= mask_size <= self._cluster.max_prefixlen:
            raise ValueError(f"{cluster} cannot be divided into networks of /{mask_size}")
        self._mask = mask_size
        self._count = 1 << (mask_size - self._cluster.prefixlen)
        self._used: set[int] = set()
        self._next = 0

    def __len__(self) -> int:
        """Parts in use."""
        return len(self._used)

    def allocate(self) -> str:
        """The next free part after the last one given: a returned one rests as long as possible."""
        for step in range(self._count):
            index = (self._next + step) % self._count
            if index not in self._used:
                self._used.add(index)
                self._next = (index + 1) % self._count
                return self._at(index)
        raise Exhausted(f"no free /{self._mask} is left in {self._cluster}")

    def occupy(self, cidr: str) -> bool:
        """Mark as taken all parts that `cidr` touches. False when one of them was taken before."""
        indexes = self._indexes(cidr)
        free = not any(index in self._used for index in indexes)
        self._used.update(indexes)
        return free

    def release(self, cidr: str) -> None:
        self._used.difference_update(self._indexes(cidr))

    def _at(self, index: int) -> str:
        base = int(self._cluster.network_address)
        size = 1 << (self._cluster.max_prefixlen - self._mask)
        return f"{ipaddress.ip_address(base + index * size)}/{self._mask}"

    def _indexes(self, cidr: str) -> range:
        """The parts that overlap `cidr`; none for a network outside of ours."""
        network = ipaddress.ip_network(cidr, strict=False)
        if network.version != self._cluster.version or not network.overlaps(self._cluster):
            return range(0)
        size = 1 << (self._cluster.max_prefixlen - self._mask)
        base = int(self._cluster.network_address)
        first = max(0, (int(network.network_address) - base) // size)
        last = min(self._count - 1, (int(network.broadcast_address) - base) // size)
        return range(first, last + 1)
