"""NodeRestriction: a node writes its own Node, Lease and CSINode, the pods bound to it, tokens for these, and requests
for certificates of its own name. Nothing else.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction ; texts and order of the
rules as in k8s.io/kubernetes/plugin/pkg/admission/noderestriction
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable

from cryptography import x509
from cryptography.x509.oid import NameOID

from api import meta
from api.builtin import (
    CERTIFICATE_SIGNING_REQUESTS,
    CSI_DRIVERS,
    CSI_NODES,
    LEASES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SERVICE_ACCOUNTS,
)
from api.meta import Obj
from api.registry import Resource
from apiserver.admission.chain import Attempt, Plugin
from apiserver.auth.node import LEASES as LEASE_NAMESPACE
from apiserver.auth.node import references
from apiserver.storage.store import Store

_MIRROR = "kubernetes.io/config.mirror"
_RESTRICTED = "node-restriction.kubernetes.io"
_KUBELETS = frozenset(
    f"{prefix}{name}"
    for prefix, names in (
        ("kubernetes.io/", ("hostname", "os", "arch")),
        ("beta.kubernetes.io/", ("os", "arch", "instance-type")),
        ("topology.kubernetes.io/", ("zone", "region")),
        ("failure-domain.beta.kubernetes.io/", ("zone", "region")),
        ("node.kubernetes.io/", ("instance-type",)),
    )
    for name in names
)
_KUBELETS_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_SIGNERS = ("kubernetes.io/kubelet-serving", "kubernetes.io/kube-apiserver-client-kubelet")
_REFERRED = {  # in upstream's order → what a message calls them
    "serviceaccounts": "a service account",
    "secrets": "secrets",
    "configmaps": "configmaps",
    "persistentvolumeclaims": "persistentvolumeclaims",
}


class NodeRestriction(Plugin):
    name = "NodeRestriction"

    def __init__(self, store: Store) -> None:
        self._store = store

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return res.qualified in _JUDGES and verb != "connect"

    async def mutate(self, attempt: Attempt) -> None:
        """Audiences are looked at as the node asks for them, before they are filled in."""
        if attempt.res is SERVICE_ACCOUNTS and attempt.subresource == "token" and (node := _node(attempt)):
            await self._check_token(attempt, node)

    async def validate(self, attempt: Attempt) -> None:
        if node := _node(attempt):
            await _JUDGES[attempt.res.qualified](self, attempt, node)

    # ---- pods

    async def _check_pod(self, attempt: Attempt, node: str) -> None:
        if attempt.subresource == "eviction":
            pod = await self._store.get(PODS, attempt.namespace, attempt.name)
            if pod.fields.get("spec.nodeName") != node:
                raise attempt.forbidden(f"node {node} can only evict pods with spec.nodeName set to itself")
        elif attempt.subresource not in ("", "status"):
            raise attempt.forbidden(f'unexpected pod subresource "{attempt.subresource}", only \'status\' and '
                                    "'eviction' are allowed")  # fmt: skip
        elif attempt.verb == "create":
            await self._check_new_pod(attempt, node)
        elif attempt.verb == "delete":
            if not _is_on(attempt.old, node):
                raise attempt.forbidden(f'node "{node}" can only delete pods with spec.nodeName set to itself')
        elif not attempt.subresource:
            raise attempt.forbidden(f'unexpected operation "UPDATE", node "{node}" can only create and delete mirror '
                                    "pods")  # fmt: skip
        else:
            _check_pod_status(attempt, attempt.old or {}, node)

    async def _check_new_pod(self, attempt: Attempt, node: str) -> None:
        pod = attempt.new()
        if _MIRROR not in meta.annotations(pod):
            raise attempt.forbidden(f'pod does not have "{_MIRROR}" annotation, node "{node}" can only create mirror '
                                    "pods")  # fmt: skip
        if not _is_on(pod, node):
            raise attempt.forbidden(f'node "{node}" can only create pods with spec.nodeName set to itself')
        owners = meta.owner_references(pod)
        own = f'node "{node}" can only create pods with'
        if len(owners) > 1:
            raise attempt.forbidden(f"{own} a single owner reference set to itself")
        owner = owners[0] if owners else {}
        if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
            raise attempt.forbidden(f"{own} an owner reference set to itself")
        if not owner.get("controller"):
            raise attempt.forbidden(f"{own} a controller owner reference set to itself")
        if owner.get("blockOwnerDeletion"):
            raise attempt.forbidden(f'node "{node}" must not set blockOwnerDeletion on an owner reference')
        uid = meta.uid((await self._store.get(NODES, "", node)).obj())
        if owner.get("uid") != uid:
            raise attempt.forbidden(f"node {node} UID mismatch: expected {owner.get('uid')} got {uid}")
        spec = pod.get("spec") or {}
        referred = {plural for plural, _, name in references(pod) if name}
        if not spec.get("serviceAccountName"):
            referred.discard("serviceaccounts")
        for plural, text in _REFERRED.items():
            if plural in referred:
                raise attempt.forbidden(f'node "{node}" can not create pods that reference {text}')
        sources = [source for volume in spec.get("volumes") or []
                   for source in (volume.get("projected") or {}).get("sources") or []]  # fmt: skip
        if any("clusterTrustBundle" in source for source in sources):
            raise attempt.forbidden(f'node "{node}" can not create pods that reference clustertrustbundles')

    # ---- tokens

    async def _check_token(self, attempt: Attempt, node: str) -> None:
        """A node gets tokens for the pods bound to it alone, and for the audiences that these name."""
        spec = attempt.new().get("spec") or {}
        bound = spec.get("boundObjectRef") or {}
        if (bound.get("apiVersion", "v1"), bound.get("kind")) != ("v1", "Pod") or not bound.get("name"):
            raise attempt.forbidden("node requested token not bound to a pod")
        if not bound.get("uid"):
            raise attempt.forbidden("node requested token with a pod binding without a uid")
        pod = (await self._store.get(PODS, attempt.namespace, str(bound["name"]))).obj()
        if meta.uid(pod) != bound["uid"]:
            raise attempt.forbidden(f"the UID in the bound object reference ({bound['uid']}) does not match the UID in "
                                    "record. The object might have been deleted and then recreated")  # fmt: skip
        if not _is_on(pod, node):
            raise attempt.forbidden("node requested token bound to a pod scheduled on a different node")
        audiences = spec.get("audiences") or [""]
        if len(audiences) > 1:
            raise attempt.forbidden("node may only request 0 or 1 audiences")
        if audiences[0] not in self._audiences_of(pod):
            raise attempt.forbidden(f'audience "{audiences[0]}" not found in pod spec volume')

    def _audiences_of(self, pod: Obj) -> set[str]:
        """For which its volumes want tokens; "" is the server's own."""
        found = set()
        for volume in pod["spec"].get("volumes") or []:
            for source in (volume.get("projected") or {}).get("sources") or []:
                if "serviceAccountToken" in source:
                    found.add(source["serviceAccountToken"].get("audience") or "")
            driver = self._store.peek(CSI_DRIVERS, "", volume["csi"].get("driver", "")) if "csi" in volume else None
            if driver is not None:
                found |= {one.get("audience") or "" for one in driver.obj()["spec"].get("tokenRequests") or []}
        return found

    async def _check_account(self, attempt: Attempt, node: str) -> None:
        """Tokens are judged before; other writes are the authorizer's."""

    # ---- the node itself

    async def _check_node(self, attempt: Attempt, node: str) -> None:
        if attempt.name != node:
            raise attempt.forbidden(f'node "{node}" is not allowed to modify node "{attempt.name}"')
        if attempt.obj is None:
            return
        new, old = attempt.new(), attempt.old
        spec, before = (new.get("spec") or {}), ((old or {}).get("spec") or {})
        barred = ", ".join(sorted(label for label in _changed(new, old) if _is_barred(label)))
        if old is None:
            if spec.get("configSource"):
                raise attempt.forbidden(f'node "{node}" is not allowed to create pods with a non-nil configSource')
            if barred:
                raise attempt.forbidden(f'node "{node}" is not allowed to set the following labels: {barred}')
            return
        if spec.get("configSource") not in (None, before.get("configSource")):
            raise attempt.forbidden(
                f'node "{node}" is not allowed to update configSource to a new non-nil configSource'
            )
        if (spec.get("taints") or []) != (before.get("taints") or []):
            raise attempt.forbidden(f'node "{node}" is not allowed to modify taints')
        if meta.owner_references(new) != meta.owner_references(old):
            raise attempt.forbidden(f'node "{node}" is not allowed to modify ownerReferences')
        if barred:
            raise attempt.forbidden(f"is not allowed to modify labels: {barred}")

    async def _check_lease(self, attempt: Attempt, node: str) -> None:
        if attempt.namespace != LEASE_NAMESPACE:
            raise attempt.forbidden(f'can only access leases in the "{LEASE_NAMESPACE}" system namespace')
        if attempt.name != node:
            raise attempt.forbidden("can only access node lease with the same name as the requesting node")

    async def _check_csi_node(self, attempt: Attempt, node: str) -> None:
        if attempt.name != node:
            raise attempt.forbidden("can only access CSINode with the same name as the requesting node")

    async def _check_claim(self, attempt: Attempt, node: str) -> None:
        if attempt.subresource != "status":
            raise attempt.forbidden("may only update PVC status")
        if attempt.verb != "update":
            raise attempt.forbidden(f'unexpected operation "{attempt.verb.upper()}"')
        if _without_sizes(attempt.new()) != _without_sizes(attempt.old or {}):
            raise attempt.forbidden(f'node "{node}" is not allowed to update fields other than status.quantity and '
                                    "status.conditions")  # fmt: skip

    async def _check_certificate(self, attempt: Attempt, node: str) -> None:
        if attempt.verb != "create" or attempt.new()["spec"].get("signerName") not in _SIGNERS:
            return
        try:
            request = x509.load_pem_x509_csr(base64.b64decode(attempt.new()["spec"].get("request") or ""))
        except ValueError as error:
            raise attempt.forbidden(f"unable to parse csr: {error}") from error
        names = [attribute.value for attribute in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        if names[-1:] != [f"system:node:{node}"]:
            raise attempt.forbidden(f"can only create a node CSR with CN=system:node:{node}")


_JUDGES: dict[str, Callable[[NodeRestriction, Attempt, str], Awaitable[None]]] = {
    NODES.qualified: NodeRestriction._check_node,
    LEASES.qualified: NodeRestriction._check_lease,
    PODS.qualified: NodeRestriction._check_pod,
    SERVICE_ACCOUNTS.qualified: NodeRestriction._check_account,
    PERSISTENT_VOLUME_CLAIMS.qualified: NodeRestriction._check_claim,
    CSI_NODES.qualified: NodeRestriction._check_csi_node,
    CERTIFICATE_SIGNING_REQUESTS.qualified: NodeRestriction._check_certificate,
}


def _node(attempt: Attempt) -> str:
    """The node that writes, "" when somebody else does."""
    if "system:nodes" not in attempt.user.groups:
        return ""
    if not attempt.user.node:
        raise attempt.forbidden(f'could not determine node from user "{attempt.user.name}"')
    return attempt.user.node


def _is_on(pod: Obj | None, node: str) -> bool:
    return ((pod or {}).get("spec") or {}).get("nodeName") == node


def _check_pod_status(attempt: Attempt, old: Obj, node: str) -> None:
    new = attempt.new()
    if not _is_on(old, node):
        raise attempt.forbidden(f'node "{node}" can only update pod status for pods with spec.nodeName set to itself')
    if meta.labels(new) != meta.labels(old):
        raise attempt.forbidden(f'node "{node}" cannot update labels through pod status')
    claims, before = (((pod.get("status") or {}).get("resourceClaimStatuses") or []) for pod in (new, old))
    if claims != before:
        raise attempt.forbidden(f'node "{node}" cannot update resource claim statues')


def _changed(new: Obj, old: Obj | None) -> set[str]:
    after, before = meta.labels(new), meta.labels(old) if old is not None else {}
    return {key for key in after.keys() | before.keys() if after.get(key) != before.get(key)}


def _is_barred(label: str) -> bool:
    """Labels by which an administrator keeps nodes apart, and all that kubelets have no part in."""
    domain = label.rpartition("/")[0]
    if _within(domain, _RESTRICTED):
        return True
    if not (_within(domain, "kubernetes.io") or _within(domain, "k8s.io")):
        return False
    return label not in _KUBELETS and not any(_within(domain, one) for one in _KUBELETS_DOMAINS)


def _within(domain: str, parent: str) -> bool:
    return domain == parent or domain.endswith(f".{parent}")


def _without_sizes(claim: Obj) -> Obj:
    volatile = ("resourceVersion", "managedFields")
    sizes = ("capacity", "conditions", "allocatedResourceStatuses", "allocatedResources")
    kept = {
        "metadata": {k: v for k, v in (claim.get("metadata") or {}).items() if k not in volatile},
        "status": {k: v for k, v in (claim.get("status") or {}).items() if k not in sizes},
    }
    return {**claim, **kept}
