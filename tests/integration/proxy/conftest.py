"""A cluster's network without its containers: two nodes with two pods each, a third far away, a client outside.

    client (192.168.77.9) ──┐
    n1 (192.168.77.11) ─────┼── bridge in lan (192.168.77.1, the apiserver)
    n2 (192.168.77.12) ─────┘
    n3 (192.168.78.13) ──── another segment of it, which lan routes to
      └ sampan0 (10.244.N.1/24) ── pN2, pN3 (10.244.N.2, .3); n3 has p32 alone

The nodes' FORWARD policy is DROP, as dockerd leaves it. The proxies are the real daemons.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from api.builtin import NODES
from tests.integration.proxy.fake_apiserver import FakeApiserver
from tests.integration.proxy.netns import PREFIX, Server, inside, sh
from tests.unit.proxy.build import node

PODS = ("p12", "p13", "p22", "p23")
FAR = "p32"
NODES_IPS = {"n1": "192.168.77.11", "n2": "192.168.77.12", "n3": "192.168.78.13"}


def pod_ip(pod: str) -> str:
    return f"10.244.{pod[1]}.{pod[2]}"


def eventually(check: Callable[[], bool], seconds: float = 10) -> float:
    """Seconds until `check` holds."""
    began = time.monotonic()
    while not check():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        time.sleep(0.01)
    return time.monotonic() - began


class Lan:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._make()
        self.api = FakeApiserver(inside("lan", lambda: socket.create_server(("192.168.77.1", 8001))))
        self.servers = {pod: Server(pod, pod) for pod in (*PODS, FAR)}
        self.outside = Server("client", "client")
        self.proxies: dict[str, subprocess.Popen[bytes]] = {}
        for name, ip in NODES_IPS.items():
            self.api.put(NODES, node(name, f"10.244.{name[1]}.0/24", ip))
        self.before = {name: self.state(name) for name in NODES_IPS}

    def _make(self) -> None:
        names = ["lan", "client", *NODES_IPS, *PODS, FAR]
        script = [f"ip netns add {PREFIX}{name}; ip -n {PREFIX}{name} link set lo up" for name in names]
        script.append(f"ip -n {PREFIX}lan link add br0 type bridge; ip -n {PREFIX}lan link set br0 up")
        script.append(f"ip -n {PREFIX}lan addr add 192.168.77.1/24 dev br0")
        script.append(f"ip -n {PREFIX}lan link add br1 type bridge; ip -n {PREFIX}lan link set br1 up")
        script.append(f"ip -n {PREFIX}lan addr add 192.168.78.1/24 dev br1")
        for name, ip in (("client", "192.168.77.9"), *NODES_IPS.items()):
            net = int(ip.split(".")[2])
            script.append(
                f"ip -n {PREFIX}lan link add v-{name} type veth peer name eth0 netns {PREFIX}{name};"
                f"ip -n {PREFIX}lan link set v-{name} master br{net - 77} up;"
                f"ip -n {PREFIX}{name} addr add {ip}/24 dev eth0; ip -n {PREFIX}{name} link set eth0 up;"
                f"ip -n {PREFIX}{name} route add default via 192.168.{net}.1"
            )
        for number in ("1", "2", "3"):
            script.append(
                f"ip -n {PREFIX}n{number} link add sampan0 type bridge;"
                f"ip -n {PREFIX}n{number} addr add 10.244.{number}.1/24 dev sampan0;"
                f"ip -n {PREFIX}n{number} link set sampan0 up;"
                f"nsenter --net=/run/netns/{PREFIX}n{number} iptables -P FORWARD DROP;"
                f"nsenter --net=/run/netns/{PREFIX}n{number} iptables -t nat -A POSTROUTING -j RETURN;"
                f"nsenter --net=/run/netns/{PREFIX}n{number} sh -c 'echo 0 > /proc/sys/net/ipv4/ip_forward'"
            )
        for pod in (*PODS, FAR):
            script.append(
                f"ip -n {PREFIX}n{pod[1]} link add v-{pod} type veth peer name eth0 netns {PREFIX}{pod};"
                f"ip -n {PREFIX}n{pod[1]} link set v-{pod} master sampan0 up;"
                f"ip -n {PREFIX}{pod} addr add {pod_ip(pod)}/24 dev eth0; ip -n {PREFIX}{pod} link set eth0 up;"
                f"ip -n {PREFIX}{pod} route add default via 10.244.{pod[1]}.1"
            )
        sh("\n".join(script))

    # -- proxies ------------------------------------------------------------------------------------------

    def _command(self, name: str, *more: str) -> list[str]:
        kubeconfig = self.directory / "kubeconfig"
        kubeconfig.write_text(
            '{"clusters": [{"name": "c", "cluster": {"server": "http://192.168.77.1:8001"}}], "users": [],'
            '"contexts": [{"name": "c", "context": {"cluster": "c"}}], "current-context": "c"}'
        )
        resolv = self.directory / "resolv.conf"
        resolv.write_text("nameserver 192.168.77.9\n")
        return [
            "nsenter", f"--net=/run/netns/{PREFIX}{name}", sys.executable, "-m", "proxy",
            "--kubeconfig", str(kubeconfig), "--node-name", name, "--node-ip", NODES_IPS[name],
            "--resolv-conf", str(resolv), "--state-dir", str(self.directory / name), "-v", "2", *more,
        ]  # fmt: skip

    def start_proxy(self, name: str, *, without_apiserver: bool = False) -> None:
        """Ready, unless the apiserver it is told of is not there."""
        command = self._command(name)
        if without_apiserver:
            kubeconfig = self.directory / "kubeconfig"
            kubeconfig.write_text(kubeconfig.read_text().replace(":8001", ":9"))
        with (self.directory / f"{name}.log").open("ab") as log:
            self.proxies[name] = subprocess.Popen(command, stderr=log)
        if not without_apiserver:
            eventually(lambda: self.ready(name), 20)

    def ready(self, name: str) -> bool:
        def check() -> bool:
            try:
                with socket.create_connection(("127.0.0.1", 10256), timeout=1) as connection:
                    connection.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
                    return b" 200 " in connection.recv(100)
            except OSError:
                return False

        return inside(f"{name}", check)

    def stop_proxy(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        process = self.proxies.pop(name)
        process.send_signal(how)
        process.wait(15)

    def cleanup(self, name: str) -> None:
        subprocess.run(self._command(name, "--cleanup"), check=True)

    def state(self, name: str) -> str:
        """Whatever the proxy could leave behind."""
        return sh(
            "iptables-save | grep -v '^#' | sed 's/ *\\[.*//'; ip -4 -o addr; ip route; "
            "cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/all/route_localnet",
            f"{name}",
        )

    def close(self) -> None:
        for process in self.proxies.values():
            process.kill()
            process.wait()
        for server in (*self.servers.values(), self.outside):
            server.close()
        self.api.close()


def remove() -> None:
    """What this run made, and what runs that were killed left."""
    for name in sh("ls /run/netns").split():
        owner = re.fullmatch(r"sp(\d+)-\w+", name)
        if owner and (name.startswith(PREFIX) or not Path("/proc", owner[1]).exists()):
            sh(f"ip netns del {name}")


@pytest.fixture(scope="session")
def bare_lan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    assert os.geteuid() == 0, "these tests make network namespaces: run them as root"
    sh("mkdir -p /run/netns")
    remove()
    with ExitStack() as undo:
        undo.callback(remove)
        made = Lan(tmp_path_factory.mktemp("lan"))
        undo.callback(made.close)
        yield made


@pytest.fixture
def lan(bare_lan: Lan) -> Lan:
    """With all proxies running."""
    for name in NODES_IPS:
        if name not in bare_lan.proxies:
            bare_lan.start_proxy(name)
    return bare_lan
