"""What a node may write: https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction

Texts as in k8s.io/kubernetes/plugin/pkg/admission/noderestriction.
"""

from __future__ import annotations

import base64
import copy
from typing import Any, cast

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.builtin import (
    CERTIFICATE_SIGNING_REQUESTS,
    CSI_NODES,
    LEASES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SERVICE_ACCOUNTS,
)
from api.errors import Forbidden, not_found
from api.meta import Obj
from api.registry import Resource
from apiserver.admission.chain import Admission, Attempt
from apiserver.admission.node_restriction import NodeRestriction
from apiserver.auth.user import User
from apiserver.storage.store import Store
from apiserver.storage.stored import Stored

NODE, ADMIN = User("system:node:n1", ("system:nodes",)), User("admin", ("system:masters",))


def volumes(*audiences: str) -> list[Obj]:
    return [{"name": "t", "projected": {"sources": [{"serviceAccountToken": {"audience": a}} for a in audiences]}}]


OBJECTS: dict[tuple[str, str], Obj] = {
    ("pods", "mine"): {"metadata": {"name": "mine", "uid": "u"}, "spec": {"nodeName": "n1", "volumes": volumes("", "vault")}},
    ("pods", "theirs"): {"metadata": {"name": "theirs", "uid": "u"}, "spec": {"nodeName": "n2", "volumes": volumes("")}},
    ("pods", "csi"): {"metadata": {"name": "csi", "uid": "u"},
                      "spec": {"nodeName": "n1", "volumes": [{"name": "v", "csi": {"driver": "driver"}}]}},
    ("csidrivers", "driver"): {"metadata": {"name": "driver"}, "spec": {"tokenRequests": [{"audience": "store"}]}},
    ("nodes", "n1"): {"metadata": {"name": "n1", "uid": "node-uid"}},
}  # fmt: skip


class Objects:
    def peek(self, res: Resource, namespace: str, name: str) -> Stored | None:
        obj = OBJECTS.get((res.plural, name))
        return Stored(namespace, name, 1, orjson.dumps(obj), {}, res.field_values(obj)) if obj is not None else None

    async def get(self, res: Resource, namespace: str, name: str) -> Stored:
        found = self.peek(res, namespace, name)
        if found is None:
            raise not_found(res.group, res.plural, name)
        return found


STORE = cast(Store, Objects())


def attempt(res: Resource, obj: Obj | None = None, old: Obj | None = None, **more: Any) -> Attempt:
    verb = "delete" if obj is None else "create" if old is None else "update"
    values: dict[str, Any] = {"user": NODE, "verb": verb, "subresource": "", "namespace": "a", "name": "n1", **more}
    return Attempt(res=res, obj=obj, old=old, **values)


async def admit(tried: Attempt) -> None:
    chain = Admission([NodeRestriction(STORE)])
    tried.obj = copy.deepcopy(tried.obj)
    await chain.mutate(tried)
    await chain.validate(tried)


def node(labels: dict[str, str] | None = None, owners: list[Obj] | None = None, **spec: Any) -> Obj:
    return {"metadata": {"name": "n1", "labels": labels or {}, "ownerReferences": owners or []}, "spec": spec}


def pod(on: str = "n1", labels: dict[str, str] | None = None, **status: Any) -> Obj:
    return {"metadata": {"name": "x", "labels": labels or {}}, "spec": {"nodeName": on}, "status": status}


OWNER = {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "node-uid", "controller": True}


def mirror(*owners: Obj, on: str = "n1", **spec: Any) -> Obj:
    metadata = {"name": "m", "namespace": "a", "annotations": {"kubernetes.io/config.mirror": "x"},
                "ownerReferences": list(owners or [OWNER])}  # fmt: skip
    return {"metadata": metadata, "spec": {"nodeName": on, "containers": [], **spec}}


def token(pod: str, uid: str = "u", audiences: tuple[str, ...] = (), kind: str = "Pod") -> Attempt:
    bound = {"kind": kind, "apiVersion": "v1", "name": pod, "uid": uid}
    spec = {"boundObjectRef": bound, "audiences": list(audiences)}
    return attempt(SERVICE_ACCOUNTS, {"spec": spec}, subresource="token")


