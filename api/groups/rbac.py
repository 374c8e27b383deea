"""The rows of rbac.authorization.k8s.io/v1."""

from __future__ import annotations

from api.kinds import rbac
from api.registry import Resource

_GROUP = "rbac.authorization.k8s.io"

CLUSTER_ROLE_BINDINGS = Resource(
    _GROUP,
    "v1",
    "ClusterRoleBinding",
    "clusterrolebindings",
    "clusterrolebinding",
    False,
    hooks=rbac.CLUSTER_ROLE_BINDING,
)
CLUSTER_ROLES = Resource(_GROUP, "v1", "ClusterRole", "clusterroles", "clusterrole", False, hooks=rbac.CLUSTER_ROLE)
ROLE_BINDINGS = Resource(_GROUP, "v1", "RoleBinding", "rolebindings", "rolebinding", True, hooks=rbac.ROLE_BINDING)
ROLES = Resource(_GROUP, "v1", "Role", "roles", "role", True, hooks=rbac.ROLE)

ROWS = (CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES)
