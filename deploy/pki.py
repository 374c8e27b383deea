"""The cluster's certificates on disk: which there are, whom each names; `ensure` makes what is missing.

    <directory>/ca.{crt,key}                        the cluster authority: every server and client but etcd's
    <directory>/etcd-ca.{crt,key}                   etcd's own: no cluster certificate opens the database
    <directory>/apiserver.{crt,key}                 what clients of the API see
    <directory>/apiserver-kubelet-client.{crt,key}  the apiserver calling a kubelet
    <directory>/apiserver-etcd-client.{crt,key}     the apiserver calling etcd
    <directory>/front-proxy-ca.{crt,key}            of those who may say in whose name they ask
    <directory>/front-proxy-client.{crt,key}        the apiserver calling API servers behind it
    <directory>/etcd-server.{crt,key}               etcd, to clients and peers
    <directory>/{admin,scheduler,controller,proxy}.{crt,key}   clients, under the upstream identities
    <directory>/sa.{key,pub}                        signs ServiceAccount tokens
    <node directory>/kubelet.{crt,key}              a kubelet's server side
    <node directory>/kubelet-client.{crt,key}       system:node:NAME

Identities and organizations are those of https://kubernetes.io/docs/setup/best-practices/certificates/.
Safe to call at every start: a certificate that still serves is left alone, keys are never readable by others,
and an authority is never replaced (that would lock everybody out).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path

from client.files import write_atomically
from deploy.certificates import Pair, Request, issue, new_authority, new_key, public_key, unfit

CLUSTER_ADMINS = "system:masters"
KUBELET_CLIENTS = "kubeadm:cluster-admins"
NODES = "system:nodes"
FRONT_PROXY = "front-proxy-client"
# Each has a name of its own: the apiserver tells by it whether a certificate is a client's or a proxy's.
_AUTHORITIES = {"ca": "sampan-ca", "etcd-ca": "sampan-etcd-ca", "front-proxy-ca": "sampan-front-proxy-ca"}


@dataclass(frozen=True, slots=True)
class NodeName:
    """A node that gets certificates: its name, its addresses, and where its files live."""

    name: str
    addresses: tuple[str, ...]
    directory: Path


@dataclass(frozen=True, slots=True)
class Wanted:
    path: Path
    """Without suffix: the pair is path.crt and path.key."""
    authority: str
    request: Request


def apiserver_names(addresses: Iterable[str], service_cidr: str, cluster_domain: str) -> tuple[str, ...]:
    """Every name and address under which the API may be called."""
    first = str(ip_network(service_cidr)[1])
    domains = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    names = [*domains, f"kubernetes.default.svc.{cluster_domain}", "localhost", "127.0.0.1", "::1", first]
    return tuple(dict.fromkeys([*names, *addresses]))


def wanted(directory: Path, nodes: Sequence[NodeName], api_names: Sequence[str]) -> list[Wanted]:
    """The whole table."""

    def client(name: str, common_name: str, organization: str = "") -> Wanted:
        return Wanted(directory / name, "ca", Request(common_name, organization, client=True))

    table = [
        Wanted(directory / "apiserver", "ca", Request("kube-apiserver", names=tuple(api_names), server=True)),
        client("apiserver-kubelet-client", "kube-apiserver-kubelet-client", KUBELET_CLIENTS),
        Wanted(directory / "front-proxy-client", "front-proxy-ca", Request(FRONT_PROXY, client=True)),
        client("admin", "kubernetes-admin", CLUSTER_ADMINS),
        client("scheduler", "system:kube-scheduler"),
        client("controller", "system:kube-controller-manager"),
        client("proxy", "system:kube-proxy"),
        Wanted(directory / "apiserver-etcd-client", "etcd-ca", Request("kube-apiserver-etcd-client", client=True)),
        Wanted(
            directory / "etcd-server",
            "etcd-ca",
            Request("sampan-etcd", names=("localhost", "127.0.0.1", "::1"), server=True, client=True),
        ),
    ]
    for node in nodes:
        identity = f"system:node:{node.name}"
        names = tuple(dict.fromkeys([node.name, *node.addresses]))
        table.append(Wanted(node.directory / "kubelet", "ca", Request(identity, NODES, names, server=True)))
        table.append(Wanted(node.directory / "kubelet-client", "ca", Request(identity, NODES, client=True)))
    return table


def ensure(directory: Path, nodes: Sequence[NodeName], api_names: Sequence[str], now: datetime) -> dict[Path, str]:
    """Makes what is missing or unfit. Returns what was written: path without suffix → why ("" if new)."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    written: dict[Path, str] = {}
    authorities: dict[str, Pair] = {}
    for name, common_name in _AUTHORITIES.items():
        pair = read_pair(directory / name)
        if pair is None:
            pair = new_authority(common_name, now)
            _write_pair(directory / name, pair)
            written[directory / name] = ""
        authorities[name] = pair
    signing_key = directory / "sa.key"
    if not signing_key.exists():
        write_atomically(signing_key, new_key(), 0o600)
        written[directory / "sa"] = ""
    public = public_key(signing_key.read_bytes())
    if not (directory / "sa.pub").exists() or (directory / "sa.pub").read_bytes() != public:
        write_atomically(directory / "sa.pub", public)
    for entry in wanted(directory, nodes, api_names):
        authority = authorities[entry.authority]
        old = read_pair(entry.path)
        why = "" if old is None else unfit(old, authority, entry.request, now)
        if old is None or why:
            _write_pair(entry.path, issue(authority, entry.request, now))
            written[entry.path] = why
    return written


def read_pair(path: Path) -> Pair | None:
    """The pair at path.crt and path.key, None unless both are there."""
    certificate, key = path.with_name(path.name + ".crt"), path.with_name(path.name + ".key")
    if not (certificate.exists() and key.exists()):
        return None
    return Pair(certificate.read_bytes(), key.read_bytes())


def _write_pair(path: Path, pair: Pair) -> None:
    # The key first: after a crash in between, the old certificate does not match and is issued anew.
    write_atomically(path.with_name(path.name + ".key"), pair.key, 0o600)
    write_atomically(path.with_name(path.name + ".crt"), pair.certificate)
