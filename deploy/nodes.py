"""The nodes of a cluster on this machine: the machine itself, or several namespaces of it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy import changes, host
from deploy.cluster import Cluster
from deploy.docker_api import DEFAULT_SOCKET
from deploy.layout import Layout
from deploy.machine import Machine, Machines

_DUMMY = "sampan-node"
_DUMMY_ADDRESS = "198.18.0.1"


@dataclass(frozen=True, slots=True)
class Node:
    """Where a kubelet and a proxy run. `prefix` comes before their argv; `machine` is None on the host."""

    name: str
    ip: str
    directory: Path
    docker_socket: Path = DEFAULT_SOCKET
    prefix: tuple[str, ...] = ()
    resolv_conf: Path | None = None
    machine: Machine | None = None

    @property
    def kubelet_config(self) -> Path:
        return self.directory / "kubelet.yaml"


@dataclass(frozen=True, slots=True)
class Places:
    """The nodes, and the address at which they and their pods reach the apiserver."""

    api_address: str
    nodes: tuple[Node, ...]


def host_node(layout: Layout) -> Node:
    """This machine as a node."""
    name = host.node_name()
    return Node(name, host.default_address() or _DUMMY_ADDRESS, layout.node(name))


def prepare(layout: Layout, cluster: Cluster) -> Places:
    """Makes what the nodes need before their daemons start, Docker excepted."""
    if cluster.nodes == 1:
        node = host_node(layout)
        if node.ip == _DUMMY_ADDRESS:
            _ensure_dummy(layout)
        return Places(node.ip, (node,))
    machines = Machines(layout.root)
    machines.up(cluster.nodes, docker=False)
    nodes = []
    for machine in machines.existing()[: cluster.nodes]:
        machine.docker.prepare()
        nodes.append(_machine_node(machine))
    return Places(machines.host_ip, tuple(nodes))


def existing(layout: Layout, cluster: Cluster) -> tuple[Node, ...]:
    """The nodes that are there now; makes nothing."""
    if cluster.nodes == 1:
        return (host_node(layout),)
    return tuple(_machine_node(machine) for machine in Machines(layout.root).existing())


def _machine_node(machine: Machine) -> Node:
    return Node(
        machine.name, machine.ip, machine.directory, machine.docker_socket, machine.prefix,
        machine.resolv_conf, machine,
    )  # fmt: skip


def _ensure_dummy(layout: Layout) -> None:
    """A machine without a network still has pods that must reach the apiserver at some address of it."""
    if subprocess.run(["ip", "link", "show", _DUMMY], capture_output=True, check=False).returncode:
        changes.record(layout, "link", _DUMMY)
        subprocess.run(["ip", "link", "add", _DUMMY, "type", "dummy"], check=True)
        subprocess.run(["ip", "address", "add", f"{_DUMMY_ADDRESS}/32", "dev", _DUMMY], check=True)
        subprocess.run(["ip", "link", "set", _DUMMY, "up"], check=True)
