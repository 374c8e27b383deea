"""What is the same for every pod of this node, and how it is found out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kubelet.configuration import Configuration
from kubelet.network.names import NOWHERE, Resolver, parse_resolver


@dataclass(slots=True)
class Facts:
    node_name: str
    host_ip: str
    root: Path
    """The kubelet's directory."""
    configuration: Configuration = field(default_factory=Configuration)
    memory: int = 0
    """Bytes. This and the next are the node agent's to keep true."""
    allocatable: Mapping[str, str] = field(default_factory=dict)
    lower_oom_score: bool = True
    selinux: bool = False
    app_armor: bool = False


def discover(node_name: str, host_ip: str, root: Path, configuration: Configuration) -> Facts:
    """With what this machine says about itself."""
    return Facts(
        node_name, host_ip, root, configuration,
        lower_oom_score=may_lower_oom_score(), selinux=has_selinux(), app_armor=has_app_armor(),
    )  # fmt: skip


def may_lower_oom_score() -> bool:
    """Whether this machine lets a process be made less likely to be killed (CAP_SYS_RESOURCE)."""
    own = Path("/proc/self/oom_score_adj")
    before = own.read_text()
    try:
        own.write_text("-998")
    except PermissionError:
        return False
    own.write_text(before)
    return True


def has_selinux() -> bool:
    return Path("/sys/fs/selinux/enforce").exists()


def has_app_armor() -> bool:
    """Source: pkg/security/apparmor/helpers.go and the library it asks: a container cannot tell of its host."""
    return read(Path("/sys/module/apparmor/parameters/enabled")).startswith("Y")


def host_resolver(path: str) -> Resolver:
    """The resolver configuration that pods' are made of; behind systemd-resolved's stub, the servers it asks."""
    if not path:
        return NOWHERE
    found = parse_resolver(read(Path(path)))
    if found.nameservers == ["127.0.0.53"]:
        found = parse_resolver(read(Path("/run/systemd/resolve/resolv.conf")))
    return found


def read(path: Path) -> str:
    """ "" when there is no such file."""
    try:
        return path.read_text()
    except OSError:
        return ""
