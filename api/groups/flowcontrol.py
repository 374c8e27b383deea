"""The rows of flowcontrol.apiserver.k8s.io/v1."""

from __future__ import annotations

from api.kinds import flowcontrol
from api.registry import Resource

_GROUP = "flowcontrol.apiserver.k8s.io"

FLOW_SCHEMAS = Resource(
    _GROUP,
    "v1",
    "FlowSchema",
    "flowschemas",
    "flowschema",
    False,
    subresources=("status",),
    has_generation=True,
    hooks=flowcontrol.FLOW_SCHEMA,
)
PRIORITY_LEVEL_CONFIGURATIONS = Resource(
    _GROUP,
    "v1",
    "PriorityLevelConfiguration",
    "prioritylevelconfigurations",
    "prioritylevelconfiguration",
    False,
    subresources=("status",),
    has_generation=True,
    hooks=flowcontrol.PRIORITY_LEVEL,
)

ROWS = (FLOW_SCHEMAS, PRIORITY_LEVEL_CONFIGURATIONS)
