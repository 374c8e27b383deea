"""Every kind of networking, RBAC, certificates, storage, scheduling, node, admission, aggregation and flow control:
made, shown and changed with the upstream kubectl. Columns are those of k8s.io/kubernetes/pkg/printers/internalversion
and k8s.io/kube-aggregator/pkg/registry/apiservice, wording is that of each group's validation."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.harness.apiserver import ApiServer
from tests.harness.eventually import eventually
from tests.harness.upstream import Kubectl

RBAC = "rbac.authorization.k8s.io"
RULE = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}
HOOK = {
    "name": "a.example.com",
    "clientConfig": {"url": "https://127.0.0.1:1/"},
    "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
}
MATCH = {
    "resourceRules": [
        {"operations": ["CREATE"], "apiGroups": ["x.example.com"], "apiVersions": ["v1"], "resources": ["y"]}
    ]
}

# (resource, apiVersion, kind, all but apiVersion, kind and metadata, the heading and the cells of `get -o wide`)
KINDS: list[tuple[str, str, str, dict[str, Any], str, str]] = [
    (
        "ingresses", "networking.k8s.io/v1", "Ingress",
        {"spec": {"ingressClassName": "nginx", "tls": [{"hosts": ["a.com"]}], "rules": [
            {"host": h, "http": {"paths": [{"path": "/", "pathType": "Prefix",
             "backend": {"service": {"name": "web", "port": {"number": 80}}}}]}} for h in ("a.com", "*.b.com")]}},
        "NAME|CLASS|HOSTS|ADDRESS|PORTS|AGE", "nginx|a.com,*.b.com||80, 443|AGE",
    ),
    (
        "ingressclasses", "networking.k8s.io/v1", "IngressClass",
        {"spec": {"controller": "example.com/ctl", "parameters": {"apiGroup": "k.example.com", "kind": "P", "name": "p"}}},
        "NAME|CONTROLLER|PARAMETERS|AGE", "example.com/ctl|P.k.example.com/p|AGE",
    ),
    (
        "networkpolicies", "networking.k8s.io/v1", "NetworkPolicy",
        {"spec": {"podSelector": {"matchLabels": {"a": "b"}}, "ingress": [{"ports": [{"port": 80}]}]}},
        "NAME|POD-SELECTOR|AGE", "a=b|AGE",
    ),
    (
        "servicecidrs", "networking.k8s.io/v1", "ServiceCIDR", {"spec": {"cidrs": ["10.200.0.0/24"]}},
        "NAME|CIDRS|AGE", "10.200.0.0/24|AGE",
    ),
    ("roles", f"{RBAC}/v1", "Role", {"rules": [RULE]}, "NAME|CREATED AT", "TIME"),
    ("clusterroles", f"{RBAC}/v1", "ClusterRole", {"rules": [RULE]}, "NAME|CREATED AT", "TIME"),
    (
        "rolebindings", f"{RBAC}/v1", "RoleBinding",
        {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}, {"kind": "Group", "name": "g"},
         {"kind": "ServiceAccount", "name": "s", "namespace": "n"}]},
        "NAME|ROLE|AGE|USERS|GROUPS|SERVICEACCOUNTS", "Role/r|AGE|u|g|n/s",
    ),
    (
        "clusterrolebindings", f"{RBAC}/v1", "ClusterRoleBinding",
        {"roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]},
        "NAME|ROLE|AGE|USERS|GROUPS|SERVICEACCOUNTS", "ClusterRole/r|AGE|u||",
    ),
    (
        "storageclasses", "storage.k8s.io/v1", "StorageClass", {"provisioner": "example.com/disk"},
        "NAME|PROVISIONER|RECLAIMPOLICY|VOLUMEBINDINGMODE|ALLOWVOLUMEEXPANSION|AGE",
        "example.com/disk|Delete|Immediate|false|AGE",
    ),
    (
        "volumeattachments", "storage.k8s.io/v1", "VolumeAttachment",
        {"spec": {"attacher": "disk.example.com", "nodeName": "n1", "source": {"persistentVolumeName": "pv1"}}},
        "NAME|ATTACHER|PV|NODE|ATTACHED|AGE", "disk.example.com|pv1|n1|false|AGE",
    ),
    (
        "csidrivers", "storage.k8s.io/v1", "CSIDriver", {"spec": {}},
        "NAME|ATTACHREQUIRED|PODINFOONMOUNT|STORAGECAPACITY|TOKENREQUESTS|REQUIRESREPUBLISH|MODES|AGE",
        "true|false|false|<unset>|false|Persistent|AGE",
    ),
    (
        "csinodes", "storage.k8s.io/v1", "CSINode",
        {"spec": {"drivers": [{"name": "disk.example.com", "nodeID": "n1"}]}}, "NAME|DRIVERS|AGE", "1|AGE",
    ),
    (
        "csistoragecapacities", "storage.k8s.io/v1", "CSIStorageCapacity", {"storageClassName": "fast", "capacity": "1Gi"},
        "NAME|STORAGECLASSNAME|CAPACITY", "fast|1Gi",
    ),
    (
        "volumeattributesclasses", "storage.k8s.io/v1", "VolumeAttributesClass",
        {"driverName": "disk.example.com", "parameters": {"iops": "10"}}, "NAME|DRIVERNAME|AGE", "disk.example.com|AGE",
    ),
    (
        "priorityclasses", "scheduling.k8s.io/v1", "PriorityClass", {"value": 1000},
        "NAME|VALUE|GLOBAL-DEFAULT|AGE|PREEMPTIONPOLICY", "1000|false|AGE|PreemptLowerPriority",
    ),
    ("runtimeclasses", "node.k8s.io/v1", "RuntimeClass", {"handler": "runc"}, "NAME|HANDLER|AGE", "runc|AGE"),
    (
        "validatingwebhookconfigurations", "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration",
        {"webhooks": [HOOK]}, "NAME|WEBHOOKS|AGE", "1|AGE",
    ),
    (
        "mutatingwebhookconfigurations", "admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration",
        {"webhooks": [HOOK]}, "NAME|WEBHOOKS|AGE", "1|AGE",
    ),
    (
        "validatingadmissionpolicies", "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy",
        {"spec": {"matchConstraints": MATCH, "validations": [{"expression": "true"}]}},
        "NAME|VALIDATIONS|PARAMKIND|AGE", "1|<unset>|AGE",
    ),
    (
        "validatingadmissionpolicybindings", "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding",
        {"spec": {"policyName": "p", "validationActions": ["Deny"]}},
        "NAME|POLICYNAME|PARAMREF|AGE", "p|<unset>|AGE",
    ),
    (
        "mutatingadmissionpolicies", "admissionregistration.k8s.io/v1beta1", "MutatingAdmissionPolicy",
        {"spec": {"matchConstraints": MATCH, "reinvocationPolicy": "Never", "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}}]}},
        "NAME|MUTATIONS|PARAMKIND|AGE", "1|<unset>|AGE",
    ),
    (
        "mutatingadmissionpolicybindings", "admissionregistration.k8s.io/v1beta1", "MutatingAdmissionPolicyBinding",
        {"spec": {"policyName": "p"}}, "NAME|POLICYNAME|PARAMREF|AGE", "p|<unset>|AGE",
    ),
    (
        "flowschemas", "flowcontrol.apiserver.k8s.io/v1", "FlowSchema",
        {"spec": {"priorityLevelConfiguration": {"name": "exempt"}}},
        "NAME|PRIORITYLEVEL|MATCHINGPRECEDENCE|DISTINGUISHERMETHOD|AGE|MISSINGPL", "exempt|1000|<none>|AGE|.*",
    ),
    (
        "prioritylevelconfigurations", "flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration",
        {"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}},
        "NAME|TYPE|NOMINALCONCURRENCYSHARES|QUEUES|HANDSIZE|QUEUELENGTHLIMIT|AGE", "Limited|30|64|8|50|AGE",
    ),
    (
        "endpointslices", "discovery.k8s.io/v1", "EndpointSlice",
        {"addressType": "IPv4", "endpoints": [{"addresses": ["10.9.8.7"]}], "ports": [{"port": 80}]},
        "NAME|ADDRESSTYPE|PORTS|ENDPOINTS|AGE", "IPv4|80|10.9.8.7|AGE",
    ),
    (
        "leases", "coordination.k8s.io/v1", "Lease", {"spec": {"holderIdentity": "me", "leaseDurationSeconds": 5}},
        "NAME|HOLDER|AGE", "me|AGE",
    ),
]  # fmt: skip
NOT_VALUES = {"AGE": r"\d+s", "TIME": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", ".*": "[?a-zA-Z]+"}


def table(lines: list[str]) -> list[list[str]]:
    """The columns of what `kubectl get` prints, cut where the headings begin."""
    starts = [match.start() for match in re.finditer(r"(?<!\S)\S+(?: \S+)*", lines[0])]
    return [[line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)] for line in lines]


def manifests(name: str, kinds: Iterable[str] = ()) -> str:
    """One object of each kind, as a stream of documents."""
    return "\n---\n".join(
        json.dumps({"apiVersion": version, "kind": kind, "metadata": {"name": name}, **body})
        for resource, version, kind, body, _, _ in KINDS
        if not kinds or resource in kinds
    )


def test_each_kind_is_made_shown_and_changed(kubectl: Kubectl) -> None:
    name = f"t{time.monotonic_ns() % 10**9}.example.com"
    everything = manifests(name)
    try:
        kubectl.run("create", "-f", "-", stdin=everything).ok()
        for resource, version, _, _, headings, cells in KINDS:
            shown = kubectl.run("get", f"{resource}.{version.partition('/')[0]}", name, "-o", "wide").ok()
            heading, row = table(shown.lines)
            assert heading == headings.split("|")
            for found, wanted in zip(row, [name, *cells.split("|")], strict=True):
                pattern = NOT_VALUES.get(wanted) or re.escape(wanted)
                assert re.fullmatch(pattern, found), f"{found} is not {wanted} in {row} of {resource}"
        assert len(kubectl.run("label", "-f", "-", "tier=gold", stdin=everything).ok().lines) == len(KINDS)
        kubectl.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=everything).ok()
    finally:
        kubectl.run("delete", "--wait=false", "--ignore-not-found", "-f", "-", stdin=everything).ok()


FIXED = [
    ("storageclasses", {"provisioner": "other.example.com/x"}, "updates to provisioner are forbidden."),
    ("storageclasses", {"volumeBindingMode": "WaitForFirstConsumer"}, "field is immutable"),
    ("priorityclasses", {"value": 5}, "may not be changed in an update."),
    ("runtimeclasses", {"handler": "other"}, "field is immutable"),
    ("ingressclasses", {"spec": {"controller": "example.com/b"}}, "field is immutable"),
    ("volumeattachments", {"spec": {"nodeName": "n2"}}, "field is immutable"),
    ("servicecidrs", {"spec": {"cidrs": ["10.201.0.0/24"]}}, "field is immutable"),
    ("csistoragecapacities", {"storageClassName": "slow"}, "field is immutable"),
    ("endpointslices", {"addressType": "IPv6"}, "addressType: Invalid value:"),
    ("rolebindings", {"roleRef": {"name": "other"}}, "cannot change roleRef"),
    ("volumeattributesclasses", {"driverName": "x.example.com"}, "updates to driverName are forbidden."),
    ("csidrivers", {"spec": {"attachRequired": False}}, "spec.attachedRequired: Invalid value: false: field is"),
]


def test_what_may_not_change_does_not(kubectl: Kubectl) -> None:
    name = f"t{time.monotonic_ns() % 10**9}.example.com"
    some = manifests(name, {resource for resource, _, _ in FIXED})
    kubectl.run("create", "-f", "-", stdin=some).ok()
    try:
        for resource, change, message in FIXED:
            refused = kubectl.run("patch", resource, name, "--type=merge", "-p", json.dumps(change)).failed()
            assert message in refused.stderr
    finally:
        kubectl.run("delete", "--wait=false", "--ignore-not-found", "-f", "-", stdin=some).ok()


# --- what is there from the start --------------------------------------------------------------------------


async def test_a_cluster_has_its_classes_levels_and_api_services(kubectl: Kubectl) -> None:
    """https://kubernetes.io/docs/concepts/cluster-administration/flow-control/ and .../pod-priority-preemption/"""

    def there() -> bool:
        rows = {row[0]: row[1:] for row in table(kubectl.run("get", "flowschemas").ok().lines)}
        assert rows["catch-all"][:3] == ["catch-all", "10000", "ByUser"]
        assert rows["exempt"][4] == "False"
        assert list(rows)[1:3] == ["exempt", "probes"], "by precedence, as printers.go sorts them"
        apis = {row[0]: row[1:] for row in table(kubectl.run("get", "apiservices").ok().lines)}
        assert apis["v1."][:2] == apis["v1.apps"][:2] == apis["v2.autoscaling"][:2] == ["Local", "True"]
        assert "v1.apiregistration.k8s.io" not in apis
        addresses = kubectl.run("get", "ip").ok().lines
        assert re.search(r"^10\.96\.0\.1 +services/default/kubernetes$", "\n".join(addresses), re.MULTILINE)
        return True

    assert await eventually(there, "flow schemas, API services and addresses are there")
    classes = {row[0]: row[1] for row in table(kubectl.run("get", "pc").ok().lines)}
    assert classes["system-node-critical"] == "2000001000"
    levels = kubectl.run("get", "prioritylevelconfigurations", "-o", "name").ok().lines
    assert len(levels) >= 8
    kubectl.run("wait", "--for=condition=Ready", "servicecidr/kubernetes", "--timeout=10s").ok()


