"""Where things lie in the data directory. Nothing of Sampan's is written elsewhere but for the user's kubeconfig,
systemd units and the network namespaces of `--nodes N`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_ROOT = Path("/var/lib/sampan")


@dataclass(frozen=True, slots=True)
class Layout:
    root: Path = DEFAULT_ROOT

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def encryption_file(self) -> Path:
        return self.pki / "encryption.yaml"

    @property
    def audit_policy(self) -> Path:
        return self.root / "audit-policy.yaml"

    @property
    def etcd(self) -> Path:
        return self.root / "etcd"

    @property
    def run(self) -> Path:
        """Pid files, sockets, the supervisor's table: all meaningless after a reboot."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def docker(self) -> Path:
        """Data of a Docker Engine that we run ourselves because the machine had none running."""
        return self.root / "docker"

    @property
    def cluster_file(self) -> Path:
        return self.root / "cluster.json"

    @property
    def changes_file(self) -> Path:
        """What `up` altered outside this directory, for `reset` to put back."""
        return self.root / "changes.json"

    @property
    def lock(self) -> Path:
        return self.root / ".lock"

    @property
    def nodes(self) -> Path:
        return self.root / "nodes"

    def node(self, name: str) -> Path:
        return self.nodes / name

    def kubeconfig(self, who: str) -> Path:
        return self.root / f"{who}.kubeconfig"
