"""Cluster IPs and node ports as they are proposed; that none is given twice is for the claims to see to."""

from __future__ import annotations

import ipaddress
from typing import Any, cast

import orjson
import pytest

from api.builtin import SERVICES
from api.errors import Invalid
from api.meta import Obj
from api.registry import Resource
from apiserver.allocation import Allocator, taken
from apiserver.storage.store import Store
from apiserver.storage.stored import Page, Stored

RANGE = ipaddress.ip_network("10.96.0.0/28")


class Services:
    """The one thing the allocator asks of a store."""

    def __init__(self, *services: Obj) -> None:
        self._services = services

    async def list(self, res: Resource, **_: Any) -> Page:
        if res is not SERVICES:
            return Page([], 1)
        items = [
            Stored("default", s["metadata"]["name"], 1, orjson.dumps(s), {},
                   {"spec.clusterIP": s["spec"].get("clusterIP", ""), "spec.type": s["spec"]["type"]})
            for s in self._services
        ]  # fmt: skip
        return Page(items, 1)


def service(kind: str = "ClusterIP", name: str = "web", **spec: Any) -> Obj:
    ports = spec.pop("ports", [{"port": 80, "protocol": "TCP"}])
    return {"metadata": {"name": name, "namespace": "default"}, "spec": {"type": kind, "ports": ports, **spec}}


def allocator(*services: Obj, ports: tuple[int, int] = (30000, 30003)) -> Allocator:
    return Allocator(cast(Store, Services(*services)), RANGE, ports)


async def test_a_service_gets_an_address_of_the_range() -> None:
    made = service()
    chosen = await allocator().assign(made, None, set())
    address = ipaddress.ip_address(made["spec"]["clusterIP"])
    assert address in RANGE
    assert made["spec"]["clusterIPs"] == [str(address)]
    assert made["spec"]["ipFamilies"] == ["IPv4"]
    assert chosen == {f"clusterip/{address}"}


async def test_the_last_free_address_is_found_and_then_there_is_none() -> None:
    held = [service(name=f"s{n}", clusterIP=str(RANGE[n])) for n in range(1, 14)]
    made = service()
    await allocator(*held).assign(made, None, set())
    assert made["spec"]["clusterIP"] == str(RANGE[14])
    with pytest.raises(Exception, match="range is full"):
        await allocator(*held).assign(service(), None, {f"clusterip/{RANGE[14]}"})


@pytest.mark.parametrize("address", ["10.97.0.1", "10.96.0.0", "10.96.0.15"])
async def test_an_address_outside_the_range_is_refused(address: str) -> None:
    with pytest.raises(Invalid, match=f"failed to allocate IP {address}: the provided IP"):
        await allocator().assign(service(clusterIP=address), None, set())


async def test_headless_and_external_services_take_no_address() -> None:
    headless = service(clusterIP="None")
    assert (await allocator().assign(headless, None, set())) == set()
    assert headless["spec"]["clusterIPs"] == ["None"]
    external = service("ExternalName", externalName="a.b")
    await allocator().assign(external, None, set())
    assert "clusterIP" not in external["spec"]


async def test_node_ports_are_given_and_shared_between_protocols_of_one_port() -> None:
    made = service("NodePort", ports=[{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}, {"port": 80}])
    await allocator().assign(made, None, set())
    dns_udp, dns_tcp, web = (p["nodePort"] for p in made["spec"]["ports"])
    assert dns_udp == dns_tcp != web
    assert 30000 <= web <= 30003


async def test_a_node_port_outside_the_range_is_refused() -> None:
    with pytest.raises(
        Invalid, match=r"spec.ports\[0\].nodePort: Invalid value: 80: provided port is not in the valid"
    ):
        await allocator().assign(service("NodePort", ports=[{"port": 80, "nodePort": 80}]), None, set())