async def test_an_address_follows_its_service_and_another_holder_keeps_services_off(kubectl: Kubectl) -> None:
    """KEP-1880: an IPAddress stands for each cluster IP, and one of another parent reserves it."""
    kubectl.run("create", "service", "clusterip", "web", "--tcp=80").ok()
    address = kubectl.run("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}").ok().stdout
    parent = "jsonpath={.spec.parentRef.namespace}/{.spec.parentRef.name}"

    def shown() -> bool:
        return kubectl.run("get", "ip", address, "-o", parent).ok().stdout == f"{kubectl.namespace}/web"

    assert await eventually(shown, "the address of the service")
    kubectl.run("delete", "service", "web").ok()
    kubectl.run("wait", "--for=delete", f"ip/{address}", "--timeout=10s").ok()
    reserved = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {"name": address},
        "spec": {"parentRef": {"group": "gateway.example.com", "resource": "gateways", "name": "g"}},
    }
    kubectl.run("create", "-f", "-", stdin=reserved).ok()
    refused = kubectl.run("create", "service", "clusterip", "web", "--tcp=80", f"--clusterip={address}").failed()
    assert "provided IP is already allocated" in refused.stderr
    kubectl.run("delete", "ip", address).ok()
    kubectl.run("create", "service", "clusterip", "web", "--tcp=80", f"--clusterip={address}").ok()


