"""The node's network with real kernels, real sockets and the real proxy."""

from __future__ import annotations

import signal
import socket
import struct
import time
from collections import Counter
from typing import Any

import dns.message

from api.builtin import ENDPOINT_SLICES, SERVICES
from tests.integration.proxy.conftest import FAR, NODES_IPS, PODS, Lan, eventually, pod_ip
from tests.integration.proxy.netns import ask, connect, inside, sh
from tests.unit.proxy.build import endpoint, endpoint_slice, service

UDP = [{"port": 8080, "protocol": "UDP"}]


def publish(lan: Lan, name: str, ip: str, pods: tuple[str, ...] = PODS, ports: Any = None, **spec: Any) -> None:
    lan.api.put(SERVICES, service(f"default/{name}", ip, **spec))
    back(lan, name, pods, ports)


def back(lan: Lan, name: str, pods: tuple[str, ...], ports: Any = None) -> None:
    endpoints = [endpoint(pod_ip(pod), f"n{pod[1]}") for pod in pods]
    lan.api.put(ENDPOINT_SLICES, endpoint_slice(*endpoints, of=f"default/{name}", ports=ports))


def answers(netns: str, ip: str, port: int, times: int = 40) -> Counter[str]:
    return Counter(ask(netns, ip, port)[0] for _ in range(times))


def works(netns: str, ip: str, port: int) -> bool:
    try:
        ask(netns, ip, port, 0.5)
    except OSError:
        return False
    return True


def test_pods_of_different_nodes_reach_each_other(lan: Lan) -> None:
    assert ask("p12", pod_ip("p23"), 8080) == ("p23", pod_ip("p12"))


def test_pods_reach_those_of_a_node_behind_a_router(lan: Lan) -> None:
    eventually(lambda: works("p12", pod_ip(FAR), 8080))
    assert ask("p12", pod_ip(FAR), 8080) == (FAR, pod_ip("p12"))
    assert ask(FAR, pod_ip("p23"), 8080) == ("p23", pod_ip(FAR))
    with connect("p12", pod_ip(FAR), 8080) as connection:
        connection.recv(100)
        connection.sendall(bytes(50_000))  # packets as large as the links take
        left = 50_000
        while left:
            left -= len(connection.recv(left))


def test_a_pod_leaves_the_cluster_under_its_nodes_address(lan: Lan) -> None:
    assert ask("p12", "192.168.77.9", 8080) == ("client", "192.168.77.11")


def test_a_cluster_ip_spreads_over_all_pods(lan: Lan) -> None:
    publish(lan, "spread", "10.96.1.1")
    eventually(lambda: works("p12", "10.96.1.1", 80))
    assert set(answers("p12", "10.96.1.1", 80)) == set(PODS)
    assert set(answers("n1", "10.96.1.1", 80)) == set(PODS)


def test_a_pod_reaches_itself_through_its_service(lan: Lan) -> None:
    publish(lan, "self", "10.96.1.2", ("p12",))
    eventually(lambda: works("p12", "10.96.1.2", 80))
    assert ask("p12", "10.96.1.2", 80) == ("p12", "10.244.1.1")


def test_a_node_port_answers_on_every_node(lan: Lan) -> None:
    lan.api.put(SERVICES, service("default/np", "10.96.1.3", ports=[{"port": 80, "nodePort": 30080}]))
    back(lan, "np", ("p23",))
    for netns, ip in (("client", "192.168.77.11"), ("client", "192.168.77.12"), ("n1", "192.168.77.11"),
                      ("n1", "127.0.0.1"), ("p12", "192.168.77.12")):  # fmt: skip
        eventually(lambda netns=netns, ip=ip: works(netns, ip, 30080))  # type: ignore[misc]
    assert ask("client", "192.168.77.11", 30080) == ("p23", "192.168.77.11")


def test_external_policy_local_keeps_the_source_and_stays_on_the_node(lan: Lan) -> None:
    ports = [{"port": 80, "nodePort": 30081}]
    lan.api.put(SERVICES, service("default/lp", "10.96.1.4", ports=ports, externalTrafficPolicy="Local"))
    back(lan, "lp", ("p23",))
    eventually(lambda: works("client", "192.168.77.12", 30081))
    assert ask("client", "192.168.77.12", 30081) == ("p23", "192.168.77.9")

    def silent() -> bool:
        try:
            ask("client", "192.168.77.11", 30081, 0.3)
        except ConnectionRefusedError:
            return False
        except TimeoutError:
            return True
        raise AssertionError("the traffic left the node")

    eventually(silent)


def test_without_endpoints_a_client_is_told_at_once(lan: Lan) -> None:
    publish(lan, "none", "10.96.1.5", ())

    def refused() -> bool:
        try:
            ask("p12", "10.96.1.5", 80, 0.5)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        raise AssertionError("somebody answered")

    eventually(refused)


def test_affinity_keeps_a_client_with_its_pod(lan: Lan) -> None:
    publish(lan, "sticky", "10.96.1.6", sessionAffinity="ClientIP")
    eventually(lambda: works("p13", "10.96.1.6", 80))
    assert len(answers("p13", "10.96.1.6", 80)) == 1


def test_a_change_is_in_the_kernel_within_moments(lan: Lan) -> None:
    publish(lan, "quick", "10.96.1.7", ("p12",))
    eventually(lambda: works("p13", "10.96.1.7", 80))
    took = []
    for pods in (("p22",), ("p23",), ("p12",)):
        time.sleep(0.1)  # past the interval that joins changes
        back(lan, "quick", pods)
        took.append(eventually(lambda pods=pods: ask("p13", "10.96.1.7", 80)[0] == pods[0]))  # type: ignore[misc]
    assert min(took) < 0.5, "the kernel is slow to hear, even at its best"


