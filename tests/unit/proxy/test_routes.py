"""Routes to the other nodes' pods, stale UDP flows, resolvers, settings."""

from __future__ import annotations

from proxy import conntrack, resolvers, sysctls
from proxy.endpoints import Endpoint, ServicePort
from proxy.routes import Route, routes
from tests.unit.proxy.build import node


def test_one_route_per_other_node() -> None:
    nodes = [node("one", "10.244.1.0/24", "172.30.0.2"), node("two", "10.244.2.0/24", "172.30.0.3")]
    assert routes(nodes, "one") == {Route("10.244.2.0/24", "172.30.0.3")}
    assert routes(nodes, "two") == {Route("10.244.1.0/24", "172.30.0.2")}


def test_incomplete_nodes_get_none() -> None:
    assert routes([node("two", "10.244.2.0/24"), node("three", "", "172.30.0.4")], "one") == set()


def test_own_cidr_is_never_routed_away() -> None:
    nodes = [node("a", "10.244.1.0/24", "172.30.0.9"), node("one", "10.244.1.0/24", "172.30.0.2")]
    assert routes(nodes, "one") == set()


LISTING = """\
udp      17 29 src=10.244.1.5 dst=10.96.0.7 sport=4000 dport=53 [UNREPLIED] src=10.244.2.9 dst=10.244.1.5 sport=53 dport=4000 mark=0 use=1
udp      17 29 src=10.244.1.5 dst=10.96.0.7 sport=4001 dport=53 src=10.244.2.8 dst=10.244.1.5 sport=53 dport=4001 [ASSURED] mark=0 use=1
udp      17 29 src=10.244.1.5 dst=8.8.8.8 sport=4002 dport=53 src=8.8.8.8 dst=172.30.0.2 sport=53 dport=4002 mark=0 use=1
udp      17 29 src=9.9.9.9 dst=172.30.0.2 sport=4003 dport=30053 [UNREPLIED] src=172.30.0.2 dst=9.9.9.9 sport=30053 dport=4003 mark=0 use=1
"""


def dns_port(*ips: str) -> ServicePort:
    endpoints = tuple(Endpoint(ip, 53) for ip in ips)
    return ServicePort("kube-system/dns", "udp", ("10.96.0.7",), 53, node_port=30053, cluster=endpoints)


def test_flows_to_endpoints_that_are_gone_are_stale() -> None:
    flows = conntrack.parse(LISTING)
    assert len(flows) == 4
    found = conntrack.stale(flows, [dns_port("10.244.2.8")], ["172.30.0.2"])
    assert [flow.source_port for flow in found] == [4000, 4003]


def test_without_endpoints_no_flow_is_stale() -> None:
    assert conntrack.stale(conntrack.parse(LISTING), [dns_port()], ["172.30.0.2"]) == []


def test_resolvers() -> None:
    text = "search example.org\nnameserver 10.0.0.1 # first\nnameserver 10.96.0.10\nnameserver 10.0.0.1\nnameserver\n"
    assert resolvers.parse(text, "10.96.0.10") == ["10.0.0.1"]


def test_settings_that_are_right_are_left() -> None:
    right = {sysctls.FORWARD: "1", sysctls.BRIDGE: "1", sysctls.LOOPBACK: "1", sysctls.FILTER: "0"}
    assert sysctls.needed(right) == {}
    assert sysctls.needed({**right, sysctls.FILTER: "1", sysctls.FORWARD: "0"}) == {
        sysctls.FORWARD: "1",
        sysctls.FILTER: "2",
    }
