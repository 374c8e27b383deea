"""`python -m controller`: the control loops, under the identity system:kube-controller-manager."""

from __future__ import annotations

import ipaddress
import sys
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

from client import daemon, identity
from client.daemon import Daemon
from client.election import LeaderElector
from controller.context import Options
from controller.manager import Manager

LEASE = "kube-controller-manager"
HEALTHZ_PORT = 10257


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error


def _pem(path: str) -> str:
    return _content(path).decode()


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes() if path else b""
    except OSError as error:
        raise ArgumentTypeError(f"cannot read {path}: {error.strerror}") from error


def _key(path: str) -> bytes:
    """Looked at closely when it is first needed."""
    content = _content(path)
    if path and b"PRIVATE KEY-----" not in content:
        raise ArgumentTypeError(f"{path} is no private key in PEM")
    return content


def parser() -> ArgumentParser:
    flags = daemon.flags("controller", "Runs the control loops of the cluster.", healthz_port=HEALTHZ_PORT)
    daemon.leader_flags(flags)
    defaults = Options()
    flags.add_argument("--cluster-cidr", type=_network, default=defaults.cluster_cidr, metavar="CIDR",
                       help="addresses of all pods (default %(default)s)")  # fmt: skip
    flags.add_argument("--node-cidr-mask-size", type=int, default=defaults.node_cidr_mask_size, metavar="BITS",
                       help="size of each node's part of them (default %(default)s)")  # fmt: skip
    flags.add_argument("--node-monitor-grace-period", type=daemon.duration, metavar="DURATION",
                       default=defaults.node_monitor_grace_period,
                       help="silence after which a node is unreachable (default 40s)")  # fmt: skip
    flags.add_argument("--node-monitor-period", type=daemon.duration, metavar="DURATION",
                       default=defaults.node_monitor_period,
                       help="how often nodes are looked at (default 5s)")  # fmt: skip
    flags.add_argument("--root-ca-file", type=_pem, default="", metavar="FILE", dest="root_ca",
                       help="publish this CA as kube-root-ca.crt in every namespace")  # fmt: skip
    flags.add_argument("--service-account-private-key-file", type=_key, default=b"", metavar="FILE",
                       dest="account_key", help="fill Secrets of type kubernetes.io/service-account-token")  # fmt: skip
    flags.add_argument("--cluster-signing-cert-file", type=_content, default=b"", metavar="FILE",
                       dest="signing_certificate", help="CA that signs approved certificate requests")  # fmt: skip
    flags.add_argument("--cluster-signing-key-file", type=_key, default=b"", metavar="FILE",
                       dest="signing_key", help="and its key")  # fmt: skip
    flags.add_argument("--cluster-signing-duration", type=daemon.duration, default=defaults.signing_duration,
                       metavar="DURATION", dest="signing_duration",
                       help="longest life of what it signs (default 8760h)")  # fmt: skip
    return flags


async def serve(d: Daemon) -> None:
    args = d.args
    options = Options(
        cluster_cidr=args.cluster_cidr,
        node_cidr_mask_size=args.node_cidr_mask_size,
        node_monitor_grace_period=args.node_monitor_grace_period,
        node_monitor_period=args.node_monitor_period,
        root_ca=args.root_ca,
        account_key=args.account_key,
        signing_certificate=args.signing_certificate,
        signing_key=args.signing_key,
        signing_duration=args.signing_duration,
    )
    manager = Manager(d.client, d.clock, options)
    d.ready_when("informer-sync", lambda: manager.ready)
    if not args.leader_elect:
        await manager.lead()
        return
    elector = LeaderElector(d.client, LEASE, identity.own(), clock=d.clock, holder_is_gone=identity.is_gone)
    await elector.run(manager.lead)


if __name__ == "__main__":
    sys.exit(daemon.run("controller", serve, parser()))