def test_connections_outlive_their_endpoint_and_the_proxy(lan: Lan) -> None:
    publish(lan, "long", "10.96.1.8", ("p22",))
    eventually(lambda: works("p12", "10.96.1.8", 80))
    with connect("p12", "10.96.1.8", 80) as connection:
        assert connection.recv(100)

        def echo() -> None:
            connection.sendall(b"still here")
            assert connection.recv(100) == b"still here"

        back(lan, "long", ("p23",))
        eventually(lambda: ask("p12", "10.96.1.8", 80)[0] == "p23")
        echo()
        lan.stop_proxy("n1", signal.SIGKILL)
        echo()
        assert works("p12", "10.96.1.8", 80)
        lan.start_proxy("n1")
        echo()
        assert works("p12", "10.96.1.8", 80)


def test_a_udp_client_is_moved_when_its_pod_goes(lan: Lan) -> None:
    lan.api.put(SERVICES, service("default/udp", "10.96.1.9", ports=UDP))
    back(lan, "udp", ("p22",), UDP)
    client = inside("p12", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    client.settimeout(0.2)

    def answered() -> str:
        try:
            client.sendto(b"?", ("10.96.1.9", 8080))
            return client.recv(100).decode()
        except OSError:
            return ""

    with client:
        eventually(lambda: answered() == "p22")
        back(lan, "udp", ("p23",), UDP)
        eventually(lambda: answered() == "p23")


def test_dns_answers_pods_on_their_own_node(lan: Lan) -> None:
    publish(lan, "named", "10.96.1.10")
    query = dns.message.make_query("named.default.svc.cluster.local", "A")

    def over_udp() -> str:
        with inside("p12", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
            client.settimeout(1)
            client.sendto(query.to_wire(), ("10.96.0.10", 53))
            found = dns.message.from_wire(client.recv(4096)).answer
            return str(found[0][0]) if found else ""

    eventually(lambda: over_udp() == "10.96.1.10")
    with connect("p22", "10.96.0.10", 53) as connection:
        connection.sendall(struct.pack("!H", len(query.to_wire())) + query.to_wire())
        assert str(dns.message.from_wire(connection.recv(4096)[2:]).answer[0][0]) == "10.96.1.10"


def test_dns_outlives_a_restart_while_the_control_plane_is_away(lan: Lan) -> None:
    publish(lan, "kept", "10.96.1.12")
    eventually(lambda: "default/kept" in sh("iptables-save", "n1"))
    kept = lan.directory / "n1" / "last-known.json"
    eventually(lambda: kept.exists() and '"kept"' in kept.read_text(), 15)
    lan.stop_proxy("n1", signal.SIGKILL)
    lan.start_proxy("n1", without_apiserver=True)
    query = dns.message.make_query("kept.default.svc.cluster.local", "A").to_wire()

    def answered() -> bool:
        with inside("p12", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
            client.settimeout(0.5)
            try:
                client.sendto(query, ("10.96.0.10", 53))
                return str(dns.message.from_wire(client.recv(4096)).answer[0][0]) == "10.96.1.12"
            except OSError:
                return False

    eventually(answered)
    assert works("p12", "10.96.1.12", 80)
    lan.stop_proxy("n1")


def test_dns_hands_other_names_to_the_upstream_resolver(lan: Lan) -> None:
    upstream = inside("client", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    upstream.settimeout(5)
    inside("client", lambda: upstream.bind(("192.168.77.9", 53)))
    query = dns.message.make_query("example.org", "A")
    with upstream, inside("p12", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
        client.settimeout(5)
        client.sendto(query.to_wire(), ("10.96.0.10", 53))
        wire, peer = upstream.recvfrom(4096)
        response = dns.message.make_response(dns.message.from_wire(wire))
        response.set_rcode(3)
        upstream.sendto(response.to_wire(), peer)
        assert dns.message.from_wire(client.recv(4096)).rcode() == 3
    with inside("p12", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as client:
        client.settimeout(6)
        client.sendto(query.to_wire(), ("10.96.0.10", 53))
        assert dns.message.from_wire(client.recv(4096)).rcode() == 2  # nobody is there: SERVFAIL, not silence


def test_a_displaced_jump_comes_back_to_the_front(lan: Lan) -> None:
    def first() -> str:
        return sh("iptables -S FORWARD | sed -n 2p", "n1").strip()

    sh("iptables -I FORWARD 1 -j DROP", "n1")
    sh("ip link add stir type veth peer name stir2; ip link del stir", "n1")  # as dockerd's restart does
    try:
        eventually(lambda: first() == "-A FORWARD -j SAMPAN-FORWARD")
    finally:
        sh("iptables -D FORWARD -j DROP", "n1")


def test_a_deleted_service_leaves_no_chain(lan: Lan) -> None:
    publish(lan, "brief", "10.96.1.11")
    eventually(lambda: works("p12", "10.96.1.11", 80))
    lan.api.delete(SERVICES, "default/brief")
    eventually(lambda: "10.96.1.11" not in sh("iptables-save", "n1"))
    assert "default/brief" not in sh("iptables-save", "n1")


def test_cleanup_leaves_the_machine_as_it_was(lan: Lan) -> None:
    for name in NODES_IPS:
        lan.stop_proxy(name)
        assert "SAMPAN-" in lan.state(name)  # stopping is not cleaning
        lan.cleanup(name)
        assert lan.state(name) == lan.before[name]
        assert not (lan.directory / name).exists()
