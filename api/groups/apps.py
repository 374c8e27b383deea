"""The rows of apps/v1."""

from __future__ import annotations

from api.kinds import daemon_set, deployment, replica_set, stateful_set
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
DAEMON_SETS = Resource(
    "apps",
    "v1",
    "DaemonSet",
    "daemonsets",
    "daemonset",
    True,
    ("ds",),
    ("all",),
    subresources=("status",),
    has_generation=True,
    hooks=daemon_set.HOOKS,
)
STATEFUL_SETS = Resource(
    "apps",
    "v1",
    "StatefulSet",
    "statefulsets",
    "statefulset",
    True,
    ("sts",),
    ("all",),
    subresources=("scale", "status"),
    has_generation=True,
    hooks=stateful_set.HOOKS,
)
CONTROLLER_REVISIONS = Resource(
    "apps", "v1", "ControllerRevision", "controllerrevisions", "controllerrevision", True, hooks=stateful_set.REVISION
)

ROWS = (
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
)
