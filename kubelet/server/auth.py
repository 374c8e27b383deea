"""Who may ask the kubelet: bearers of a client certificate of the cluster CA that names the apiserver's kubelet
client or an administrators' group. Everyone else is refused; only /healthz needs no certificate."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

_NAMES = ("kube-apiserver-kubelet-client",)
_GROUPS = ("system:masters", "kubeadm:cluster-admins")


def server_context(cert: str, key: str, ca: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(cert, key)
    context.load_verify_locations(ca)
    # Optional, so that a caller without one is told 401 rather than losing the connection.
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def identity(certificate: Mapping[str, Any] | None) -> tuple[str, tuple[str, ...]] | None:
    """(common name, organizations) of a verified certificate as ssl.getpeercert gives it; None without one."""
    if not certificate:
        return None
    name, groups = "", []
    for part in certificate.get("subject") or ():
        for key, value in part:
            if key == "commonName":
                name = value
            elif key == "organizationName":
                groups.append(value)
    return name, tuple(groups)


def allowed(name: str, groups: tuple[str, ...]) -> bool:
    return name in _NAMES or any(group in _GROUPS for group in groups)
