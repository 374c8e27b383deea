"""Which endpoints a service port uses on this node."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.endpoints import service_ports
from tests.unit.proxy.build import endpoint, endpoint_slice, service


def chosen(*endpoints: Any, node: str = "one", zone: str = "", **spec: Any) -> tuple[list[str], list[str]]:
    [port] = service_ports([service(**spec)], [endpoint_slice(*endpoints)], node, zone)
    return [e.ip for e in port.cluster], [e.ip for e in port.local]


def hint(raw: dict[str, Any], **hints: Any) -> dict[str, Any]:
    return {**raw, "hints": hints}


@pytest.mark.parametrize(
    ("endpoints", "cluster", "local"),
    [
        pytest.param([endpoint("10.0.0.1"), endpoint("10.0.0.2")], ["10.0.0.1", "10.0.0.2"], [], id="ready"),
        pytest.param([endpoint("10.0.0.1", "one")], ["10.0.0.1"], ["10.0.0.1"], id="on this node"),
        pytest.param([endpoint("10.0.0.1", "two")], ["10.0.0.1"], [], id="on another node"),
        pytest.param([endpoint("10.0.0.1", ready=False), endpoint("10.0.0.2")], ["10.0.0.2"], [], id="not ready"),
        pytest.param(
            [endpoint("10.0.0.1", "one", ready=False, serving=True, terminating=True)],
            ["10.0.0.1"],
            ["10.0.0.1"],
            id="none ready, one terminating and serving",
        ),
        pytest.param(
            [
                endpoint("10.0.0.1", "one", ready=False, serving=True, terminating=True),
                endpoint("10.0.0.2", "two"),
            ],
            ["10.0.0.2"],
            ["10.0.0.1"],
            id="the fallback is decided separately for local traffic",
        ),
        pytest.param([endpoint("10.0.0.1", ready=False, serving=False, terminating=True)], [], [], id="none serves"),
        pytest.param([endpoint("10.0.0.1", ready=False, serving=True)], [], [], id="serving alone is not enough"),
        pytest.param([{"addresses": ["10.0.0.1"]}], ["10.0.0.1"], [], id="unknown conditions are ready"),
    ],
)
def test_choice(endpoints: list[Any], cluster: list[str], local: list[str]) -> None:
    assert chosen(*endpoints) == (cluster, local)


def test_hints_narrow_only_when_complete() -> None:
    a = hint(endpoint("10.0.0.1"), forZones=[{"name": "east"}])
    b = hint(endpoint("10.0.0.2"), forZones=[{"name": "west"}])
    assert chosen(a, b, zone="west")[0] == ["10.0.0.2"]
    assert chosen(a, b, zone="north")[0] == ["10.0.0.1", "10.0.0.2"]
    assert chosen(a, b)[0] == ["10.0.0.1", "10.0.0.2"]
    assert chosen(a, endpoint("10.0.0.2"), zone="east")[0] == ["10.0.0.1", "10.0.0.2"]


def test_node_hints_win_over_zone_hints() -> None:
    zone = [{"name": "east"}]
    a = hint(endpoint("10.0.0.1"), forZones=zone, forNodes=[{"name": "one"}])
    b = hint(endpoint("10.0.0.2"), forZones=zone, forNodes=[{"name": "two"}])
    assert chosen(a, b, zone="east")[0] == ["10.0.0.1"]
    assert chosen(a, b, node="three", zone="east")[0] == ["10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(service(ip="None"), id="headless"),
        pytest.param(service(ip=""), id="no address yet"),
        pytest.param(service(type="ExternalName", externalName="example.org"), id="ExternalName"),
        pytest.param(service(ip="fd00::1"), id="IPv6"),
        pytest.param(
            {
                **service(),
                "metadata": {
                    "namespace": "default",
                    "name": "web",
                    "labels": {"service.kubernetes.io/service-proxy-name": "mesh"},
                },
            },
            id="another proxy's",
        ),
    ],
)
def test_not_proxied(odd: Any) -> None:
    assert service_ports([odd], [endpoint_slice(endpoint("10.0.0.1"))], "one") == []


def test_ports_are_matched_by_name_and_protocol() -> None:
    spec = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    slices = endpoint_slice(
        endpoint("10.0.0.1"),
        ports=[{"name": "dns", "port": 1053, "protocol": "UDP"}, {"name": "dns-tcp", "port": 2053}],
    )
    found = {p.name: [e.address for e in p.cluster] for p in service_ports([service(ports=spec)], [slices], "one")}
    assert found == {"default/web:dns": ["10.0.0.1:1053"], "default/web:dns-tcp": ["10.0.0.1:2053"]}


def test_several_slices_make_one_set() -> None:
    slices = [endpoint_slice(endpoint("10.0.0.2")), endpoint_slice(endpoint("10.0.0.1"), endpoint("10.0.0.2"))]
    [port] = service_ports([service()], slices, "one")
    assert [e.ip for e in port.cluster] == ["10.0.0.1", "10.0.0.2"]
