"""The rows of the core group, v1."""

from __future__ import annotations

from api.kinds import (
    config,
    endpoints,
    event,
    limits,
    namespace,
    node,
    persistent_volume,
    pod,
    replica_set,
    service,
    simple,
    volume_claim,
)  # fmt: skip
from api.registry import Resource

NAMESPACES = Resource(
    "",
    "v1",
    "Namespace",
    "namespaces",
    "namespace",
    False,
    ("ns",),
    subresources=("finalize", "status"),
    fields={"status.phase": ""},
    verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
    hooks=namespace.HOOKS,
)
NODES = Resource(
    "",
    "v1",
    "Node",
    "nodes",
    "node",
    False,
    ("no",),
    subresources=("proxy", "status"),
    fields={"spec.unschedulable": "false"},
    keeps_status_on_create=True,
    hooks=node.HOOKS,
)
PODS = Resource(
    "",
    "v1",
    "Pod",
    "pods",
    "pod",
    True,
    ("po",),
    ("all",),
    subresources=(
        "attach",
        "binding",
        "ephemeralcontainers",
        "eviction",
        "exec",
        "log",
        "portforward",
        "proxy",
        "resize",
        "status",
    ),
    fields={
        "spec.nodeName": "",
        "spec.restartPolicy": "",
        "spec.schedulerName": "",
        "spec.serviceAccountName": "",
        "spec.hostNetwork": "false",
        "status.phase": "",
        "status.podIP": "",
        "status.podIPs": "",
        "status.nominatedNodeName": "",
    },
    graceful=True,
    has_generation=True,
    hooks=pod.HOOKS,
)
SERVICES = Resource(
    "",
    "v1",
    "Service",
    "services",
    "service",
    True,
    ("svc",),
    ("all",),
    subresources=("proxy", "status"),
    fields={"spec.clusterIP": "", "spec.type": ""},
    hooks=service.HOOKS,
)
ENDPOINTS = Resource(
    "",
    "v1",
    "Endpoints",
    "endpoints",
    "endpoints",
    True,
    ("ep",),
    deprecation="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
    hooks=endpoints.ENDPOINTS,
)
CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", "configmap", True, ("cm",), hooks=config.CONFIG_MAP)
SECRETS = Resource("", "v1", "Secret", "secrets", "secret", True, fields={"type": ""}, hooks=config.SECRET)
SERVICE_ACCOUNTS = Resource(
    "",
    "v1",
    "ServiceAccount",
    "serviceaccounts",
    "serviceaccount",
    True,
    ("sa",),
    subresources=("token",),
    hooks=simple.SERVICE_ACCOUNT,
)
EVENTS = Resource(
    "",
    "v1",
    "Event",
    "events",
    "event",
    True,
    ("ev",),
    fields={
        "involvedObject.kind": "",
        "involvedObject.namespace": "",
        "involvedObject.name": "",
        "involvedObject.uid": "",
        "involvedObject.apiVersion": "",
        "involvedObject.resourceVersion": "",
        "involvedObject.fieldPath": "",
        "reason": "",
        "reportingComponent": "",
        "source": "",
        "type": "",
    },
    field_paths={"source": ("source.component", "reportingComponent")},
    ttl=3600,
    hooks=event.HOOKS,
)

PERSISTENT_VOLUMES = Resource(
    "",
    "v1",
    "PersistentVolume",
    "persistentvolumes",
    "persistentvolume",
    False,
    ("pv",),
    subresources=("status",),
    hooks=persistent_volume.HOOKS,
)
PERSISTENT_VOLUME_CLAIMS = Resource(
    "",
    "v1",
    "PersistentVolumeClaim",
    "persistentvolumeclaims",
    "persistentvolumeclaim",
    True,
    ("pvc",),
    subresources=("status",),
    hooks=volume_claim.HOOKS,
)
REPLICATION_CONTROLLERS = Resource(
    "",
    "v1",
    "ReplicationController",
    "replicationcontrollers",
    "replicationcontroller",
    True,
    ("rc",),
    ("all",),
    subresources=("scale", "status"),
    fields={"status.replicas": "0"},
    has_generation=True,
    hooks=replica_set.CONTROLLER,
)
POD_TEMPLATES = Resource(
    "", "v1", "PodTemplate", "podtemplates", "podtemplate", True, has_generation=True, hooks=simple.POD_TEMPLATE
)
LIMIT_RANGES = Resource("", "v1", "LimitRange", "limitranges", "limitrange", True, ("limits",), hooks=limits.RANGE)
RESOURCE_QUOTAS = Resource(
    "",
    "v1",
    "ResourceQuota",
    "resourcequotas",
    "resourcequota",
    True,
    ("quota",),
    subresources=("status",),
    hooks=limits.QUOTA,
)
COMPONENT_STATUSES = Resource(
    "",
    "v1",
    "ComponentStatus",
    "componentstatuses",
    "componentstatus",
    False,
    ("cs",),
    verbs=("get", "list"),
    deprecation="v1 ComponentStatus is deprecated in v1.19+",
    hooks=simple.COMPONENT_STATUS,
)

ROWS = (
    COMPONENT_STATUSES,
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    ENDPOINTS,
    CONFIG_MAPS,
    SECRETS,
    SERVICE_ACCOUNTS,
    EVENTS,
    LIMIT_RANGES,
    PERSISTENT_VOLUMES,
    PERSISTENT_VOLUME_CLAIMS,
    POD_TEMPLATES,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
)
