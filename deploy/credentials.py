"""kubeconfigs: one per daemon, the administrator's, and the context `sampan` in the invoking user's own file."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from client import kubeconfig
from client.files import write_atomically
from client.kubeconfig import KubeconfigError, RestConfig
from deploy import changes
from deploy.cluster import API_PORT, NAME
from deploy.errors import Failure
from deploy.host import User
from deploy.layout import Layout
from deploy.nodes import Node, Places
from deploy.pki import read_pair


def write_all(layout: Layout, places: Places) -> None:
    """The files the daemons read, and the administrator's."""
    local = f"https://127.0.0.1:{API_PORT}"
    for who in ("admin", "controller", "scheduler"):
        _write(layout.kubeconfig(who), _config(layout, layout.pki / who, local), who)
    for node in places.nodes:
        server = local if node.machine is None else f"https://{places.api_address}:{API_PORT}"
        write_node(layout, node, server)


def write_node(layout: Layout, node: Node, server: str) -> None:
    kubelet = _config(layout, node.directory / "kubelet-client", server)
    _write(node.directory / "kubelet.kubeconfig", kubelet, f"system:node:{node.name}")
    _write(node.directory / "proxy.kubeconfig", _config(layout, layout.pki / "proxy", server), "proxy")


def admin(layout: Layout) -> RestConfig:
    return kubeconfig.load(layout.kubeconfig("admin"))


def merge(layout: Layout, user: User) -> str:
    """Puts the context into the user's kubeconfig and makes it the current one, as kind and minikube do.
    Returns what to tell the user, "" when it was so already."""
    path = user.kubeconfig
    before = path.read_bytes() if path.is_file() else None
    config = admin(layout)
    if before is not None and _holds(path, config):
        return ""
    _make_parents(layout, path, user)
    if before is None:
        changes.record(layout, f"made {path}", "file")
    else:
        _keep_copy(layout, path, before)
    current = _current(path)
    try:
        kubeconfig.merge_context(path, config, NAME)
    except KubeconfigError as error:
        raise Failure(str(error), f"repair or move {path}, then run sampan up again") from error
    if os.geteuid() == 0:
        os.chown(path, user.uid, user.gid)
    changes.record(layout, f"kubeconfig {path}", current)
    was = f" (it was {current!r})" if current and current != NAME else ""
    return f"current context of {path} is now {NAME!r}{was}"


def unmerge(layout: Layout) -> list[str]:
    """Takes our context out of every file it was put into. Returns what was done."""
    done = []
    for key, current in changes.recorded(layout).items():
        kind, _, name = key.partition(" ")
        path = Path(name)
        if kind == "kubeconfig" and path.is_file():
            _take_out(layout, path, current)
            done.append(f"context {NAME} in {path}")
    for key, kind in reversed(changes.recorded(layout).items()):
        if key.startswith("made ") and kind == "directory":
            directory = Path(key.removeprefix("made "))
            if directory.is_dir() and not any(directory.iterdir()):
                directory.rmdir()
    return done


def _take_out(layout: Layout, path: Path, current: str) -> None:
    kubeconfig.remove_context(path, NAME)
    document = kubeconfig.read(path)
    if current and not document.get("current-context"):
        left = yaml.safe_load(path.read_text())
        if any(entry["name"] == current for entry in left.get("contexts") or []):
            kubeconfig.write(path, {**left, "current-context": current})
    entries = any(document.get(section) for section in ("clusters", "users", "contexts"))
    if not entries and changes.recorded(layout).get(f"made {path}") == "file":
        path.unlink()
        return
    copy = _copy(layout, path)
    if copy.exists() and yaml.safe_load(copy.read_text()) == yaml.safe_load(path.read_text()):
        # Nothing but our context has changed since: give the user's own formatting and comments back.
        stat = path.stat()
        write_atomically(path, copy.read_bytes(), copy.stat().st_mode & 0o777, (stat.st_uid, stat.st_gid))


def _keep_copy(layout: Layout, path: Path, before: bytes) -> None:
    copy = _copy(layout, path)
    if not copy.exists():
        write_atomically(copy, before, path.stat().st_mode & 0o777)


def _copy(layout: Layout, path: Path) -> Path:
    return layout.root / "kubeconfig-before" / str(path).strip("/").replace("/", "_")


def _make_parents(layout: Layout, path: Path, user: User) -> None:
    missing = [parent for parent in path.parents if not parent.exists()]
    for directory in reversed(missing):
        directory.mkdir(mode=0o750)
        if os.geteuid() == 0:
            os.chown(directory, user.uid, user.gid)
        changes.record(layout, f"made {directory}", "directory")


def _holds(path: Path, config: RestConfig) -> bool:
    try:
        there = kubeconfig.load(path, NAME)
    except KubeconfigError:
        return False
    same = (there.server, there.ca_data, there.cert_data, there.key_data) == (
        config.server, config.ca_data, config.cert_data, config.key_data,
    )  # fmt: skip
    return same and path.stat().st_mode & 0o077 == 0


def _current(path: Path) -> str:
    try:
        return str(kubeconfig.read(path).get("current-context") or "")
    except KubeconfigError as error:
        raise Failure(str(error), f"repair or move {path}, then run sampan up again") from error


def _config(layout: Layout, path: Path, server: str) -> RestConfig:
    pair = read_pair(path)
    if pair is None:
        raise Failure(f"{path}.crt is gone", "run: sampan up")
    authority = (layout.pki / "ca.crt").read_bytes()
    return RestConfig(server=server, ca_data=authority, cert_data=pair.certificate, key_data=pair.key)


def _write(path: Path, config: RestConfig, user: str) -> None:
    kubeconfig.write(path, kubeconfig.document_for(config, NAME, user))
