"""Certificates, ephemeral containers, server-side apply and the whole table of resources, with upstream's kubectl."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.harness.upstream import Kubectl
from tests.integration.manifests import config_map, deployment, pod

# `kubectl api-resources` of a cluster of v1.35 with the default API groups: plural, short names, version, namespaced,
# kind. https://kubernetes.io/docs/reference/kubectl/#resource-types
RESOURCES = """
bindings v1 true Binding
componentstatuses cs v1 false ComponentStatus
configmaps cm v1 true ConfigMap
endpoints ep v1 true Endpoints
events ev v1 true Event
limitranges limits v1 true LimitRange
namespaces ns v1 false Namespace
nodes no v1 false Node
persistentvolumeclaims pvc v1 true PersistentVolumeClaim
persistentvolumes pv v1 false PersistentVolume
pods po v1 true Pod
podtemplates v1 true PodTemplate
replicationcontrollers rc v1 true ReplicationController
resourcequotas quota v1 true ResourceQuota
secrets v1 true Secret
serviceaccounts sa v1 true ServiceAccount
services svc v1 true Service
mutatingadmissionpolicies admissionregistration.k8s.io/v1beta1 false MutatingAdmissionPolicy
mutatingadmissionpolicybindings admissionregistration.k8s.io/v1beta1 false MutatingAdmissionPolicyBinding
mutatingwebhookconfigurations admissionregistration.k8s.io/v1 false MutatingWebhookConfiguration
validatingadmissionpolicies admissionregistration.k8s.io/v1 false ValidatingAdmissionPolicy
validatingadmissionpolicybindings admissionregistration.k8s.io/v1 false ValidatingAdmissionPolicyBinding
validatingwebhookconfigurations admissionregistration.k8s.io/v1 false ValidatingWebhookConfiguration
customresourcedefinitions crd,crds apiextensions.k8s.io/v1 false CustomResourceDefinition
apiservices apiregistration.k8s.io/v1 false APIService
controllerrevisions apps/v1 true ControllerRevision
daemonsets ds apps/v1 true DaemonSet
deployments deploy apps/v1 true Deployment
replicasets rs apps/v1 true ReplicaSet
statefulsets sts apps/v1 true StatefulSet
selfsubjectreviews authentication.k8s.io/v1 false SelfSubjectReview
tokenreviews authentication.k8s.io/v1 false TokenReview
localsubjectaccessreviews authorization.k8s.io/v1 true LocalSubjectAccessReview
selfsubjectaccessreviews authorization.k8s.io/v1 false SelfSubjectAccessReview
selfsubjectrulesreviews authorization.k8s.io/v1 false SelfSubjectRulesReview
subjectaccessreviews authorization.k8s.io/v1 false SubjectAccessReview
horizontalpodautoscalers hpa autoscaling/v2 true HorizontalPodAutoscaler
cronjobs cj batch/v1 true CronJob
jobs batch/v1 true Job
certificatesigningrequests csr certificates.k8s.io/v1 false CertificateSigningRequest
leases coordination.k8s.io/v1 true Lease
endpointslices discovery.k8s.io/v1 true EndpointSlice
events ev events.k8s.io/v1 true Event
flowschemas flowcontrol.apiserver.k8s.io/v1 false FlowSchema
prioritylevelconfigurations flowcontrol.apiserver.k8s.io/v1 false PriorityLevelConfiguration
ingressclasses networking.k8s.io/v1 false IngressClass
ingresses ing networking.k8s.io/v1 true Ingress
ipaddresses ip networking.k8s.io/v1 false IPAddress
networkpolicies netpol networking.k8s.io/v1 true NetworkPolicy
servicecidrs networking.k8s.io/v1 false ServiceCIDR
runtimeclasses node.k8s.io/v1 false RuntimeClass
poddisruptionbudgets pdb policy/v1 true PodDisruptionBudget
clusterrolebindings rbac.authorization.k8s.io/v1 false ClusterRoleBinding
clusterroles rbac.authorization.k8s.io/v1 false ClusterRole
rolebindings rbac.authorization.k8s.io/v1 true RoleBinding
roles rbac.authorization.k8s.io/v1 true Role
priorityclasses pc scheduling.k8s.io/v1 false PriorityClass
csidrivers storage.k8s.io/v1 false CSIDriver
csinodes storage.k8s.io/v1 false CSINode
csistoragecapacities storage.k8s.io/v1 true CSIStorageCapacity
storageclasses sc storage.k8s.io/v1 false StorageClass
volumeattachments storage.k8s.io/v1 false VolumeAttachment
volumeattributesclasses vac storage.k8s.io/v1 false VolumeAttributesClass
"""


def test_every_resource_is_there(kubectl: Kubectl) -> None:
    shown = {tuple(line.split()) for line in kubectl.run("api-resources", "--no-headers").ok().lines}
    assert {tuple(line.split()) for line in RESOURCES.split("\n") if line} <= shown
    versions = kubectl.run("api-versions").ok().lines
    assert versions == sorted(versions) and {"autoscaling/v1", "autoscaling/v2", "events.k8s.io/v1"} <= set(versions)
    extensions = kubectl.run("api-resources", "--categories=api-extensions", "-o", "name").ok().lines
    assert {"customresourcedefinitions.apiextensions.k8s.io", "apiservices.apiregistration.k8s.io"} <= set(extensions)


def _request(name: str) -> dict[str, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    signed = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = signed.public_bytes(serialization.Encoding.PEM)
    spec = {
        "request": base64.b64encode(pem).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
    }
    return {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
            "spec": spec}  # fmt: skip


def test_certificates_are_approved_and_denied(kubectl: Kubectl) -> None:
    """https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/"""
    good, bad = (f"{kubectl.namespace}-{end}"[-60:].strip("-") for end in ("good", "bad"))
    kubectl.run("create", "-f", "-", stdin=_request(good)).ok()
    kubectl.run("create", "-f", "-", stdin=_request(bad)).ok()
    assert kubectl.run("get", "csr", good).ok().lines[1].split()[-1] == "Pending"
    said = kubectl.run("certificate", "approve", good).ok().stdout
    assert said == f"certificatesigningrequest.certificates.k8s.io/{good} approved\n"
    said = kubectl.run("certificate", "deny", bad).ok().stdout
    assert said == f"certificatesigningrequest.certificates.k8s.io/{bad} denied\n"
    header, line = kubectl.run("get", "csr", good).ok().lines
    assert header.split() == ["NAME", "AGE", "SIGNERNAME", "REQUESTOR", "REQUESTEDDURATION", "CONDITION"]
    assert line.split()[2:] == ["kubernetes.io/kube-apiserver-client", "kubernetes-admin", "<none>", "Approved"]
    assert kubectl.run("get", "csr", bad).ok().lines[1].split()[-1] == "Denied"
    live = kubectl.run("get", "csr", good, "-o", "json").ok().json
    assert live["status"]["conditions"][0]["reason"] == "KubectlApprove"
    assert live["spec"]["username"] == "kubernetes-admin" and "system:masters" in live["spec"]["groups"]
    changed = kubectl.run("certificate", "deny", good).failed()
    assert changed.stderr == f'error: certificate signing request "{good}" is already Approved\n'
    missing = kubectl.run("certificate", "approve", "nobody").failed()
    assert 'certificatesigningrequests.certificates.k8s.io "nobody" not found' in missing.stderr
    for name in (good, bad):
        kubectl.run("delete", "csr", name).ok()


def test_debug_adds_an_ephemeral_container(kubectl: Kubectl) -> None:
    """https://kubernetes.io/docs/tasks/debug/debug-application/debug-running-pod/#ephemeral-container"""
    kubectl.run("create", "-f", "-", stdin=pod("p")).ok()
    added = kubectl.run(
        "debug", "p", "--image=busybox", "--target=main", "--attach=false", "--container=spy", "--", "sh"
    )
    assert added.ok().stdout.startswith('Targeting container "main".')
    spec = kubectl.run("get", "pod", "p", "-o", "json").ok().json["spec"]
    (spy,) = spec["ephemeralContainers"]
    assert (spy["name"], spy["image"], spy["targetContainerName"]) == ("spy", "busybox", "main")
    copied = kubectl.run("debug", "p", "--copy-to=q", "--image=busybox", "--attach=false", "--container=spy").ok()
    assert copied.code == 0
    names = kubectl.run("get", "pod", "q", "-o", "jsonpath={.spec.containers[*].name}").ok().stdout
    assert names == "main spy"


