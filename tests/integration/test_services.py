"""Addresses and node ports of services: allocated, held exclusively, given back."""

from __future__ import annotations

import ipaddress
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from kubernetes.client import ApiException, CoreV1Api

from tests.harness.upstream import Kubectl
from tests.integration.manifests import Manifest, service

RANGE = ipaddress.ip_network("10.96.0.0/16")


def refused(core: CoreV1Api, namespace: str, body: Manifest) -> str:
    with pytest.raises(ApiException) as caught:
        core.create_namespaced_service(namespace, body)
    assert caught.value.status == 422
    message = json.loads(caught.value.body)["message"]
    assert isinstance(message, str)
    return message


def test_a_cluster_ip_is_allocated_once(core: CoreV1Api, namespace: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        names = [f"s{i}" for i in range(40)]
        made = list(pool.map(lambda name: core.create_namespaced_service(namespace, service(name)), names))
    addresses = [s.spec.cluster_ip for s in made]
    assert len(set(addresses)) == 40
    assert all(ipaddress.ip_address(a) in RANGE for a in addresses)
    one = made[0].spec
    assert (one.type, one.cluster_ips, one.ip_families, one.ip_family_policy) == (
        "ClusterIP", [one.cluster_ip], ["IPv4"], "SingleStack",
    )  # fmt: skip
    assert (one.session_affinity, one.internal_traffic_policy) == ("None", "Cluster")


def test_an_address_may_be_chosen_if_free(core: CoreV1Api, namespace: str) -> None:
    chosen = core.create_namespaced_service(namespace, service("a", clusterIP="10.96.77.7"))
    assert chosen.spec.cluster_ip == "10.96.77.7"
    message = refused(core, namespace, service("b", clusterIP="10.96.77.7"))
    assert 'spec.clusterIPs: Invalid value: ["10.96.77.7"]' in message
    assert "provided IP is already allocated" in message
    assert "not in the valid range" in refused(core, namespace, service("c", clusterIP="192.168.1.1"))
    assert "clusterIP" in refused(core, namespace, service("d", clusterIP="nonsense"))
    core.delete_namespaced_service("a", namespace)
    again = core.create_namespaced_service(namespace, service("b", clusterIP="10.96.77.7"))
    assert again.spec.cluster_ip == "10.96.77.7"
    core.delete_namespaced_service("b", namespace)


def test_an_address_stays(core: CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_service(namespace, service("a"))
    with pytest.raises(ApiException) as caught:
        core.patch_namespaced_service("a", namespace, {"spec": {"clusterIP": "10.96.78.8"}})
    assert caught.value.status == 422
    assert core.read_namespaced_service("a", namespace).spec.cluster_ip == made.spec.cluster_ip


def test_a_headless_service_has_none(core: CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_service(namespace, service("a", clusterIP="None"))
    assert (made.spec.cluster_ip, made.spec.cluster_ips) == ("None", ["None"])


def test_node_ports(core: CoreV1Api, namespace: str) -> None:
    made = core.create_namespaced_service(namespace, service("a", 80, 443, type="NodePort"))
    ports = [p.node_port for p in made.spec.ports]
    assert len(set(ports)) == 2
    assert all(30000 <= port <= 32767 for port in ports)
    assert made.spec.external_traffic_policy == "Cluster"

    def wanting(port: int) -> Manifest:
        body = service("b", type="NodePort")
        body["spec"]["ports"][0]["nodePort"] = port
        return body

    assert "provided port is already allocated" in refused(core, namespace, wanting(ports[0]))
    assert "not in the valid range" in refused(core, namespace, wanting(80))
    core.patch_namespaced_service("a", namespace, {"spec": {"type": "ClusterIP"}})
    assert [p.node_port for p in core.read_namespaced_service("a", namespace).spec.ports] == [None, None]
    core.create_namespaced_service(namespace, wanting(ports[0]))
    core.delete_namespaced_service("b", namespace)


def test_kubectl_shows_a_service(kubectl: Kubectl) -> None:
    kubectl.run("apply", "-f", "-", stdin=service("web", 80, type="NodePort")).ok()
    header, line = kubectl.run("get", "svc", "web").ok().lines
    assert header.split() == ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"]
    port = kubectl.run("get", "svc", "web", "-o", "jsonpath={.spec.ports[0].nodePort}").stdout
    assert line.split()[4] == f"80:{port}/TCP"
    again = kubectl.run("apply", "-f", "-", stdin=service("web", 80, type="NodePort")).ok()
    assert again.stdout == "service/web unchanged\n"


def test_the_servers_own_service(core: CoreV1Api) -> None:
    own = core.read_namespaced_service("kubernetes", "default")
    assert own.spec.cluster_ip == "10.96.0.1"
    assert own.metadata.labels["component"] == "apiserver"
    endpoints = core.read_namespaced_endpoints("kubernetes", "default")
    assert endpoints.subsets[0].addresses[0].ip == "192.0.2.1"
