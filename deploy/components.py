"""The table of daemons: what runs, with which arguments, in which order it stops, how its health is asked.

Everything a daemon is told stands on its command line, or in a file named there, so `ps` leads to the whole
configuration. Pure: takes the cluster and its places, returns rows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from deploy.cluster import (
    API_PORT,
    DNS_ADDRESS,
    DOMAIN,
    NAME,
    NODE_MASK,
    POD_CIDR,
    SERVICE_CIDR,
    Cluster,
)
from deploy.docker_api import DEFAULT_SOCKET
from deploy.layout import Layout
from deploy.machine_docker import Docker
from deploy.nodes import Node, Places
from deploy.pki import FRONT_PROXY

ETCD_CLIENT_PORT, ETCD_PEER_PORT = 12379, 12380
KUBELET_PORT = 10250
HEALTH_PORTS = {"scheduler": 10259, "controller": 10257, "kubelet": 10248, "proxy": 10256}
HOST_DOCKER = "docker"


@dataclass(frozen=True, slots=True)
class Component:
    """One daemon.

    files   what it reads at its start only: when one changes it must be restarted
    ports   those it listens on in the host's network namespace
    health  port of its plain HTTP /healthz there, 0 when it has none
    docker  the socket of the Docker Engine that it is
    keep    `down` leaves it running, since containers hang on it
    """

    name: str
    argv: tuple[str, ...]
    files: tuple[Path, ...] = ()
    ports: tuple[int, ...] = ()
    health: int = 0
    docker: Path | None = None

    @property
    def keep(self) -> bool:
        return self.docker is not None


def components(
    layout: Layout, cluster: Cluster, places: Places, etcd: Path | None, own_docker: Iterable[str] = ()
) -> list[Component]:
    """In the order of their start; they stop in reverse. `etcd` is the program to run, None when its data is
    in an external one; `own_docker` the command of a Docker Engine for the host, if we run it."""
    table = []
    if tuple(own_docker):
        table.append(Component(HOST_DOCKER, tuple(own_docker), docker=DEFAULT_SOCKET))
    for node in places.nodes:
        if node.machine is not None:
            table.append(_machine_docker(node))
    if etcd is not None:
        table.append(_etcd(layout, etcd))
    table += [_apiserver(layout, cluster, places), _controller(layout), _scheduler(layout)]
    for node in places.nodes:
        table += [_kubelet(layout, node), _proxy(node)]
    return table


def node_component(what: str, node: Node) -> str:
    """`kubelet` on the host, `kubelet-sampan-node-2` on a machine of several."""
    return what if node.machine is None else f"{what}-{node.name}"


def python(package: str, *options: str) -> tuple[str, ...]:
    return (sys.executable, "-m", package, *options)


def etcd_url() -> str:
    return f"https://127.0.0.1:{ETCD_CLIENT_PORT}"


def _etcd(layout: Layout, program: Path) -> Component:
    client, peer = etcd_url(), f"https://127.0.0.1:{ETCD_PEER_PORT}"
    files = _pair(layout.pki / "etcd-server", layout.pki / "etcd-ca.crt")
    argv = [
        str(program), "--name", NAME, "--data-dir", str(layout.etcd),
        "--listen-client-urls", client, "--advertise-client-urls", client,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
        "--initial-cluster", f"{NAME}={peer}", "--initial-cluster-state", "new",
        "--quota-backend-bytes", str(4 * 1024**3), "--logger", "zap", "--log-level", "warn",
    ]  # fmt: skip
    for kind in ("", "peer-"):
        argv += [
            f"--{kind}client-cert-auth", f"--{kind}trusted-ca-file", str(layout.pki / "etcd-ca.crt"),
            f"--{kind}cert-file", str(layout.pki / "etcd-server.crt"),
            f"--{kind}key-file", str(layout.pki / "etcd-server.key"),
        ]  # fmt: skip
    return Component("etcd", tuple(argv), files, (ETCD_CLIENT_PORT, ETCD_PEER_PORT))


def discreet(layout: Layout) -> list[str]:
    """How the apiserver keeps Secrets, and notes who does what."""
    return [
        "--encryption-provider-config", str(layout.encryption_file), "--encryption-provider-config-automatic-reload",
        "--audit-policy-file", str(layout.audit_policy), "--audit-log-path", str(layout.logs / "audit.log"),
        "--audit-log-maxsize", "20", "--audit-log-maxbackup", "5", "--audit-log-mode", "batch",
        "--audit-log-batch-max-size", "400", "--audit-log-batch-max-wait", "1s",
    ]  # fmt: skip


def _apiserver(layout: Layout, cluster: Cluster, places: Places) -> Component:
    pki = layout.pki
    external = cluster.etcd
    if external.endpoints:
        store = ["--etcd-servers", ",".join(external.endpoints)]
        for flag, file in (("cafile", external.ca_file), ("certfile", external.cert_file)):
            store += [f"--etcd-{flag}", file] if file else []
        store += ["--etcd-keyfile", external.key_file] if external.key_file else []
    else:
        store = [
            "--etcd-servers", etcd_url(), "--etcd-cafile", str(pki / "etcd-ca.crt"),
            "--etcd-certfile", str(pki / "apiserver-etcd-client.crt"),
            "--etcd-keyfile", str(pki / "apiserver-etcd-client.key"),
        ]  # fmt: skip
    argv = python(
        "apiserver", "--advertise-address", places.api_address, "--secure-port", str(API_PORT),
        "--tls-cert-file", str(pki / "apiserver.crt"), "--tls-private-key-file", str(pki / "apiserver.key"),
        "--client-ca-file", str(pki / "ca.crt"), *store,
        "--kubelet-client-certificate", str(pki / "apiserver-kubelet-client.crt"),
        "--kubelet-client-key", str(pki / "apiserver-kubelet-client.key"),
        "--kubelet-certificate-authority", str(pki / "ca.crt"),
        "--proxy-client-cert-file", str(pki / "front-proxy-client.crt"),
        "--proxy-client-key-file", str(pki / "front-proxy-client.key"),
        "--requestheader-client-ca-file", str(pki / "front-proxy-ca.crt"),
        "--requestheader-allowed-names", FRONT_PROXY,
        "--service-cluster-ip-range", SERVICE_CIDR,
        *discreet(layout),
        "--service-account-key-file", str(pki / "sa.pub"),
        "--service-account-signing-key-file", str(pki / "sa.key"),
        "--service-account-issuer", f"https://kubernetes.default.svc.{DOMAIN}", "--enable-bootstrap-token-auth",
    )  # fmt: skip
    files = (
        *_pair(pki / "apiserver", pki / "ca.crt"), *_pair(pki / "apiserver-kubelet-client"),
        *_pair(pki / "front-proxy-client", pki / "front-proxy-ca.crt"),
        *_pair(pki / "apiserver-etcd-client"), pki / "sa.pub", layout.audit_policy,
    )  # fmt: skip
    return Component("apiserver", argv, files, (API_PORT,))


def _controller(layout: Layout) -> Component:
    kubeconfig = layout.kubeconfig("controller")
    argv = python(
        "controller", "--kubeconfig", str(kubeconfig), "--leader-elect", "--cluster-cidr", POD_CIDR,
        "--node-cidr-mask-size", str(NODE_MASK), "--root-ca-file", str(layout.pki / "ca.crt"),
        "--service-account-private-key-file", str(layout.pki / "sa.key"),
        "--cluster-signing-cert-file", str(layout.pki / "ca.crt"),
        "--cluster-signing-key-file", str(layout.pki / "ca.key"),
        "--healthz-port", str(HEALTH_PORTS["controller"]),
    )  # fmt: skip
    port = HEALTH_PORTS["controller"]
    return Component("controller", argv, (kubeconfig,), (port,), port)


def _scheduler(layout: Layout) -> Component:
    kubeconfig = layout.kubeconfig("scheduler")
    port = HEALTH_PORTS["scheduler"]
    argv = python("scheduler", "--kubeconfig", str(kubeconfig), "--healthz-port", str(port))
    return Component("scheduler", argv, (kubeconfig,), (port,), port)


def _kubelet(layout: Layout, node: Node) -> Component:
    kubeconfig = node.directory / "kubelet.kubeconfig"
    port = HEALTH_PORTS["kubelet"]
    argv = python(
        "kubelet", "--kubeconfig", str(kubeconfig), "--node-name", node.name, "--node-ip", node.ip,
        "--docker-host", f"unix://{node.docker_socket}", "--root-dir", str(node.directory / "kubelet"),
        "--cluster-name", NAME, "--tls-cert-file", str(node.directory / "kubelet.crt"),
        "--tls-private-key-file", str(node.directory / "kubelet.key"),
        "--client-ca-file", str(layout.pki / "ca.crt"), "--port", str(KUBELET_PORT),
        "--config", str(node.kubelet_config), "--healthz-port", str(port),
    )  # fmt: skip
    files = (kubeconfig, node.kubelet_config, *_pair(node.directory / "kubelet", layout.pki / "ca.crt"))
    return _on(node, Component(node_component("kubelet", node), argv, files, (KUBELET_PORT, port), port))


def _proxy(node: Node) -> Component:
    kubeconfig = node.directory / "proxy.kubeconfig"
    port = HEALTH_PORTS["proxy"]
    argv = python(
        "proxy", "--kubeconfig", str(kubeconfig), "--node-name", node.name, "--node-ip", node.ip,
        "--cluster-cidr", POD_CIDR, "--service-cidr", SERVICE_CIDR, "--cluster-dns", DNS_ADDRESS,
        "--cluster-domain", DOMAIN, "--healthz-port", str(port),
    )  # fmt: skip
    if node.resolv_conf is not None:
        argv = (*argv, "--resolv-conf", str(node.resolv_conf))
    return _on(node, Component(node_component("proxy", node), argv, (kubeconfig,), (port,), port))


def _machine_docker(node: Node) -> Component:
    assert node.machine is not None
    return Component(
        node_component(HOST_DOCKER, node),
        dockerd(node.machine.docker, node.machine.docker_command),
        docker=node.docker_socket,
    )


def dockerd(docker: Docker, command: Iterable[str]) -> tuple[str, ...]:
    """The command, run after what a killed predecessor left in its way is gone."""
    script = resources.files("deploy") / "scripts" / "run-dockerd.sh"
    return ("sh", str(script), str(docker.runtime), *command)


def _on(node: Node, component: Component) -> Component:
    """The component as it runs on its node: inside a machine it takes no port of the host's."""
    if not node.prefix:
        return component
    return Component(component.name, (*node.prefix, *component.argv), component.files)


def _pair(path: Path, *others: Path) -> tuple[Path, ...]:
    return (path.with_name(path.name + ".crt"), path.with_name(path.name + ".key"), *others)
