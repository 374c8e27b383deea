"""The rows of apps/v1."""

from __future__ import annotations

from api.kinds import deployment, replica_set
from api.registry import Resource

DEPLOYMENTS = Resource(
    "apps",
    "v1",
    "Deployment",
    "deployments",
    "deployment",
    True,
    ("deploy",),
    ("all",),
    subresources=("scale", "status"),
    has_generation=True,
    hooks=deployment.HOOKS,
)
REPLICA_SETS = Resource(
    "apps",
    "v1",
    "ReplicaSet",
    "replicasets",
    "replicaset",
    True,
    ("rs",),
    ("all",),
    subresources=("scale", "status"),
    fields={"status.replicas": "0"},
    has_generation=True,
    hooks=replica_set.HOOKS,
)

ROWS = (
    DEPLOYMENTS,
    REPLICA_SETS,
)
