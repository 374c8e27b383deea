"""Who may do what: one table of grants (pure).

Administrators may do everything, each system component what its work needs, everyone who is known may read
discovery, health and version, and ask what they may do. What a node may write is narrowed further, to its own
objects, by admission (admission/node_restriction.py), which sees the object.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from api.errors import Forbidden
from apiserver.auth.user import AUTHENTICATED, UNAUTHENTICATED, User
from apiserver.request import RequestInfo

ALL = frozenset({"*"})
READ = frozenset({"get", "list", "watch"})
WRITE = frozenset({"create", "update", "patch", "delete"})


@dataclass(frozen=True, slots=True)
class Grant:
    """resources are `plural` or `plural/subresource`; namespace "" is any; paths are for non-resource requests,
    `/x/*` matches what begins with `/x/`."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    namespace: str = ""
    paths: tuple[str, ...] = ()

    def allows(self, asked: RequestInfo) -> bool:
        if "*" not in self.verbs and asked.verb not in self.verbs:
            return False
        if not asked.resource:
            return any(_path_matches(pattern, asked.path) for pattern in self.paths)
        if "*" not in self.groups and asked.group not in self.groups:
            return False
        wanted = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
        if "*" not in self.resources and wanted not in self.resources:
            return False
        return not self.namespace or self.namespace == asked.namespace


def _path_matches(pattern: str, path: str) -> bool:
    if pattern == "*" or path.rstrip("/") == pattern:
        return True
    return pattern.endswith("/*") and path.startswith(pattern[:-1])


def _grant(verbs: Iterable[str], group: str, *resources: str, namespace: str = "") -> Grant:
    return Grant(frozenset(verbs), frozenset({group}), frozenset(resources), namespace)


_EVERYTHING = (Grant(ALL, ALL, ALL, paths=("*",)),)
_HEALTH = Grant(
    frozenset({"get", "head"}),
    paths=("/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*", "/version"),
)
_EVENTS = (
    _grant(("create", "update", "patch"), "", "events"),
    _grant(("create", "update", "patch"), "events.k8s.io", "events"),
)
_REVIEWS = (
    _grant(("create",), "authorization.k8s.io", "subjectaccessreviews", "localsubjectaccessreviews"),
    _grant(("create",), "authentication.k8s.io", "tokenreviews"),
)

_GRANTS: dict[str, tuple[Grant, ...]] = {
    # groups
    "group:system:masters": _EVERYTHING,
    "group:kubeadm:cluster-admins": _EVERYTHING,
    f"group:{UNAUTHENTICATED}": (_HEALTH,),
    f"group:{AUTHENTICATED}": (
        _HEALTH,
        Grant(frozenset({"get", "head"}), paths=("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*")),
        _grant(("create",), "authorization.k8s.io", "selfsubjectaccessreviews", "selfsubjectrulesreviews"),
        _grant(("create",), "authentication.k8s.io", "selfsubjectreviews"),
    ),
    "group:system:serviceaccounts": (
        Grant(frozenset({"get", "head"}), paths=("/.well-known/openid-configuration", "/openid/v1/jwks")),
    ),
    "group:system:nodes": (
        _grant(READ, "", "nodes", "pods", "services", "endpoints", "namespaces", "secrets", "configmaps",
               "serviceaccounts"),
        _grant(READ, "discovery.k8s.io", "endpointslices"),
        _grant(("create", "update", "patch", "delete"), "", "nodes"),
        _grant(("update", "patch"), "", "nodes/status", "pods/status"),
        _grant(("create", "delete"), "", "pods"),
        _grant(("create",), "", "pods/eviction", "serviceaccounts/token"),
        _grant((*READ, *WRITE), "coordination.k8s.io", "leases", namespace="kube-node-lease"),
        *_EVENTS,
        *_REVIEWS,
    ),
    # users
    "user:system:kube-scheduler": (
        _grant(READ, "", "nodes", "pods", "services", "namespaces", "endpoints", "replicationcontrollers",
               "persistentvolumes", "persistentvolumeclaims"),
        _grant(READ, "apps", "replicasets", "statefulsets", "deployments"),
        _grant(READ, "policy", "poddisruptionbudgets"),
        _grant(READ, "scheduling.k8s.io", "priorityclasses"),
        _grant(READ, "storage.k8s.io", "storageclasses", "csinodes", "csidrivers", "csistoragecapacities"),
        _grant(("create",), "", "bindings", "pods/binding"),
        _grant(("update", "patch"), "", "pods/status", "persistentvolumes", "persistentvolumeclaims"),
        _grant(("delete",), "", "pods"),
        _grant((*READ, "create", "update", "patch"), "coordination.k8s.io", "leases", namespace="kube-system"),
        *_EVENTS,
        *_REVIEWS,
    ),
    "user:system:kube-controller-manager": (
        Grant(ALL, ALL, ALL, paths=("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*")),
    ),
    "user:system:kube-proxy": (
        _grant(READ, "", "services", "endpoints", "nodes", "pods", "namespaces"),
        _grant(READ, "discovery.k8s.io", "endpointslices"),
        *_EVENTS,
    ),
}  # fmt: skip


@lru_cache(maxsize=4096)
def _grants_of(name: str, groups: tuple[str, ...]) -> tuple[Grant, ...]:
    found = list(_GRANTS.get(f"user:{name}", ()))
    for group in groups:
        found += _GRANTS.get(f"group:{group}", ())
    return tuple(found)


class Authorizer:
    """Answers from the table. A decision takes a few dictionary look-ups and set tests."""

    def grants(self, user: User) -> tuple[Grant, ...]:
        return _grants_of(user.name, user.groups)

    def allows(self, user: User, asked: RequestInfo) -> bool:
        return any(grant.allows(asked) for grant in _grants_of(user.name, user.groups))

    def check(self, user: User, asked: RequestInfo) -> None:
        """Forbidden, in upstream's words."""
        if not self.allows(user, asked):
            raise forbidden(user, asked)


def forbidden(user: User, asked: RequestInfo, why: str = "") -> Forbidden:
    """`pods "web" is forbidden: User "x" cannot get resource "pods" in API group "" in the namespace "default"`."""
    if not asked.resource:
        text = f'forbidden: User "{user.name}" cannot {asked.verb} path "{asked.path}"'
        return Forbidden(text + (f": {why}" if why else ""), {})
    qualified = f"{asked.resource}.{asked.group}" if asked.group else asked.resource
    wanted = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    subject = f'{qualified} "{asked.name}"' if asked.name else qualified
    text = (
        f'{subject} is forbidden: User "{user.name}" cannot {asked.verb} resource "{wanted}" '
        f'in API group "{asked.group}" {where}'
    )
    details = {"name": asked.name, "group": asked.group, "kind": asked.resource}
    return Forbidden(text + (f": {why}" if why else ""), {k: v for k, v in details.items() if v})
