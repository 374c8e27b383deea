"""`sampan reset`: everything of ours goes, nothing else is touched.

Each part is looked for and removed on its own, so that a half-made or broken cluster is removed as well, and a
second reset finds nothing to do.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from client import trees
from deploy import changes, cluster, credentials, engine, host, nodes, supervision, tables
from deploy.components import python
from deploy.docker_api import Engine
from deploy.errors import Failure
from deploy.layout import Layout
from deploy.machine import Machines
from deploy.machine_docker import mounts_under, remove_cgroups
from deploy.machine_links import unmount
from deploy.steps import Steps

LABEL = f"sampan.io/cluster={cluster.NAME}"
NETWORK = "sampan"
_LOGIND = Path("/run/systemd/logind.conf.d/99-sampan-kubelet.conf")
"""A kubelet that is to end its pods before a shutdown has logind wait for it (kubelet/node/logind.py)."""


def reset(layout: Layout, steps: Steps) -> None:
    host.require_root("reset")
    if not layout.root.is_dir() or not any(layout.root.iterdir()):
        steps.say(f"There is no cluster in {layout.root}: nothing to remove.")
        return
    with cluster.only_one(layout):
        several = (layout.root / "machines.json").exists()
        keeper = supervision.supervision(layout)
        removed = []
        with steps.step("daemons") as step:
            # Docker stays for now, to remove containers with.
            stopped = supervision.stop(layout)
            step.note = f"stopped {', '.join(stopped)}" if stopped else "none ran"
        with steps.step("pods and networks"):
            if not several:
                removed += list(_clean_host(layout))
        with steps.step("machines and Docker"):
            supervision.stop(layout, kept_too=True)
            if several:
                names = [machine.name for machine in Machines(layout.root).existing()]
                Machines(layout.root).remove()
                removed += [f"machine {name}" for name in names]
            removed += engine.remove(layout)
        with steps.step("files and settings"):
            removed += keeper.forget()
            removed += credentials.unmerge(layout)
            removed += changes.restore_sysctls(layout)
            removed += list(_links(layout))
            removed += tables.remove_new(layout)
            _unmount(layout)
            removed.append(_remove_data(layout))
    for line in removed:
        steps.say(f"  removed  {line}")


def _clean_host(layout: Layout) -> Iterator[str]:
    """Containers, Docker network and rules of the node that is this machine."""
    docker = Engine()
    if docker.answers():
        containers = docker.containers(LABEL)
        for container in containers:
            docker.remove_container(container["Id"])
        if containers:
            yield f"{len(containers)} containers"
        network = docker.network(NETWORK)
        if network is not None and network.get("Options", {}).get("com.docker.network.bridge.name") == "sampan0":
            docker.remove_network(network["Id"])
            yield f"Docker network {NETWORK}"
    done = subprocess.run(python("proxy", "--cleanup"), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(
            f"the proxy's rules were not all removed: {done.stderr.strip()}", "iptables-save shows what is left"
        )
    yield "iptables chains SAMPAN-*, links and routes"


def _links(layout: Layout) -> Iterator[str]:
    link = changes.recorded(layout).get("link")
    if link:
        subprocess.run(["ip", "link", "delete", link], capture_output=True, check=False)
        yield f"link {link}"


def _unmount(layout: Layout) -> None:
    """Volumes of pods, deepest first."""
    for mount in sorted(mounts_under(layout.root), key=len, reverse=True):
        unmount(mount)


def _remove_data(layout: Layout) -> str:
    """The data directory, but only what we put into it if it was the user's before."""
    remove_cgroups("sampan")
    for pod in layout.nodes.glob("*/kubelet/pods/*"):
        remove_cgroups(f"sampan-pod{pod.name}")
    for path in (layout.pki, layout.etcd, layout.run, layout.logs, layout.docker, layout.nodes):
        _remove(path)
    _remove(layout.root / "kubeconfig-before")
    files = (layout.audit_policy, layout.cluster_file, layout.changes_file, layout.lock)
    for path in (*layout.root.glob("*.kubeconfig"), *files):
        path.unlink(missing_ok=True)
    _remove(Path("/run/sampan"))
    _LOGIND.unlink(missing_ok=True)
    if not any(layout.root.iterdir()):
        layout.root.rmdir()
    return f"data in {layout.root}"


def _remove(directory: Path) -> None:
    """With what containers have put into it."""
    try:
        trees.remove(directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Failure(f"{directory} was not removed: {error}", "end what still uses it, then reset again") from error


def names(layout: Layout) -> list[str]:
    """What is about to be removed, to ask about."""
    known = cluster.load(layout)
    return [node.name for node in nodes.existing(layout, known)] if known else []
