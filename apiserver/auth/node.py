"""The Node authorizer: a node's kubelet reads its own Node, its own pods and what they refer to, and no other's.

What is not tied to a node in this way comes from the role system:node; what a node writes is narrowed further by
admission (admission/node_restriction.py), which sees the object.
https://kubernetes.io/docs/reference/access-authn-authz/node/ ; texts as in
k8s.io/kubernetes/plugin/pkg/auth/authorizer/node
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from api.meta import Obj
from api.selectors import field_terms
from apiserver.auth import rules
from apiserver.auth.rules import Rule
from apiserver.auth.user import User
from apiserver.request import RequestInfo

LEASES = "kube-node-lease"
_READ = ("get", "list", "watch")
_WRITE = ("get", "create", "update", "patch", "delete")
_Key = tuple[str, str, str]  # plural, namespace, name
Peek = Callable[[str, str, str], Obj | None]
"""The object of (plural, namespace, name) as the cache has it."""


class Shown(Protocol):
    """An object that is decoded when it is needed."""

    def obj(self) -> Obj: ...


class Nodes:
    """`on_pod` takes changes in; what a pod refers to is found out when its node first asks for something."""

    def __init__(self, node_rules: tuple[Rule, ...], peek: Peek) -> None:
        self._rules = node_rules
        self.peek = peek
        self._pods: dict[str, dict[tuple[str, str], Shown | set[_Key]]] = {}  # node → (namespace, name) → pod, or uses
        self._at: dict[tuple[str, str], str] = {}

    def on_pod(self, namespace: str, name: str, node: str, pod: Shown | None) -> None:
        """A pod on `node` is now `pod`; None = gone, or on no node."""
        key = (namespace, name)
        if (old := self._at.pop(key, "")) and (pods := self._pods.get(old)):
            pods.pop(key, None)
            if not pods:
                del self._pods[old]
        if pod is not None and node:
            self._at[key] = node
            self._pods.setdefault(node, {})[key] = pod

    def decide(self, user: User, asked: RequestInfo) -> tuple[bool, str]:
        if "system:nodes" not in user.groups or not user.name.startswith("system:node:"):
            return False, ""
        if not (node := user.node):
            return False, f'unknown node for user "{user.name}"'
        judge = _JUDGES.get((asked.group, asked.resource)) if asked.is_resource else None
        if judge is not None:
            refused = judge(self, node, asked)
            return refused is None, refused or ""
        return any(_allows(rule, asked) for rule in self._rules), ""

    # ---- relations

    def _related(self, node: str, asked: RequestInfo) -> str | None:
        """None when it is, else why it is not."""
        if not asked.name:
            return "No Object name found"
        wanted = (asked.resource, asked.namespace, asked.name)
        if wanted[0] == "persistentvolumes":
            related = self._claim_of(asked.name) in self._uses(node)
        elif wanted[0] == "volumeattachments":
            found = self.peek(*wanted)
            related = found is not None and (found.get("spec") or {}).get("nodeName") == node
        else:
            related = wanted in self._uses(node, asked.namespace) or (
                wanted[0] == "secrets" and wanted in self._of_volumes(node)
            )
        return None if related else f"no relationship found between node '{node}' and this object"

    def _uses(self, node: str, namespace: str = "") -> set[_Key]:
        found: set[_Key] = set()
        pods = self._pods.get(node, {})
        for key, pod in pods.items():
            if namespace and key[0] != namespace:
                continue
            if not isinstance(pod, set):
                pod = pods[key] = set(references(pod.obj()))
            found |= pod
        return found

    def _claim_of(self, volume: str) -> _Key:
        ref = ((self.peek("persistentvolumes", "", volume) or {}).get("spec") or {}).get("claimRef") or {}
        return ("persistentvolumeclaims", ref.get("namespace", ""), ref.get("name", ""))

    def _of_volumes(self, node: str) -> Iterator[_Key]:
        """The secrets of the volumes of the claims of the node's pods."""
        for plural, namespace, name in self._uses(node):
            if plural != "persistentvolumeclaims":
                continue
            claim = self.peek(plural, namespace, name) or {}
            volume = self.peek("persistentvolumes", "", (claim.get("spec") or {}).get("volumeName", "")) or {}
            spec = volume.get("spec") or {}
            if self._claim_of((volume.get("metadata") or {}).get("name", "")) == (plural, namespace, name):
                yield from (("secrets", ref.get("namespace") or namespace, ref["name"]) for ref in _secret_refs(spec))

    # ---- what is tied to the node

    def _read(self, node: str, asked: RequestInfo) -> str | None:
        if asked.verb not in _READ:
            return "can only read resources of this type"
        if asked.subresource:
            return "cannot read subresource"
        if not asked.namespace:
            return "can only read namespaced object of this type"
        return self._related(node, asked)

    def _get(self, node: str, asked: RequestInfo) -> str | None:
        if asked.verb != "get":
            return "can only get individual resources of this type"
        return "cannot get subresource" if asked.subresource else self._related(node, asked)

    def _claim(self, node: str, asked: RequestInfo) -> str | None:
        if asked.subresource != "status":
            return self._get(node, asked)
        if asked.verb not in ("update", "patch"):
            return "can only get/update/patch this type"
        return self._related(node, asked)

    def _token(self, node: str, asked: RequestInfo) -> str | None:
        if asked.verb != "create" or not asked.name:
            return "can only create tokens for individual service accounts"
        if asked.subresource != "token":
            return "can only create token subresource of serviceaccount"
        return self._related(node, asked)

    def _lease(self, node: str, asked: RequestInfo) -> str | None:
        if asked.verb not in _WRITE:
            return "can only get, create, update, patch, or delete a node lease"
        if asked.namespace != LEASES:
            return f'can only access leases in the "{LEASES}" system namespace'
        if asked.verb != "create" and asked.name != node:
            return "can only access node lease with the same name as the requesting node"
        return None

    def _csi_node(self, node: str, asked: RequestInfo) -> str | None:
        if asked.verb not in _WRITE:
            return "can only get, create, update, patch, or delete a CSINode"
        if asked.subresource:
            return "cannot authorize CSINode subresources"
        if asked.verb != "create" and asked.name != node:
            return "can only access CSINode with the same name as the requesting node"
        return None

    def _node(self, node: str, asked: RequestInfo) -> str | None:
        if asked.verb in ("update", "patch") and asked.subresource in ("", "status"):
            return None
        if asked.subresource or asked.verb not in ("create", *_READ):
            return ""
        if asked.verb == "create" or asked.name == node:
            return None
        named = f"'{asked.name}'" if asked.name else "all nodes"
        return f"node '{node}' cannot read {named}, only its own Node object"

    def _pod(self, node: str, asked: RequestInfo) -> str | None:
        if (asked.subresource, asked.verb) in _POD_WRITES:
            return None
        if asked.subresource or asked.verb not in _READ:
            return ""
        if asked.verb != "get":
            if {f"spec.nodeName={node}", f"spec.nodeName=={node}"} & set(field_terms(asked.fields)):
                return None
            if not asked.name:
                return "can only list/watch pods with spec.nodeName field selector"
        if asked.name and self._at.get((asked.namespace, asked.name)) == node:
            return None
        return f"no relationship found between node '{node}' and this object" if asked.name else "No Object name found"