def test_two_managers_share_an_object(kubectl: Kubectl, tmp_path: Path) -> None:
    """https://kubernetes.io/docs/reference/using-api/server-side-apply/"""
    file = tmp_path / "d.json"

    def apply(obj: object, *more: str) -> Any:
        file.write_text(json.dumps(obj))
        return kubectl.run("apply", "--server-side", "-f", str(file), *more)

    assert apply(deployment("shop")).ok().stdout == "deployment.apps/shop serverside-applied\n"
    mine = deployment("shop", replicas=5)
    refused = apply(mine, "--field-manager=scaler").failed()
    assert refused.stderr.startswith(
        'error: Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas\n'
        "Please review the fields above--they currently have other managers."
    ), refused.stderr
    forced = apply(mine, "--field-manager=scaler", "--force-conflicts").ok()
    assert forced.stdout == "deployment.apps/shop serverside-applied\n"
    theirs = deployment("shop")
    del theirs["spec"]["replicas"]
    assert apply(theirs).ok()
    assert kubectl.run("get", "deployment", "shop", "-o", "jsonpath={.spec.replicas}").ok().stdout == "5"
    diff = kubectl.run("diff", "--server-side", "--field-manager=scaler", "-f", str(file))
    assert diff.code in (0, 1)
    shown = kubectl.run("get", "deployment", "shop", "-o", "json", "--show-managed-fields").ok().json
    assert {entry["manager"] for entry in shown["metadata"]["managedFields"]} >= {"kubectl", "scaler"}
    file.write_text(json.dumps(config_map("c", {"a": "b"})))
    kubectl.run("apply", "-f", str(file)).ok()
    moved = apply(config_map("c", {"a": "c"})).ok()
    assert moved.stdout == "configmap/c serverside-applied\n"


@pytest.mark.parametrize("verb", ["create", "apply", "patch", "delete", "scale", "label"])
def test_a_dry_run_changes_nothing(kubectl: Kubectl, verb: str) -> None:
    """https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run"""
    kubectl.run("create", "-f", "-", stdin=deployment("shop")).ok()
    before = kubectl.run("get", "deployments,cm", "-o", "json").ok().json
    words = {
        "create": ("cm", "x"),
        "apply": ("-f", "-"),
        "patch": ("deployment", "shop", "-p", '{"spec":{"replicas":9}}'),
        "delete": ("deployment", "shop"),
        "scale": ("deployment", "shop", "--replicas=9"),
        "label": ("deployment", "shop", "a=b"),
    }[verb]
    said = kubectl.run(verb, *words, "--dry-run=server", stdin=config_map("x")).ok().stdout
    assert "(server dry run)" in said or verb == "patch", said
    assert kubectl.run("get", "deployments,cm", "-o", "json").ok().json["items"] == before["items"]
