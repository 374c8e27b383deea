"""Which address a pod gets, and which pods are plugged in by the kubelet itself."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any, ClassVar, cast

import pytest

from kubelet.docker.runtime import Refused, Unreachable
from kubelet.network import netlink
from kubelet.network.pod_network import PodNetwork, free_address, publishes_host_ports
from kubelet.pods.model import SANDBOX, Container

SUBNET = ipaddress.IPv4Network("10.244.7.0/28")  # ours: .2 to .11, Docker's: .12 to .15
POOL = {"Subnet": "10.244.7.0/28", "IPRange": "10.244.7.12/30", "Gateway": "10.244.7.1"}


@pytest.mark.parametrize(
    ("taken", "after", "free"),
    [
        ((), "", "10.244.7.2"),
        (("10.244.7.2",), "", "10.244.7.3"),
        ((), "10.244.7.2", "10.244.7.3"),
        (("10.244.7.3",), "10.244.7.2", "10.244.7.4"),
        ((), "10.244.7.11", "10.244.7.2"),
        (("10.244.7.2", "10.244.7.3"), "10.244.7.11", "10.244.7.4"),
        (tuple(f"10.244.7.{n}" for n in range(2, 12)), "", ""),
    ],
    ids=["first", "next free", "in turn", "in turn, taken", "round", "round, taken", "none left"],
)
def test_addresses_go_round(taken: tuple[str, ...], after: str, free: str) -> None:
    assert free_address(SUBNET, taken, after) == free


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "d", "uid": "u"}, "spec": {"containers": [{"name": "c"}], **spec}}


HOST_PORT = pod(containers=[{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8080}]}])


def test_host_ports_of_any_container_count() -> None:
    init = pod(initContainers=HOST_PORT["spec"]["containers"])
    plain = pod(containers=[{"name": "c", "ports": [{"containerPort": 80}]}])
    assert [publishes_host_ports(p) for p in (HOST_PORT, init, plain)] == [True, True, False]


class Docker:
    """One network, as Docker would tell of it."""

    labels: ClassVar[dict[str, str]] = {}

    def __init__(self, pool: dict[str, str] | None = None, containers: dict[str, Any] | None = None) -> None:
        self.there = {"IPAM": {"Config": [pool]}, "Containers": containers or {}} if pool else None
        self.unlisted: dict[str, bool | None] = {}

    async def engine_version(self) -> tuple[int, ...]:
        return (20, 10)

    async def network(self, _: str) -> Any:
        return self.there

    async def make_network(self, body: Any) -> None:
        self.there = body

    async def remove_network(self, _: str) -> None:
        self.there = None

    async def knows(self, container_id: str) -> bool:
        known = self.unlisted.get(container_id, False)
        if known is None:
            raise Unreachable("away")
        return known


async def network(docker: Docker, *sandboxes: Container) -> PodNetwork:
    made = PodNetwork(cast(Any, docker), lambda: sandboxes)
    await made.ensure("10.244.7.0/28")
    return made


RUNNING = Container("i" * 64, "u", "p", "d", SANDBOX, 0, "running", ips=("10.244.7.2",), own_address="10.244.7.2")


async def test_two_sandboxes_under_way_get_two_addresses_and_a_running_one_keeps_its_own() -> None:
    ours = await network(Docker(), RUNNING)
    with ours.lease(pod()) as one, ours.lease(pod()) as other:
        assert (one, other) == ("10.244.7.3", "10.244.7.4")
    with ours.lease(pod()) as later:
        assert later == "10.244.7.5"


@pytest.mark.parametrize("spec", [pod(hostNetwork=True), HOST_PORT], ids=["host network", "host port"])
async def test_these_are_left_to_docker(spec: dict[str, Any]) -> None:
    with (await network(Docker())).lease(spec) as address:
        assert address == ""


async def test_a_full_node_says_so() -> None:
    full = [replace(RUNNING, id=str(n), ips=(f"10.244.7.{n}",)) for n in range(2, 12)]
    with (
        pytest.raises(Refused, match=r"no free address is left in 10\.244\.7\.0/28"),
        (await network(Docker(), *full)).lease(pod()),
    ):
        pass


async def test_an_unused_network_of_an_earlier_release_is_made_anew() -> None:
    docker = Docker({"Subnet": "10.244.7.0/28", "Gateway": "10.244.7.1"})
    with (await network(docker)).lease(pod()) as address:
        assert (address, docker.there and docker.there["IPAM"]["Config"]) == ("10.244.7.2", [POOL])


async def test_a_used_network_of_an_earlier_release_is_left_to_docker() -> None:
    docker = Docker({"Subnet": "10.244.7.0/28", "Gateway": "10.244.7.1"}, {"x": {}})
    with (await network(docker)).lease(pod()) as address:
        assert address == ""


async def test_a_used_network_of_another_subnet_is_an_error() -> None:
    with pytest.raises(Refused, match=r"has subnet 10\.9\.0\.0/24, the node's pod CIDR is 10\.244\.7\.0/28"):
        await network(Docker({"Subnet": "10.9.0.0/24"}), RUNNING)


async def test_a_sandbox_is_plugged_in_once(monkeypatch: pytest.MonkeyPatch) -> None:
    plugged: list[int] = []
    monkeypatch.setattr(netlink, "connect", lambda pid, *_: plugged.append(pid))
    one, other = replace(RUNNING, pid=7), replace(RUNNING, id="j" * 64, pid=8)
    ours = await network(Docker(), one)
    for sandbox in (one, one, other, one):
        await ours.connect(sandbox)
    assert plugged == [7, 8]


async def test_one_that_could_not_be_plugged_in_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [OSError("not now"), None]

    def connect(*_: object) -> None:
        if (answer := answers.pop(0)) is not None:
            raise answer

    monkeypatch.setattr(netlink, "connect", connect)
    ours = await network(Docker(), RUNNING)
    with pytest.raises(OSError, match="not now"):
        await ours.connect(RUNNING)
    await ours.connect(RUNNING)
    assert answers == []


async def test_ports_of_sandboxes_that_docker_has_lost_are_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    pulled: list[str] = []
    found = {"spn" + digit * 11 for digit in "ijkno"}
    monkeypatch.setattr(netlink, "links", lambda prefix: {name for name in found if name.startswith(prefix)})
    monkeypatch.setattr(netlink, "connect", lambda *_: None)

    def disconnect(port: str) -> None:
        pulled.append(port)
        if port[-1] == "j":
            raise OSError("no such device")

    monkeypatch.setattr(netlink, "disconnect", disconnect)
    docker = Docker()
    docker.unlisted = {"n" * 11: True, "o" * 11: None}
    ours = await network(docker, RUNNING)
    found.add("spn" + "l" * 11)  # by now pods may be plugged in that are not known yet
    await ours.adopt()
    assert sorted(pulled) == ["spn" + "j" * 11, "spn" + "k" * 11]
