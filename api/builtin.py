"""Every built-in row, by name, and the registry of them. Row order is the order in which discovery lists them.

The rows themselves stand in `api/groups/`, one file per API group.
"""

from __future__ import annotations

from api.groups import apps, coordination, core, discovery
from api.groups.apps import DEPLOYMENTS, REPLICA_SETS
from api.groups.coordination import LEASES
from api.groups.core import CONFIG_MAPS, ENDPOINTS, EVENTS, NAMESPACES, NODES, PODS, SECRETS, SERVICE_ACCOUNTS, SERVICES
from api.groups.discovery import ENDPOINT_SLICES
from api.registry import Registry

__all__ = [
    "BUILTIN",
    "CONFIG_MAPS",
    "DEPLOYMENTS",
    "ENDPOINTS",
    "ENDPOINT_SLICES",
    "EVENTS",
    "LEASES",
    "NAMESPACES",
    "NODES",
    "PODS",
    "REPLICA_SETS",
    "SECRETS",
    "SERVICES",
    "SERVICE_ACCOUNTS",
]

BUILTIN = Registry([*core.ROWS, *apps.ROWS, *discovery.ROWS, *coordination.ROWS])
