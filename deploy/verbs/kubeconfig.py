"""`sampan kubeconfig`: the administrator's kubeconfig on stdout."""

from __future__ import annotations

from deploy import cluster, host
from deploy.layout import Layout


def kubeconfig(layout: Layout) -> str:
    host.require_root("kubeconfig")
    cluster.require(layout)
    return layout.kubeconfig("admin").read_text()