async def test_a_further_range_gives_addresses_and_stays_while_they_are_used(kubectl: Kubectl) -> None:
    """https://kubernetes.io/docs/tasks/network/extend-service-ip-ranges/"""
    ranges = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": "more"},
        "spec": {"cidrs": ["10.210.0.0/24"]},
    }
    kubectl.run("create", "-f", "-", stdin=ranges).ok()
    kubectl.run("wait", "--for=condition=Ready", "servicecidr/more", "--timeout=10s").ok()
    kubectl.run("create", "service", "clusterip", "far", "--tcp=80", "--clusterip=10.210.0.5").ok()
    await eventually(lambda: kubectl.run("get", "ip", "10.210.0.5").ok(), "the address of the service")
    kubectl.run("delete", "servicecidr", "more", "--wait=false").ok()
    kubectl.run("wait", "--for=condition=Ready=False", "servicecidr/more", "--timeout=10s").ok()
    kubectl.run("delete", "service", "far").ok()
    kubectl.run("wait", "--for=delete", "servicecidr/more", "--timeout=10s").ok()


def test_a_pod_gets_the_priority_of_its_class_or_of_the_default(kubectl: Kubectl) -> None:
    """https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/"""

    def made(name: str, **spec: Any) -> tuple[str, str]:
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
        }
        kubectl.run("create", "-f", "-", stdin=pod).ok()
        found = kubectl.run("get", "pod", name, "-o", "json").ok().json["spec"]
        return found.get("priorityClassName", ""), str(found["priority"])

    assert made("plain") == ("", "0")
    kubectl.run("create", "priorityclass", "vip", "--value=77", "--preemption-policy=Never").ok()
    try:
        assert made("vip", priorityClassName="vip") == ("vip", "77")
        kubectl.run("patch", "pc", "vip", "-p", '{"globalDefault": true}').ok()
        assert made("by-default") == ("vip", "77")
        second = kubectl.run("create", "priorityclass", "other", "--value=1", "--global-default=true").failed()
        assert "PriorityClass vip is already marked as default. Only one default can exist" in second.stderr
    finally:
        kubectl.run("delete", "pc", "vip").ok()


