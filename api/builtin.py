"""Every built-in row, by name, and the registry of them. Row order is the order in which discovery lists them.

The rows themselves stand in `api/groups/`, one file per API group.
"""

from __future__ import annotations

from api.groups import apps, autoscaling, batch, coordination, core, discovery, policy
from api.groups.apps import CONTROLLER_REVISIONS, DAEMON_SETS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS
from api.groups.autoscaling import AUTOSCALERS
from api.groups.batch import CRON_JOBS, JOBS
from api.groups.coordination import LEASES
from api.groups.core import (
    COMPONENT_STATUSES,
    CONFIG_MAPS,
    ENDPOINTS,
    EVENTS,
    LIMIT_RANGES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_TEMPLATES,
    PODS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from api.groups.discovery import ENDPOINT_SLICES
from api.groups.policy import DISRUPTION_BUDGETS
from api.registry import Registry

__all__ = [
    "AUTOSCALERS",
    "BUILTIN",
    "COMPONENT_STATUSES",
    "CONFIG_MAPS",
    "CONTROLLER_REVISIONS",
    "CRON_JOBS",
    "DAEMON_SETS",
    "DEPLOYMENTS",
    "DISRUPTION_BUDGETS",
    "ENDPOINTS",
    "ENDPOINT_SLICES",
    "EVENTS",
    "JOBS",
    "LEASES",
    "LIMIT_RANGES",
    "NAMESPACES",
    "NODES",
    "PERSISTENT_VOLUMES",
    "PERSISTENT_VOLUME_CLAIMS",
    "PODS",
    "POD_TEMPLATES",
    "REPLICATION_CONTROLLERS",
    "REPLICA_SETS",
    "RESOURCE_QUOTAS",
    "SECRETS",
    "SERVICES",
    "SERVICE_ACCOUNTS",
    "STATEFUL_SETS",
]

BUILTIN = Registry(
    [
        *core.ROWS,
        *apps.ROWS,
        *autoscaling.ROWS,
        *batch.ROWS,
        *policy.ROWS,
        *coordination.ROWS,
        *discovery.ROWS,
    ]
)
