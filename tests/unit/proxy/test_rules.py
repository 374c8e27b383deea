"""The rule text of each feature, and what holds for every set of services."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.endpoints import Endpoint, ServicePort, service_ports
from proxy.rules import JUMPS, Network, Tables, chain_name, is_ours, tables
from tests.unit.proxy.build import endpoint, endpoint_slice, service

NETWORK = Network("10.244.0.0/16", "10.96.0.10", ("10.244.1.0/24",))
SVC = chain_name("SVC", "default/web", "tcp")
SVL = chain_name("SVL", "default/web", "tcp")
EXT = chain_name("EXT", "default/web", "tcp")
FW = chain_name("FW", "default/web", "tcp")
SEP1 = chain_name("SEP", "default/web", "tcp", "10.244.1.2:8080")
SEP2 = chain_name("SEP", "default/web", "tcp", "10.244.2.2:8080")
NOTE = '-m comment --comment "default/web"'
HERE, THERE = endpoint("10.244.1.2", "one"), endpoint("10.244.2.2", "two")


def built(*endpoints: Any, **spec: Any) -> Tables:
    return tables(service_ports([service(**spec)], [endpoint_slice(*endpoints)], "one"), NETWORK)


def test_cluster_ip() -> None:
    made = built(HERE, THERE)
    assert made.nat["SAMPAN-SERVICES"] == [
        f"-p tcp -m tcp -d 10.96.1.1/32 --dport 80 {NOTE} -j {SVC}",
        "-m addrtype --dst-type LOCAL -j SAMPAN-NODEPORTS",
    ]
    assert made.nat[SVC] == [
        "! -s 10.244.0.0/16 -d 10.96.1.1/32 -p tcp -m tcp --dport 80 -j SAMPAN-MARK-MASQ",
        f"-m statistic --mode random --probability 0.5000000000 -j {SEP1}",
        f"-j {SEP2}",
    ]
    assert made.nat[SEP1] == [
        f"-s 10.244.1.2/32 {NOTE} -j SAMPAN-MARK-MASQ",
        "-p tcp -m tcp -j DNAT --to-destination 10.244.1.2:8080",
    ]
    assert made.filter["SAMPAN-SERVICES"] == []


def test_without_endpoints_it_is_refused() -> None:
    made = built(nodePort=1, ports=[{"port": 80, "nodePort": 30080}])
    reject = "-j REJECT --reject-with icmp-port-unreachable"
    assert made.filter["SAMPAN-SERVICES"] == [
        f"-p tcp -m tcp -d 10.96.1.1/32 --dport 80 {NOTE} {reject}",
        f"-p tcp -m tcp -m addrtype --dst-type LOCAL --dport 30080 {NOTE} {reject}",
    ]
    assert made.nat["SAMPAN-SERVICES"] == ["-m addrtype --dst-type LOCAL -j SAMPAN-NODEPORTS"]
    assert made.nat["SAMPAN-NODEPORTS"] == []


def test_node_port() -> None:
    made = built(HERE, ports=[{"port": 80, "nodePort": 30080}])
    assert made.nat["SAMPAN-NODEPORTS"] == [f"-p tcp -m tcp --dport 30080 {NOTE} -j {EXT}"]
    assert made.nat[EXT] == [f"{NOTE} -j SAMPAN-MARK-MASQ", f"-j {SVC}"]


def test_external_and_load_balancer_ips() -> None:
    spec = service(externalIPs=["192.0.2.9"], loadBalancerSourceRanges=["198.51.100.0/24"])
    spec["status"] = {"loadBalancer": {"ingress": [{"ip": "203.0.113.5"}, {"ip": "203.0.113.6", "ipMode": "Proxy"}]}}
    made = tables(service_ports([spec], [endpoint_slice(HERE)], "one"), NETWORK)
    assert made.nat["SAMPAN-SERVICES"][1:3] == [
        f"-p tcp -m tcp -d 192.0.2.9/32 --dport 80 {NOTE} -j {EXT}",
        f"-p tcp -m tcp -d 203.0.113.5/32 --dport 80 {NOTE} -j {FW}",
    ]
    assert made.nat[FW] == [f"-s 198.51.100.0/24 {NOTE} -j {EXT}"]
    assert made.filter["SAMPAN-SERVICES"] == [f"-p tcp -m tcp -d 203.0.113.5/32 --dport 80 {NOTE} -j DROP"]


def test_external_policy_local() -> None:
    made = built(HERE, THERE, ports=[{"port": 80, "nodePort": 30080}], externalTrafficPolicy="Local")
    assert made.nat[EXT] == [
        f"-s 10.244.0.0/16 {NOTE} -j {SVC}",
        "-m addrtype --src-type LOCAL -j SAMPAN-MARK-MASQ",
        f"-m addrtype --src-type LOCAL -j {SVC}",
        f"-j {SVL}",
    ]
    assert made.nat[SVL][-1] == f"-j {SEP1}"


def test_external_policy_local_without_local_endpoint_is_silent() -> None:
    made = built(THERE, ports=[{"port": 80, "nodePort": 30080}], externalTrafficPolicy="Local")
    assert SVL not in made.nat
    assert made.filter["SAMPAN-SERVICES"] == [
        f"-p tcp -m tcp -m addrtype --dst-type LOCAL --dport 30080 {NOTE} -j DROP"
    ]


def test_internal_policy_local() -> None:
    made = built(HERE, THERE, internalTrafficPolicy="Local")
    assert made.nat["SAMPAN-SERVICES"][0].endswith(f"-j {SVL}")
    assert SVC not in made.nat
    assert SEP2 not in made.nat
    silent = built(THERE, internalTrafficPolicy="Local")
    assert silent.filter["SAMPAN-SERVICES"] == [f"-p tcp -m tcp -d 10.96.1.1/32 --dport 80 {NOTE} -j DROP"]


def test_session_affinity() -> None:
    made = built(HERE, THERE, sessionAffinity="ClientIP")
    assert made.nat[SVC][1:3] == [
        f"-m recent --name {SEP1} --rcheck --seconds 10800 --reap -j {SEP1}",
        f"-m recent --name {SEP2} --rcheck --seconds 10800 --reap -j {SEP2}",
    ]
    assert made.nat[SEP1][1] == (
        f"-p tcp -m tcp -m recent --name {SEP1} --set -j DNAT --to-destination 10.244.1.2:8080"
    )


def test_other_protocols() -> None:
    spec = [{"port": 53, "protocol": "UDP"}]
    ports = service_ports([service(ports=spec)], [endpoint_slice(HERE, ports=[{"port": 53, "protocol": "UDP"}])], "one")
    made = tables(ports, NETWORK)
    assert made.nat["SAMPAN-SERVICES"][0].startswith("-p udp -m udp -d 10.96.1.1/32 --dport 53 ")


def test_pods_leave_the_cluster_masqueraded() -> None:
    first, *rest = built().nat["SAMPAN-POSTROUTING"]
    assert first == (
        "-s 10.244.1.0/24 ! -d 10.244.0.0/16 -m mark ! --mark 0x4000/0x4000 "
        '-m comment --comment "pods that leave the cluster" -j MASQUERADE --random-fully'
    )
    assert tables([], Network("10.244.0.0/16")).nat["SAMPAN-POSTROUTING"] == rest


def test_the_dns_service_is_answered_here_unless_it_has_pods() -> None:
    mine = tables(service_ports([service(ip="10.96.0.10")], [], "one"), NETWORK)
    assert mine.filter["SAMPAN-SERVICES"] == []
    theirs = tables(service_ports([service(ip="10.96.0.10")], [endpoint_slice(HERE)], "one"), NETWORK)
    assert theirs.nat["SAMPAN-SERVICES"][0].startswith("-p tcp -m tcp -d 10.96.0.10/32")


@pytest.mark.parametrize("chain", ["SAMPAN-MACHINES", "DOCKER", "KUBE-SERVICES", "SAMPAN-SERVICESX"])
def test_foreign_chains_are_not_ours(chain: str) -> None:
    assert not is_ours(chain)


# -- what always holds ----------------------------------------------------------------------------------

_endpoints = st.builds(
    Endpoint,
    ip=st.integers(1, 40).map(lambda n: f"10.244.0.{n}"),
    port=st.just(8080),
    local=st.booleans(),
)
_ports = st.builds(
    ServicePort,
    name=st.sampled_from(["a/b", "a/b:http", "c/d", "e/f"]),
    protocol=st.sampled_from(["tcp", "udp", "sctp"]),
    cluster_ips=st.just(("10.96.3.4",)),
    port=st.integers(1, 65535),
    node_port=st.sampled_from([0, 30001]),
    external_ips=st.sampled_from([(), ("192.0.2.1",)]),
    load_balancer_ips=st.sampled_from([(), ("203.0.113.1",)]),
    source_ranges=st.sampled_from([(), ("10.0.0.0/8",)]),
    affinity_seconds=st.sampled_from([0, 60]),
    internal_local=st.booleans(),
    external_local=st.booleans(),
    cluster=st.lists(_endpoints, max_size=5, unique_by=lambda e: e.ip).map(tuple),
).map(lambda port: replace(port, local=tuple(e for e in port.cluster if e.local)))
_sets = st.lists(_ports, max_size=3, unique_by=lambda p: (p.name, p.protocol))


@given(_sets)
def test_every_chain_referenced_is_declared_and_every_chain_is_referenced(ports: list[ServicePort]) -> None:
    made = tables(ports, NETWORK)
    for table, jumps in JUMPS.items():
        chains = made.chains(table)
        targets = {t for rules in chains.values() for r in rules for t in re.findall(r"-j (SAMPAN-\S+)", r)}
        assert targets <= set(chains)
        assert set(chains) - targets - set(jumps.values()) <= {"SAMPAN-MARK-MASQ"}
        assert all(is_ours(chain) and len(chain) <= 28 for chain in chains)


@given(st.integers(1, 60))
def test_every_endpoint_gets_the_same_share(count: int) -> None:
    endpoints = tuple(Endpoint(f"10.244.0.{n}", 80) for n in range(count))
    port = ServicePort("a/b", "tcp", ("10.96.3.4",), 80, cluster=endpoints)
    rules = tables([port], NETWORK).nat[chain_name("SVC", "a/b", "tcp")][1:]
    left = Fraction(1)
    for rule in rules:
        written = re.search(r"--probability (\S+)", rule)
        share = left * Fraction(written[1]) if written else left
        assert abs(share - Fraction(1, count)) < Fraction(1, 10**8)
        left -= share
    assert left == 0