def claim(labels: dict[str, str] | None = None, **status: Any) -> Obj:
    return {"metadata": {"name": "c", "labels": labels or {}}, "spec": {}, "status": status}


def certificate(name: str, signer: str = "kubernetes.io/kube-apiserver-client-kubelet") -> Attempt:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    pem = request.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM
    )
    return attempt(
        CERTIFICATE_SIGNING_REQUESTS, {"spec": {"signerName": signer, "request": base64.b64encode(pem).decode()}}
    )


LEASE = {"namespace": "kube-node-lease"}
OWN = [
    attempt(NODES, node({"kubernetes.io/hostname": "n1", "mine": "yes", "kubernetes.io/arch": "amd64"})),
    attempt(NODES, node({"node.kubernetes.io/instance-type": "m", "x.kubelet.kubernetes.io/a": "b"}), node()),
    attempt(NODES, node({"acme.com/disk": "ssd"}), node({"acme.com/disk": "hdd"}), subresource="status"),
    attempt(NODES, node({"node-restriction.kubernetes.io/a": "b"}), node({"node-restriction.kubernetes.io/a": "b"})),
    attempt(LEASES, {}, **LEASE),
    attempt(LEASES, {}, {}, **LEASE),
    attempt(CSI_NODES, {}),
    attempt(PODS, pod(phase="Running"), pod(), subresource="status"),
    attempt(PODS, None, pod()),
    attempt(PODS, mirror()),
    attempt(PODS, {}, subresource="eviction", name="mine"),
    token("mine"),
    token("mine", audiences=("vault",)),
    token("csi", audiences=("store",)),
    attempt(PERSISTENT_VOLUME_CLAIMS, claim(capacity={"storage": "2Gi"}), claim(), subresource="status"),
    certificate("system:node:n1"),
    certificate("somebody", "kubernetes.io/kube-apiserver-client"),
    attempt(NODES, node({"node-restriction.kubernetes.io/a": "b"}), node(), name="n2", user=ADMIN),
]
OTHERS = [
    (attempt(NODES, node(), name="n2"), 'node "n1" is not allowed to modify node "n2"'),
    (attempt(NODES, None, node(), name="n2"), 'node "n1" is not allowed to modify node "n2"'),
    (attempt(NODES, node(), node(taints=[{"key": "k"}])), 'node "n1" is not allowed to modify taints'),
    (attempt(NODES, node(owners=[{"uid": "x"}]), node()), 'node "n1" is not allowed to modify ownerReferences'),
    (attempt(NODES, node(configSource={"a": "b"}), node()), "not allowed to update configSource to a new non-nil"),
    (attempt(NODES, node({"node-restriction.kubernetes.io/a": "b"})),
     'node "n1" is not allowed to set the following labels: node-restriction.kubernetes.io/a'),
    (attempt(NODES, node({"x.node-restriction.kubernetes.io/a": "b", "k8s.io/role": "x"}), node()),
     "is not allowed to modify labels: k8s.io/role, x.node-restriction.kubernetes.io/a"),
    (attempt(NODES, node(), node({"node-role.kubernetes.io/control-plane": ""}), subresource="status"),
     "is not allowed to modify labels: node-role.kubernetes.io/control-plane"),
    (attempt(LEASES, {}, name="n2", **LEASE), "can only access node lease with the same name as the requesting node"),
    (attempt(LEASES, {}), 'can only access leases in the "kube-node-lease" system namespace'),
    (attempt(CSI_NODES, {}, name="n2"), "can only access CSINode with the same name as the requesting node"),
    (attempt(PODS, pod("n2"), pod("n2"), subresource="status"),
     'node "n1" can only update pod status for pods with spec.nodeName set to itself'),
    (attempt(PODS, pod(labels={"a": "b"}), pod(), subresource="status"),
     'node "n1" cannot update labels through pod status'),
    (attempt(PODS, pod(resourceClaimStatuses=[{"name": "a"}]), pod(), subresource="status"),
     'node "n1" cannot update resource claim statues'),
    (attempt(PODS, pod(), pod()), 'unexpected operation "UPDATE", node "n1" can only create and delete mirror pods'),
    (attempt(PODS, pod(), pod(), subresource="resize"), 'unexpected pod subresource "resize"'),
    (attempt(PODS, None, pod("n2")), 'node "n1" can only delete pods with spec.nodeName set to itself'),
    (attempt(PODS, {}, subresource="eviction", name="theirs"), "node n1 can only evict pods with spec.nodeName set to"),
    (attempt(PODS, pod()), 'pod does not have "kubernetes.io/config.mirror" annotation, node "n1" can only create mirror'),
    (attempt(PODS, mirror(on="n2")), 'node "n1" can only create pods with spec.nodeName set to itself'),
    (attempt(PODS, mirror({**OWNER, "name": "n2"})), "can only create pods with an owner reference set to itself"),
    (attempt(PODS, mirror(OWNER, OWNER)), "can only create pods with a single owner reference set to itself"),
    (attempt(PODS, mirror({**OWNER, "controller": False})), "can only create pods with a controller owner reference set"),
    (attempt(PODS, mirror({**OWNER, "blockOwnerDeletion": True})), "must not set blockOwnerDeletion on an owner"),
    (attempt(PODS, mirror({**OWNER, "uid": "x"})), "node n1 UID mismatch: expected x got node-uid"),
    (attempt(PODS, mirror(serviceAccountName="a")), 'node "n1" can not create pods that reference a service account'),
    (attempt(PODS, mirror(imagePullSecrets=[{"name": "a"}])), 'node "n1" can not create pods that reference secrets'),
    (attempt(PODS, mirror(volumes=[{"name": "v", "configMap": {"name": "a"}}])), "that reference configmaps"),
    (attempt(PODS, mirror(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "a"}}])),
     "that reference persistentvolumeclaims"),
    (attempt(PODS, mirror(volumes=[{"name": "v", "projected": {"sources": [{"clusterTrustBundle": {}}]}}])),
     "that reference clustertrustbundles"),
    (token("theirs"), "node requested token bound to a pod scheduled on a different node"),
    (token("mine", uid="x"), "the UID in the bound object reference (x) does not match the UID in record."),
    (token("mine", uid=""), "node requested token with a pod binding without a uid"),
    (token("mine", kind="Secret"), "node requested token not bound to a pod"),
    (token("mine", audiences=("bank",)), 'audience "bank" not found in pod spec volume'),
    (token("mine", audiences=("", "vault")), "node may only request 0 or 1 audiences"),
    (token("csi"), 'audience "" not found in pod spec volume'),
    (attempt(SERVICE_ACCOUNTS, {"spec": {}}, subresource="token"), "node requested token not bound to a pod"),
    (attempt(PERSISTENT_VOLUME_CLAIMS, claim(), claim()), "may only update PVC status"),
    (attempt(PERSISTENT_VOLUME_CLAIMS, claim({"a": "b"}), claim(), subresource="status"),
     'node "n1" is not allowed to update fields other than status.quantity and status.conditions'),
    (attempt(PERSISTENT_VOLUME_CLAIMS, claim(phase="Lost"), claim(), subresource="status"),
     'node "n1" is not allowed to update fields other than status.quantity and status.conditions'),
    (certificate("system:node:n2"), "can only create a node CSR with CN=system:node:n1"),
    (certificate("system:node:n2", "kubernetes.io/kubelet-serving"), "can only create a node CSR with CN=system:node:n1"),
    (attempt(PODS, None, pod(), user=User("x", ("system:nodes",))), 'could not determine node from user "x"'),
]  # fmt: skip


@pytest.mark.parametrize("tried", OWN)
async def test_a_node_writes_what_is_its_own(tried: Attempt) -> None:
    await admit(tried)


@pytest.mark.parametrize(("tried", "text"), OTHERS)
async def test_a_node_writes_nothing_else(tried: Attempt, text: str) -> None:
    with pytest.raises(Forbidden) as caught:
        await admit(tried)
    assert text in caught.value.message
