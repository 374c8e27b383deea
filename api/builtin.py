"""Every built-in row, by name, and the registry of them. Row order is the order in which discovery lists them.

The rows themselves stand in `api/groups/`, one file per API group.
"""

from __future__ import annotations

from api.groups import (
    admissionregistration,
    apiextensions,
    apiregistration,
    apps,
    autoscaling,
    batch,
    certificates,
    coordination,
    core,
    discovery,
    events,
    flowcontrol,
    networking,
    node,
    policy,
    rbac,
    scheduling,
    storage,
)
from api.groups.admissionregistration import (
    MUTATING_ADMISSION_POLICIES,
    MUTATING_ADMISSION_POLICY_BINDINGS,
    MUTATING_WEBHOOK_CONFIGURATIONS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
    VALIDATING_WEBHOOK_CONFIGURATIONS,
)
from api.groups.apiextensions import CUSTOM_RESOURCE_DEFINITIONS
from api.groups.apiregistration import API_SERVICES
from api.groups.apps import CONTROLLER_REVISIONS, DAEMON_SETS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS
from api.groups.autoscaling import AUTOSCALERS, AUTOSCALERS_V1
from api.groups.batch import CRON_JOBS, JOBS
from api.groups.certificates import CERTIFICATE_SIGNING_REQUESTS
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
from api.groups.events import NEW_EVENTS
from api.groups.flowcontrol import FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS
from api.groups.networking import INGRESS_CLASSES, INGRESSES, IP_ADDRESSES, NETWORK_POLICIES, SERVICE_CIDRS
from api.groups.node import RUNTIME_CLASSES
from api.groups.policy import DISRUPTION_BUDGETS
from api.groups.rbac import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from api.groups.scheduling import PRIORITY_CLASSES
from api.groups.storage import (
    CSI_DRIVERS,
    CSI_NODES,
    CSI_STORAGE_CAPACITIES,
    STORAGE_CLASSES,
    VOLUME_ATTACHMENTS,
    VOLUME_ATTRIBUTES_CLASSES,
)
from api.registry import Registry

__all__ = [
    "API_SERVICES",
    "AUTOSCALERS",
    "AUTOSCALERS_V1",
    "BUILTIN",
    "CERTIFICATE_SIGNING_REQUESTS",
    "CLUSTER_ROLES",
    "CLUSTER_ROLE_BINDINGS",
    "COMPONENT_STATUSES",
    "CONFIG_MAPS",
    "CONTROLLER_REVISIONS",
    "CRON_JOBS",
    "CSI_DRIVERS",
    "CSI_NODES",
    "CSI_STORAGE_CAPACITIES",
    "CUSTOM_RESOURCE_DEFINITIONS",
    "DAEMON_SETS",
    "DEPLOYMENTS",
    "DISRUPTION_BUDGETS",
    "ENDPOINTS",
    "ENDPOINT_SLICES",
    "EVENTS",
    "FLOW_SCHEMAS",
    "INGRESSES",
    "INGRESS_CLASSES",
    "IP_ADDRESSES",
    "JOBS",
    "LEASES",
    "LIMIT_RANGES",
    "MUTATING_ADMISSION_POLICIES",
    "MUTATING_ADMISSION_POLICY_BINDINGS",
    "MUTATING_WEBHOOK_CONFIGURATIONS",
    "NAMESPACES",
    "NETWORK_POLICIES",
    "NEW_EVENTS",
    "NODES",
    "PERSISTENT_VOLUMES",
    "PERSISTENT_VOLUME_CLAIMS",
    "PODS",
    "POD_TEMPLATES",
    "PRIORITY_CLASSES",
    "PRIORITY_LEVEL_CONFIGURATIONS",
    "REPLICATION_CONTROLLERS",
    "REPLICA_SETS",
    "RESOURCE_QUOTAS",
    "ROLES",
    "ROLE_BINDINGS",
    "RUNTIME_CLASSES",
    "SECRETS",
    "SERVICES",
    "SERVICE_ACCOUNTS",
    "SERVICE_CIDRS",
    "STATEFUL_SETS",
    "STORAGE_CLASSES",
    "VALIDATING_ADMISSION_POLICIES",
    "VALIDATING_ADMISSION_POLICY_BINDINGS",
    "VALIDATING_WEBHOOK_CONFIGURATIONS",
    "VOLUME_ATTACHMENTS",
    "VOLUME_ATTRIBUTES_CLASSES",
]

BUILTIN = Registry(
    [
        *core.ROWS,
        *apps.ROWS,
        *events.ROWS,
        *autoscaling.ROWS,
        *batch.ROWS,
        *certificates.ROWS,
        *networking.ROWS,
        *policy.ROWS,
        *rbac.ROWS,
        *storage.ROWS,
        *admissionregistration.ROWS,
        *apiextensions.ROWS,
        *scheduling.ROWS,
        *coordination.ROWS,
        *node.ROWS,
        *discovery.ROWS,
        *flowcontrol.ROWS,
        *apiregistration.ROWS,
    ]
)
