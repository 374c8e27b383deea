"""Both ends of the tunnel work out the same numbers."""

from __future__ import annotations

from proxy.routes import Route
from proxy.tunnel import Peer, mac, peer


def test_a_peer_follows_from_its_node() -> None:
    assert peer(Route("10.244.2.0/24", "192.0.2.7")) == Peer(
        "10.244.2.0/24", "192.0.2.7", "02:53:c0:00:02:07", "10.244.2.0"
    )


def test_macs_are_local_unicast_and_distinct() -> None:
    macs = {mac(f"10.0.{a}.{b}") for a in range(4) for b in range(250)}
    assert len(macs) == 1000
    assert all(int(m[:2], 16) & 3 == 2 for m in macs)
