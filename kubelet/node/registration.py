"""The Node object that a kubelet makes of itself, and what of one that is there already it puts right.

Labels and taints that the administrator gave are for a new object only: he may have changed them since.
Source: pkg/kubelet/kubelet_node_status.go (initialNode, tryRegisterWithAPIServer, updateDefaultLabels).
"""

from __future__ import annotations

from collections.abc import Mapping

from api.builtin import NODES
from api.errors import AlreadyExists, ApiError
from api.meta import Obj
from client import log
from client.clock import Clock
from client.http import ApiClient
from kubelet.configuration import Configuration

_log = log.get("node")
_RETRY_SECONDS = 1.0


def default_labels(name: str, architecture: str) -> dict[str, str]:
    return {
        "beta.kubernetes.io/arch": architecture,
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
    }


def new_node(
    name: str, defaults: Mapping[str, str], labels: Mapping[str, str], status: Obj, configuration: Configuration
) -> Obj:
    """Before the conditions are seen it takes no pods: the apiserver adds the taint not-ready."""
    spec: Obj = {}
    if configuration.register_with_taints:
        spec["taints"] = list(configuration.register_with_taints)
    if configuration.provider_id:
        spec["providerID"] = configuration.provider_id
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {**labels, **defaults}},
        "spec": spec,
        "status": status,
    }


async def register(client: ApiClient, node: Obj, defaults: Mapping[str, str], clock: Clock) -> bool:
    """Until the Node is there, with the default labels. True when it was made."""
    name = node["metadata"]["name"]
    while True:
        try:
            await client.create(NODES, node)
            _log.info("registered", node=name)
            return True
        except AlreadyExists:
            if await _corrected(client, name, defaults):
                return False
        except ApiError as error:
            _log.warning("cannot register yet", why=error.message)
        await clock.sleep(_RETRY_SECONDS)


async def _corrected(client: ApiClient, name: str, defaults: Mapping[str, str]) -> bool:
    try:
        stored = await client.get(NODES, name)
        labels = stored["metadata"].get("labels") or {}
        if any(labels.get(k) != v for k, v in defaults.items()):
            await client.patch(NODES, name, {"metadata": {"labels": dict(defaults)}})
    except ApiError as error:
        _log.warning("cannot update the node's labels yet", why=error.message)
        return False
    return True
