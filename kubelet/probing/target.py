"""What probes and hooks are aimed at: one running container, and what its spec calls its ports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubelet.pods.model import PodContainers


def address_of(pod: Mapping[str, Any], observed: PodContainers, host_ip: str) -> str:
    """Where the pod's ports are reached; "" while there is no such place."""
    if pod["spec"].get("hostNetwork"):
        return host_ip
    sandbox = observed.sandbox
    return sandbox.ips[0] if sandbox is not None and sandbox.ips else ""


class Trouble(Exception):
    """It could not be found out. `state` is what upstream calls the result: unknown, or failure."""

    def __init__(self, message: str, state: str = "unknown") -> None:
        super().__init__(message)
        self.state = state


@dataclass(frozen=True, slots=True)
class Target:
    id: str
    spec: Mapping[str, Any]
    address: str
    """The pod's, at which its ports are reached unless a handler names another host."""

    def port(self, value: Any) -> int:
        """A number, or the name of one of the container's ports. Trouble when it is neither
        (pkg/probe/util.go, ResolveContainerPort)."""
        named = (p["containerPort"] for p in self.spec.get("ports") or () if p.get("name") == value)
        found = value if isinstance(value, int) else next(named, value)
        try:
            port = int(found)
        except ValueError as error:
            raise Trouble(f'strconv.Atoi: parsing "{value}": invalid syntax') from error
        if not 0 < port < 65536:
            raise Trouble(f"invalid port number: {port}")
        return port