# --- certificate signing requests --------------------------------------------------------------------------


def signing_request(name: str, signer: str, organization: str = "devs") -> dict[str, Any]:
    subject = [
        x509.NameAttribute(NameOID.COMMON_NAME, "jane"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
    ]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(subject))
    pem = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(
        serialization.Encoding.PEM
    )
    request = base64.b64encode(pem).decode()
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {"request": request, "signerName": signer, "usages": ["client auth"], "expirationSeconds": 7200},
    }


def test_certificate_requests_are_approved_and_denied(kubectl: Kubectl) -> None:
    """https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/"""
    signer = "example.com/client"
    for name in ("good", "bad"):
        kubectl.run("create", "-f", "-", stdin=signing_request(name, signer)).ok()
    try:
        heading, row = table(kubectl.run("get", "csr", "good").ok().lines)
        assert heading == ["NAME", "AGE", "SIGNERNAME", "REQUESTOR", "REQUESTEDDURATION", "CONDITION"]
        assert row[2:] == [signer, "kubernetes-admin", "120m", "Pending"]
        assert kubectl.run("certificate", "approve", "good").ok().stdout == (
            "certificatesigningrequest.certificates.k8s.io/good approved\n"
        )
        kubectl.run("certificate", "deny", "bad").ok()
        shown = {r[0]: r[-1] for r in table(kubectl.run("get", "csr").ok().lines)}
        assert (shown["good"], shown["bad"]) == ("Approved", "Denied")
        spec = kubectl.run("get", "csr", "good", "-o", "json").ok().json
        assert "system:masters" in spec["spec"]["groups"]
        condition = spec["status"]["conditions"][0]
        assert {"lastTransitionTime", "lastUpdateTime"} <= condition.keys()
        again = json.dumps({"status": {"conditions": [{"type": t, "status": "True"} for t in ("Denied", "Approved")]}})
        both = kubectl.run("patch", "csr", "bad", "--type=merge", "--subresource=approval", "-p", again).failed()
        assert "Approved and Denied conditions are mutually exclusive" in both.stderr
        by_field = kubectl.run("get", "csr", f"--field-selector=spec.signerName={signer}", "-o", "name").ok().lines
        assert len(by_field) == 2
    finally:
        kubectl.run("delete", "csr", "good", "bad").ok()


