"""What cluster this is: chosen at the first `up`, kept in <data-dir>/cluster.json, read by every other command."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from client.files import write_if_changed
from deploy.errors import Failure
from deploy.layout import Layout

NAME = "sampan"
API_PORT = 6443
SERVICE_CIDR = "10.96.0.0/16"
POD_CIDR = "10.244.0.0/16"
NODE_MASK = 24
DNS_ADDRESS = "10.96.0.10"
DOMAIN = "cluster.local"


@dataclass(frozen=True, slots=True)
class ExternalEtcd:
    """An etcd that somebody else runs."""

    endpoints: tuple[str, ...] = ()
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


@dataclass(frozen=True, slots=True)
class Cluster:
    """`nodes` is 1 (the node is this machine) or more (each node is a network namespace of it)."""

    nodes: int = 1
    etcd: ExternalEtcd = field(default_factory=ExternalEtcd)
    example: bool = False
    """The example has been deployed once; after that it is the user's."""
    encrypted: bool = False
    """Secrets have been encrypted: without their key file there is no going on."""


def load(layout: Layout) -> Cluster | None:
    """None when there is no cluster in this data directory."""
    try:
        text = layout.cluster_file.read_text()
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise Failure(f"{layout.cluster_file} is for root alone", "run it with sudo") from error
    document: dict[str, Any] = json.loads(text)
    etcd = document.pop("etcd")
    return Cluster(**document, etcd=ExternalEtcd(**{**etcd, "endpoints": tuple(etcd["endpoints"])}))


def require(layout: Layout) -> Cluster:
    cluster = load(layout)
    if cluster is None:
        raise Failure(f"there is no cluster in {layout.root}", "make one: sampan up")
    return cluster


def save(layout: Layout, cluster: Cluster) -> None:
    write_if_changed(layout.cluster_file, (json.dumps(asdict(cluster), indent=2) + "\n").encode(), 0o600)


def decide(old: Cluster | None, nodes: int | None, etcd: ExternalEtcd) -> Cluster:
    """The cluster to bring up: what there is, with what was asked for now."""
    if nodes is not None and nodes < 1:
        raise Failure(f"--nodes {nodes}: a cluster has at least one node", "give a number from 1")
    if old is None:
        return Cluster(nodes=nodes or 1, etcd=etcd)
    wanted = nodes or old.nodes
    if (wanted == 1) != (old.nodes == 1) or wanted < old.nodes:
        raise Failure(
            f"this cluster has {old.nodes} node{'s' * (old.nodes > 1)}, it can't become one of {wanted}",
            "sampan reset, then sampan up again",
        )
    if etcd.endpoints and etcd != old.etcd:
        raise Failure("this cluster keeps its data in another etcd", "sampan reset, then sampan up again")
    return replace(old, nodes=wanted)


@contextmanager
def only_one(layout: Layout) -> Iterator[None]:
    """One command at a time changes a cluster."""
    layout.root.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(layout.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise Failure("another sampan command is at work on this cluster", "wait for it to end") from error
    try:
        yield
    finally:
        os.close(descriptor)


def data_dir_option(given: Path | None) -> Layout:
    """--data-dir, else $SAMPAN_DATA_DIR, else /var/lib/sampan."""
    chosen = given or Path(os.environ.get("SAMPAN_DATA_DIR") or Layout().root)
    return Layout(chosen.absolute())
