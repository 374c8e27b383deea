"""`kubectl cluster-info`: where the control plane answers."""

from __future__ import annotations

import sys

from api.builtin import SERVICES
from api.meta import Obj
from kubectl.session import Session, run

_GREEN, _YELLOW, _RESET = "\x1b[0;32m", "\x1b[0;33m", "\x1b[0m"


def command() -> None:
    async def verb(session: Session) -> None:
        services = await session.list(SERVICES, "kube-system", labels="kubernetes.io/cluster-service=true")
        _line("Kubernetes control plane", session.config.server)
        for service in services:
            labels = service["metadata"].get("labels") or {}
            _line(labels.get("kubernetes.io/name") or service["metadata"]["name"], _address(session, service))
        print("\nTo further debug and diagnose cluster problems, use 'kubectl get events -A'.")

    run(verb)


def _address(session: Session, service: Obj) -> str:
    name = service["metadata"]["name"]
    port = (service["spec"].get("ports") or [{}])[0].get("name")
    return f"{session.config.server}{SERVICES.path('kube-system', name)}{f':{port}' if port else ''}/proxy"


def _line(name: str, address: str) -> None:
    """In colour on a terminal."""
    if sys.stdout.isatty():
        name, address = f"{_GREEN}{name}{_RESET}", f"{_YELLOW}{address}{_RESET}"
    print(f"{name} is running at {address}")
