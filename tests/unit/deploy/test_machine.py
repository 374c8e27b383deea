"""The arithmetic of several machines on one."""

from __future__ import annotations

import pytest

from deploy.machine import MachineError, reachable_resolvers
from deploy.machine_docker import settings
from deploy.machine_links import free_subnet


@pytest.mark.parametrize(
    ("routes", "subnet"),
    [
        ([], "172.30.0.0/24"),
        (["default", "192.0.2.0/24", "127.0.0.1"], "172.30.0.0/24"),
        (["172.30.0.0/24"], "172.30.1.0/24"),
        (["172.30.0.0/16"], "172.31.0.0/24"),
        (["172.30.1.7"], "172.30.0.0/24"),
        (["0.0.0.0/0"], "172.30.0.0/24"),
    ],
)
def test_the_machines_network_overlaps_no_route(routes: list[str], subnet: str) -> None:
    assert free_subnet(routes) == subnet


def test_without_a_free_network_it_says_what_to_do() -> None:
    with pytest.raises(MachineError, match="subnet="):
        free_subnet(["172.16.0.0/12"])


def test_resolvers_on_loopback_are_left_out() -> None:
    text = "search lan\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.53\n"
    assert reachable_resolvers(text) == "search lan\nnameserver 192.0.2.53\n"


def test_docker_of_a_machine_keeps_to_itself() -> None:
    made = settings("sampan-node-1")
    assert made["cgroup-parent"] == "/sampan/sampan-node-1"
    assert made["live-restore"] is True
    assert made["iptables"] is False