_POD_WRITES = frozenset(
    {("", "create"), ("", "delete"), ("status", "update"), ("status", "patch"), ("eviction", "create")}
)
_JUDGES: dict[tuple[str, str], Callable[[Nodes, str, RequestInfo], str | None]] = {
    ("", "secrets"): Nodes._read,
    ("", "configmaps"): Nodes._read,
    ("", "persistentvolumeclaims"): Nodes._claim,
    ("", "persistentvolumes"): Nodes._get,
    ("", "serviceaccounts"): Nodes._token,
    ("", "nodes"): Nodes._node,
    ("", "pods"): Nodes._pod,
    ("storage.k8s.io", "volumeattachments"): Nodes._get,
    ("storage.k8s.io", "csinodes"): Nodes._csi_node,
    ("coordination.k8s.io", "leases"): Nodes._lease,
}


def _allows(rule: Rule, asked: RequestInfo) -> bool:
    if not asked.is_resource:
        return False
    wanted = f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource
    return asked.verb in rule.verbs and asked.group in rule.groups and rules.covers_resource(rule.resources, wanted)


def references(pod: Obj) -> Iterator[_Key]:
    """What a pod's node may read for it."""
    namespace, spec = pod["metadata"]["namespace"], pod.get("spec") or {}
    yield "serviceaccounts", namespace, spec.get("serviceAccountName") or "default"
    for ref in spec.get("imagePullSecrets") or []:
        yield "secrets", namespace, ref.get("name", "")
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or []:
            sources = list(container.get("envFrom") or [])
            sources += [variable.get("valueFrom") or {} for variable in container.get("env") or []]
            yield from _sources(namespace, sources, "secretRef", "secretKeyRef", "configMapRef", "configMapKeyRef")
    for volume in spec.get("volumes") or []:
        if claim := (volume.get("persistentVolumeClaim") or {}).get("claimName"):
            yield "persistentvolumeclaims", namespace, claim
        if "ephemeral" in volume:
            yield "persistentvolumeclaims", namespace, f"{pod['metadata']['name']}-{volume['name']}"
        if secret := (volume.get("secret") or {}).get("secretName"):
            yield "secrets", namespace, secret
        projected = (volume.get("projected") or {}).get("sources") or []
        yield from _sources(namespace, [{"configMap": volume.get("configMap")}, *projected], "secret", "configMap")
        yield from (("secrets", namespace, ref["name"]) for ref in _secret_refs(volume))


def _sources(namespace: str, sources: list[Obj], *fields: str) -> Iterator[_Key]:
    for source in sources:
        for field in fields:
            if name := (source.get(field) or {}).get("name"):
                yield "secrets" if field.startswith("secret") else "configmaps", namespace, name


def _secret_refs(volume: Obj) -> Iterator[Obj]:
    """The secrets that the drivers of a volume need."""
    for source in volume.values():
        if isinstance(source, dict):
            for field, ref in source.items():
                if isinstance(ref, dict) and field.endswith("ecretRef") and ref.get("name"):
                    yield ref