def test_a_request_keeps_its_spec_and_only_grants_open_its_doors(kubectl: Kubectl, apiserver: ApiServer) -> None:
    """The strategies of k8s.io/kubernetes/pkg/registry/certificates, and CertificateSubjectRestriction."""
    kubectl.run("create", "-f", "-", stdin=signing_request("kept", "example.com/client")).ok()
    try:
        kubectl.run("patch", "csr", "kept", "--type=merge", "-p", '{"spec": {"usages": ["any"]}}').ok()
        usages = kubectl.run("get", "csr", "kept", "-o", "jsonpath={.spec.usages}").ok().stdout
        assert usages == '["client auth"]'
        status = '{"status": {"certificate": "bm8="}}'
        refused = kubectl.run("patch", "csr", "kept", "--type=merge", "--subresource=status", "-p", status).failed()
        assert 'status.certificate: Invalid value: "<certificate data>": must contain at least one' in refused.stderr
    finally:
        kubectl.run("delete", "csr", "kept").ok()
    rooty = signing_request("rooty", "kubernetes.io/kube-apiserver-client", "system:masters")
    refused = kubectl.run("create", "-f", "-", stdin=rooty).failed()
    assert (
        "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed" in refused.stderr
    )
    broken = signing_request("broken", "example.com/client")
    broken["spec"]["request"] = base64.b64encode(b"hello").decode()
    refused = kubectl.run("create", "-f", "-", stdin=broken).failed()
    assert "PEM block type must be CERTIFICATE REQUEST" in refused.stderr


def test_a_review_must_ask_one_question(kubectl: Kubectl) -> None:
    """k8s.io/kubernetes/pkg/apis/authorization/validation and pkg/registry/authentication/tokenreview"""

    def refused(kind: str, spec: dict[str, Any], group: str = "authorization.k8s.io") -> str:
        review = {"apiVersion": f"{group}/v1", "kind": kind, "spec": spec}
        return kubectl.run("create", "--validate=false", "-f", "-", stdin=review).failed().stderr

    resource, other = {"verb": "get", "resource": "pods"}, {"verb": "get", "path": "/"}
    assert "exactly one of nonResourceAttributes or resourceAttributes must be specified" in refused(
        "SelfSubjectAccessReview", {}
    )
    both = {"resourceAttributes": resource, "nonResourceAttributes": other}
    assert "cannot be specified in combination with resourceAttributes" in refused("SelfSubjectAccessReview", both)
    nobody = {"resourceAttributes": resource}
    assert "at least one of user or group must be specified" in refused("SubjectAccessReview", nobody)
    elsewhere = {"user": "u", "resourceAttributes": {**resource, "namespace": "elsewhere"}}
    assert "must match metadata.namespace" in refused("LocalSubjectAccessReview", elsewhere)
    assert "token is required for TokenReview in authentication" in refused("TokenReview", {}, "authentication.k8s.io")