async def test_an_update_keeps_what_it_does_not_mention() -> None:
    old = service("NodePort", clusterIP="10.96.0.5", clusterIPs=["10.96.0.5"], ports=[{"port": 80, "nodePort": 30001}])
    new = service("NodePort", ports=[{"port": 80}, {"port": 81}])
    chosen = await allocator(old).assign(new, old, set())
    assert new["spec"]["clusterIP"] == "10.96.0.5"
    assert new["spec"]["ports"][0]["nodePort"] == 30001
    assert new["spec"]["ports"][1]["nodePort"] not in (0, 30001)
    assert len(chosen) == 1


async def test_a_service_that_stops_being_a_node_port_gives_its_ports_back() -> None:
    old = service("NodePort", clusterIP="10.96.0.5", ports=[{"port": 80, "nodePort": 30001}])
    new = service(clusterIP="10.96.0.5", ports=[{"port": 80, "nodePort": 30001}])
    await allocator(old).assign(new, old, set())
    assert "nodePort" not in new["spec"]["ports"][0]


async def test_a_service_that_becomes_external_gives_its_address_back() -> None:
    old = service(clusterIP="10.96.0.5", clusterIPs=["10.96.0.5"])
    new = service("ExternalName", externalName="a.b", clusterIP="10.96.0.5", clusterIPs=["10.96.0.5"])
    await allocator(old).assign(new, old, set())
    assert "clusterIP" not in new["spec"]
    assert "clusterIPs" not in new["spec"]


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        ("clusterip/10.96.0.5",
         'spec.clusterIPs: Invalid value: ["10.96.0.5"]: failed to allocate IP 10.96.0.5: provided IP is already '
         "allocated"),
        ("nodeport/UDP/30001", "spec.ports[1].nodePort: Invalid value: 30001: provided port is already allocated"),
    ],
)  # fmt: skip
def test_what_another_service_holds_is_refused_by_field(claim: str, text: str) -> None:
    asked = service(ports=[{"port": 1, "nodePort": 30001}, {"port": 1, "nodePort": 30001, "protocol": "UDP"}])
    assert taken(asked, claim).message == f'Service "web" is invalid: {text}'


async def test_a_balanced_service_that_keeps_traffic_local_gets_a_port_for_health_checks() -> None:
    """https://kubernetes.io/docs/tutorials/services/source-ip/ (spec.healthCheckNodePort)."""
    made = service("LoadBalancer", externalTrafficPolicy="Local")
    chosen = await allocator().assign(made, None, set())
    port = made["spec"]["healthCheckNodePort"]
    assert port in range(30000, 30004)
    assert port != made["spec"]["ports"][0]["nodePort"]
    assert f"nodeport/TCP/{port}" in chosen
    other = service("NodePort", "other", ports=[{"port": 80}, {"port": 81}])
    await allocator(made).assign(other, None, set())
    assert port not in [p["nodePort"] for p in other["spec"]["ports"]]


@pytest.mark.parametrize(
    ("spec", "families", "text"),
    [
        ({}, ["IPv4"], ""),
        ({"ipFamilyPolicy": "PreferDualStack"}, ["IPv4"], ""),
        ({"clusterIP": "None"}, ["IPv4", "IPv6"], ""),
        ({"clusterIP": "None", "selector": {"a": "b"}}, ["IPv4"], ""),
        ({"ipFamilyPolicy": "RequireDualStack"}, [], "this cluster is not configured for dual-stack services"),
        ({"ipFamilies": ["IPv6"]}, [], "not configured on this cluster"),
    ],
)
async def test_the_families_of_a_cluster_with_one(spec: dict[str, Any], families: list[str], text: str) -> None:
    """https://kubernetes.io/docs/concepts/services-networking/dual-stack/ (existing and headless services)."""
    made = service(**spec)
    if text:
        with pytest.raises(Invalid, match=text):
            await allocator().assign(made, None, set())
    else:
        await allocator().assign(made, None, set())
        assert made["spec"]["ipFamilies"] == families
