"""Defaults and rules of the smaller groups. Each row is one object and what upstream says of it.

Sources: k8s.io/kubernetes/pkg/apis/{networking,rbac,certificates,storage,scheduling,node,admissionregistration,flowcontrol,
discovery,coordination}/{v1/defaults.go,validation}, k8s.io/kube-aggregator/pkg/apis/apiregistration/validation.
"""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from api import builtin, objects
from api.errors import Invalid
from api.meta import Obj
from api.registry import Resource

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RBAC = "rbac.authorization.k8s.io"


def made(row: Resource, body: Obj, name: str = "a") -> Obj:
    obj = {"metadata": {"name": name}, **copy.deepcopy(body)}
    if row.namespaced:
        obj["metadata"]["namespace"] = "n"
    objects.for_create(row, obj, now=NOW)
    return obj


def refusals(row: Resource, body: Obj, name: str = "a", old: Obj | None = None) -> list[str]:
    try:
        objects.check(row, made(row, body, name), None if old is None else made(row, old, name))
    except Invalid as error:
        return [f"{cause['field']}: {cause['message']}" for cause in error.details["causes"]]
    return []


def set_at(obj: Obj, path: str, value: Any) -> Obj:
    """A copy with one field set, or removed with None."""
    obj = copy.deepcopy(obj)
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    at: Any = obj
    for step in way:
        at = at[step]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return obj


PATH = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "web", "port": {"number": 80}}}}
INGRESS: Obj = {"spec": {"rules": [{"host": "a.com", "http": {"paths": [PATH]}}]}}
AT_PATH = "spec.rules.0.http.paths.0"
CLASS: Obj = {"spec": {"controller": "example.com/c"}}
POLICY: Obj = {"spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 80}], "from": [{"podSelector": {}}]}]}}
ROLE: Obj = {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}
BINDING: Obj = {"roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "User", "name": "u"}]}
REQUEST: Obj = {"spec": {"request": "cg==", "signerName": "example.com/s", "usages": ["client auth"]}}
STORAGE: Obj = {"provisioner": "example.com/p"}
ATTACHMENT: Obj = {"spec": {"attacher": "a.com", "nodeName": "n", "source": {"persistentVolumeName": "pv"}}}
HOOK: Obj = {
    "name": "a.example.com", "clientConfig": {"url": "https://a.com/x"}, "sideEffects": "None",
    "admissionReviewVersions": ["v1"],
    "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
}  # fmt: skip
HOOKS: Obj = {"webhooks": [HOOK]}
VAP: Obj = {"spec": {"matchConstraints": {"resourceRules": HOOK["rules"]}, "validations": [{"expression": "true"}]}}
VAP_BINDING: Obj = {"spec": {"policyName": "p", "validationActions": ["Deny"]}}
FLOW_RULE: Obj = {
    "subjects": [{"kind": "User", "user": {"name": "u"}}],
    "resourceRules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["*"]}],
}
FLOW: Obj = {"spec": {"priorityLevelConfiguration": {"name": "p"}, "rules": [FLOW_RULE]}}
LEVEL: Obj = {"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}}
SLICE: Obj = {"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 1}]}
API: Obj = {"spec": {"group": "g.com", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1,
                     "service": {"namespace": "n", "name": "s"}}}  # fmt: skip
GOOD: list[tuple[Resource, Obj, str]] = [
    (builtin.INGRESSES, INGRESS, "a"), (builtin.INGRESS_CLASSES, CLASS, "a"), (builtin.NETWORK_POLICIES, POLICY, "a"),
    (builtin.ROLES, ROLE, "a"), (builtin.ROLE_BINDINGS, BINDING, "system:a"),
    (builtin.CERTIFICATE_SIGNING_REQUESTS, REQUEST, "Any_Name"), (builtin.STORAGE_CLASSES, STORAGE, "a"),
    (builtin.VOLUME_ATTACHMENTS, ATTACHMENT, "a"), (builtin.CSI_DRIVERS, {}, "a"), (builtin.CSI_NODES, {}, "a"),
    (builtin.VALIDATING_WEBHOOK_CONFIGURATIONS, HOOKS, "a"), (builtin.MUTATING_WEBHOOK_CONFIGURATIONS, HOOKS, "a"),
    (builtin.VALIDATING_ADMISSION_POLICIES, VAP, "a"),
    (builtin.VALIDATING_ADMISSION_POLICY_BINDINGS, VAP_BINDING, "a"), (builtin.FLOW_SCHEMAS, FLOW, "a"),
    (builtin.PRIORITY_LEVEL_CONFIGURATIONS, LEVEL, "a"), (builtin.ENDPOINT_SLICES, SLICE, "a"),
    (builtin.ENDPOINT_SLICES, {"addressType": "IPv6"}, "a"), (builtin.API_SERVICES, API, "v1.g.com"),
    (builtin.PRIORITY_CLASSES, {}, "a"), (builtin.LEASES, {}, "a"), (builtin.RUNTIME_CLASSES, {"handler": "h"}, "a"),
    (builtin.IP_ADDRESSES, {"spec": {"parentRef": {"resource": "services", "name": "s"}}}, "10.0.0.1"),
    (builtin.SERVICE_CIDRS, {"spec": {"cidrs": ["10.0.0.0/24", "fd00::/108"]}}, "a"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "body", "name"), GOOD, ids=[f"{r.plural}" for r, _, _ in GOOD])
def test_what_is_good_is_taken(row: Resource, body: Obj, name: str) -> None:
    assert refusals(row, body, name) == []
    assert refusals(row, body, name, old=body) == []


# (row, a good body, the field to set, its value, the name; what must be said)
BAD: list[tuple[Resource, Obj, str, Any, str]] = [
    (builtin.INGRESSES, INGRESS, "spec.rules", [],
     "spec: Invalid value: []: either `defaultBackend` or `rules` must be specified"),
    (builtin.INGRESSES, INGRESS, "spec.rules.0.host", "10.0.0.1",
     'spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address'),
    (builtin.INGRESSES, INGRESS, "spec.rules.0.host", "a.*.com",
     'spec.rules[0].host: Invalid value: "a.*.com": a wildcard DNS-1123 subdomain must start with \'*.\''),
    (builtin.INGRESSES, INGRESS, f"{AT_PATH}.pathType", None,
     "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"),
    (builtin.INGRESSES, INGRESS, f"{AT_PATH}.path", "x",
     'spec.rules[0].http.paths[0].path: Invalid value: "x": must be an absolute path'),
    (builtin.INGRESSES, INGRESS, f"{AT_PATH}.path", "/a//b",
     "spec.rules[0].http.paths[0].path: Invalid value: \"/a//b\": must not contain '//'"),
    (builtin.INGRESSES, INGRESS, f"{AT_PATH}.backend", {},
     'spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is required'),
    (builtin.INGRESSES, INGRESS, f"{AT_PATH}.backend.service.port", {},
     "spec.rules[0].http.paths[0].backend: Required value: port name or number is required"),
    (builtin.INGRESS_CLASSES, CLASS, "spec.controller", "c",
     'spec.controller: Invalid value: "c": must be a domain-prefixed path (such as "acme.io/foo")'),
    (builtin.INGRESS_CLASSES, CLASS, "spec.parameters", {"kind": "K", "name": "n", "scope": "Namespace"},
     "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"),
    (builtin.NETWORK_POLICIES, POLICY, "spec.ingress.0.ports.0.endPort", 79,
     "spec.ingress[0].ports[0].endPort: Invalid value: 80: must be greater than or equal to `port`"),
    (builtin.NETWORK_POLICIES, POLICY, "spec.ingress.0.from.0", {},
     "spec.ingress[0].from[0]: Required value: must specify a peer"),
    (builtin.NETWORK_POLICIES, POLICY, "spec.ingress.0.from.0.ipBlock", {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]},
     'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`'),
    (builtin.NETWORK_POLICIES, POLICY, "spec.policyTypes", ["Both"],
     'spec.policyTypes[0]: Unsupported value: "Both": supported values: "Ingress", "Egress"'),
    (builtin.ROLES, ROLE, "rules.0.verbs", None, "rules[0].verbs: Required value: verbs must contain at least one value"),
    (builtin.ROLES, ROLE, "rules.0.nonResourceURLs", ["/x"],
     'rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs'),
    (builtin.CLUSTER_ROLES, ROLE, "aggregationRule", {},
     "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if"),
    (builtin.ROLE_BINDINGS, BINDING, "roleRef.kind", "Rule",
     'roleRef.kind: Unsupported value: "Rule": supported values: "Role", "ClusterRole"'),
    (builtin.CLUSTER_ROLE_BINDINGS, BINDING, "roleRef.kind", "Role",
     'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"'),
    (builtin.ROLE_BINDINGS, BINDING, "subjects.0.kind", "Robot",
     'subjects[0].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"'),
    (builtin.CERTIFICATE_SIGNING_REQUESTS, REQUEST, "spec.usages", ["fishing"],
     'spec.usages[0]: Unsupported value: "fishing": supported values: "any", "cert sign"'),
    (builtin.CERTIFICATE_SIGNING_REQUESTS, REQUEST, "spec.signerName", "x",
     'spec.signerName: Invalid value: "x": must be a fully qualified domain and path of the form'),
    (builtin.CERTIFICATE_SIGNING_REQUESTS, REQUEST, "spec.expirationSeconds", 599,
     "spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)"),
    (builtin.STORAGE_CLASSES, STORAGE, "provisioner", None, "provisioner: Required value"),
    (builtin.STORAGE_CLASSES, STORAGE, "reclaimPolicy", "Recycle",
     'reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"'),
    (builtin.VOLUME_ATTACHMENTS, ATTACHMENT, "spec.source", {},
     "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"),
    (builtin.CSI_DRIVERS, {}, "spec", {"tokenRequests": [{}, {}]},
     'spec.tokenRequests[1].audience: Duplicate value: ""'),
    (builtin.CSI_NODES, {}, "spec", {"drivers": [{"name": "d.com"}]}, "spec.drivers[0].nodeID: Required value"),
    (builtin.VOLUME_ATTRIBUTES_CLASSES, {"driverName": "d.com"}, "parameters", {},
     "parameters: Required value: must contain at least one key/value pair"),
    (builtin.PRIORITY_CLASSES, {}, "value", 1000000001,
     "value: Forbidden: maximum allowed value of a user defined priority is 1000000000"),
    (builtin.VALIDATING_WEBHOOK_CONFIGURATIONS, HOOKS, "webhooks.0.name", "a.b",
     'webhooks[0].name: Invalid value: "a.b": should be a domain with at least three segments separated by dots'),
    (builtin.VALIDATING_WEBHOOK_CONFIGURATIONS, HOOKS, "webhooks.0.sideEffects", None,
     "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun"),
    (builtin.VALIDATING_WEBHOOK_CONFIGURATIONS, HOOKS, "webhooks.0.clientConfig", {"url": "http://a.com"},
     "webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format"),
    (builtin.MUTATING_WEBHOOK_CONFIGURATIONS, HOOKS, "webhooks.0.clientConfig",
     {"service": {"name": "s", "namespace": "n", "path": "x//y"}},
     "webhooks[0].clientConfig.service.path: Invalid value: \"x//y\": must start with a '/'"),
    (builtin.MUTATING_WEBHOOK_CONFIGURATIONS, HOOKS, "webhooks.0.rules.0.resources", ["*", "pods"],
     "webhooks[0].rules[0].resources: Invalid value: [\"*\",\"pods\"]: if '*' is present, must not"),
    (builtin.MUTATING_WEBHOOK_CONFIGURATIONS, HOOKS, "webhooks.0.timeoutSeconds", 31,
     "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"),
    (builtin.MUTATING_WEBHOOK_CONFIGURATIONS, HOOKS, "webhooks.0.admissionReviewVersions", ["v9"],
     'webhooks[0].admissionReviewVersions: Invalid value: ["v9"]: must include at least one of v1, v1beta1'),
    (builtin.VALIDATING_ADMISSION_POLICIES, VAP, "spec.validations", [],
     "spec.validations: Required value: validations or auditAnnotations must contain at least one item"),
    (builtin.VALIDATING_ADMISSION_POLICIES, VAP, "spec.validations.0.expression", " ",
     "spec.validations[0].expression: Required value: expression is not specified"),
    (builtin.VALIDATING_ADMISSION_POLICY_BINDINGS, VAP_BINDING, "spec.validationActions", ["Deny", "Warn"],
     'spec.validationActions: Invalid value: ["Deny","Warn"]: must not contain both Deny and Warn'),
    (builtin.VALIDATING_ADMISSION_POLICY_BINDINGS, VAP_BINDING, "spec.paramRef", {"parameterNotFoundAction": "Deny"},
     "spec.paramRef: Required value: one of name or selector must be specified"),
    (builtin.FLOW_SCHEMAS, FLOW, "spec.matchingPrecedence", 1,
     "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1"),
    (builtin.FLOW_SCHEMAS, FLOW, "spec.rules.0.subjects.0.group", {"name": "g"},
     "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'"),
    (builtin.FLOW_SCHEMAS, FLOW, "spec.rules.0.resourceRules.0.namespaces", [],
     "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must"),
    (builtin.FLOW_SCHEMAS, FLOW, "spec.rules.0.resourceRules.0.verbs", ["fly"],
     'spec.rules[0].resourceRules[0].verbs: Unsupported value: ["fly"]: supported values: "create", "delete"'),
    (builtin.PRIORITY_LEVEL_CONFIGURATIONS, LEVEL, "spec.type", "Exempt",
     "spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'"),
    (builtin.PRIORITY_LEVEL_CONFIGURATIONS, LEVEL, "spec.limited.limitResponse.queuing", {"queues": 4, "handSize": 5},
     "spec.limited.limitResponse.queuing.handSize: Invalid value: 5: should not be greater than queues (4)"),
    (builtin.ENDPOINT_SLICES, SLICE, "endpoints.0.addresses", ["127.0.0.1"],
     'endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range'),
    (builtin.ENDPOINT_SLICES, SLICE, "endpoints.0.addresses", ["fd00::1"],
     'endpoints[0].addresses[0]: Invalid value: "fd00::1": must be a valid IPv4 address'),
    (builtin.ENDPOINT_SLICES, SLICE, "ports", [{"name": "a"}, {"name": "a"}], 'ports[1].name: Duplicate value: "a"'),
    (builtin.LEASES, {"spec": {}}, "spec.leaseDurationSeconds", 0,
     "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0"),
    (builtin.API_SERVICES, API, "spec.versionPriority", 0,
     "spec.versionPriority: Invalid value: 0: must be positive and less than 1000"),
    (builtin.API_SERVICES, set_at(API, "spec.caBundle", "YQ=="), "spec.insecureSkipTLSVerify", True,
     "spec.insecureSkipTLSVerify: Invalid value: true: may not be true if caBundle is present"),
    (builtin.SERVICE_CIDRS, {"spec": {"cidrs": []}}, "spec.cidrs", ["10.0.0.1/24"],
     'spec.cidrs[0]: Invalid value: "10.0.0.1/24": must not have bits set beyond the prefix length'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "body", "path", "value", "message"),
    BAD,
    ids=[f"{r.plural} {p} {i}" for i, (r, _, p, _, _) in enumerate(BAD)],
)
def test_what_is_bad_is_named(row: Resource, body: Obj, path: str, value: Any, message: str) -> None:
    name = "v1.g.com" if row is builtin.API_SERVICES else "a"
    found = refusals(row, set_at(body, path, value), name)
    assert [text for text in found if text.startswith(message)], found


@pytest.mark.parametrize(
    ("row", "name", "message"),
    [
        (builtin.IP_ADDRESSES, "010.0.0.1", "metadata.name: Invalid value: \"010.0.0.1\": must be a valid IP address"),
        (builtin.IP_ADDRESSES, "fd00::0:1", 'metadata.name: Invalid value: "fd00::0:1": must be in canonical form ("fd00::1")'),
        (builtin.PRIORITY_CLASSES, "system-x", "metadata.name: Forbidden: priority class names with 'system-' prefix are"),
        (builtin.API_SERVICES, "x", 'metadata.name: Invalid value: "x": must be `spec.version+"."+spec.group`: "."'),
        (builtin.ROLES, "a/b", "metadata.name: Invalid value: \"a/b\": may not contain '/'"),
    ],
)  # fmt: skip
def test_names_have_rules_of_their_kind(row: Resource, name: str, message: str) -> None:
    found = refusals(row, {}, name)
    assert [text for text in found if text.startswith(message)], found


DEFAULTS: list[tuple[Resource, Obj, dict[str, Any]]] = [
    (builtin.NETWORK_POLICIES, {"spec": {"egress": [{"ports": [{"port": 1}]}]}},
     {"spec.policyTypes": ["Ingress", "Egress"], "spec.egress.0.ports.0.protocol": "TCP", "spec.podSelector": {}}),
    (builtin.INGRESS_CLASSES, {"spec": {"controller": "c", "parameters": {"kind": "k", "name": "n"}}},
     {"spec.parameters.scope": "Cluster", "metadata.generation": 1}),
    (builtin.ROLE_BINDINGS, BINDING, {"roleRef.apiGroup": RBAC, "subjects.0.apiGroup": RBAC}),
    (builtin.STORAGE_CLASSES, STORAGE, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"}),
    (builtin.VOLUME_ATTACHMENTS, ATTACHMENT, {"status": {"attached": False}}),
    (builtin.CSI_DRIVERS, {}, {"spec": {
        "attachRequired": True, "podInfoOnMount": False, "storageCapacity": False, "requiresRepublish": False,
        "seLinuxMount": False, "fsGroupPolicy": "ReadWriteOnceWithFSType", "volumeLifecycleModes": ["Persistent"]}}),
    (builtin.PRIORITY_CLASSES, {}, {"value": 0, "preemptionPolicy": "PreemptLowerPriority", "metadata.generation": 1}),
    (builtin.MUTATING_WEBHOOK_CONFIGURATIONS, HOOKS,
     {"webhooks.0.failurePolicy": "Fail", "webhooks.0.matchPolicy": "Equivalent", "webhooks.0.timeoutSeconds": 10,
      "webhooks.0.namespaceSelector": {}, "webhooks.0.objectSelector": {}, "webhooks.0.reinvocationPolicy": "Never",
      "webhooks.0.rules.0.scope": "*"}),
    (builtin.VALIDATING_ADMISSION_POLICIES, VAP,
     {"spec.failurePolicy": "Fail", "spec.matchConstraints.matchPolicy": "Equivalent",
      "spec.matchConstraints.resourceRules.0.scope": "*"}),
    (builtin.API_SERVICES, API, {"spec.service.port": 443, "status": {}}),
    (builtin.FLOW_SCHEMAS, FLOW, {"spec.matchingPrecedence": 1000}),
    (builtin.PRIORITY_LEVEL_CONFIGURATIONS, LEVEL,
     {"spec.limited.nominalConcurrencyShares": 30, "spec.limited.lendablePercent": 0,
      "spec.limited.limitResponse.queuing": {"handSize": 8, "queues": 64, "queueLengthLimit": 50}}),
    (builtin.ENDPOINT_SLICES, SLICE, {"ports.0": {"name": "", "port": 1, "protocol": "TCP"}, "metadata.generation": 1}),
]  # fmt: skip


@pytest.mark.parametrize(("row", "body", "filled"), DEFAULTS, ids=[r.plural for r, _, _ in DEFAULTS])
def test_what_is_left_out_is_filled_in(row: Resource, body: Obj, filled: dict[str, Any]) -> None:
    obj = made(row, body)
    for path, wanted in filled.items():
        at: Any = obj
        for step in path.split("."):
            at = at[int(step) if step.isdigit() else step]
        assert at == wanted, path


def test_a_local_api_service_is_available_from_the_start() -> None:
    made_one = made(builtin.API_SERVICES, {"spec": {"version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}})
    condition = made_one["status"]["conditions"][0]
    assert (condition["status"], condition["reason"]) == ("True", "Local")
    assert condition["message"] == "Local APIServices are always available"


def test_the_mandatory_flow_objects_stay_as_they_are() -> None:
    spec: Obj = {"priorityLevelConfiguration": {"name": "exempt"}, "matchingPrecedence": 1, "rules": []}
    found = refusals(builtin.FLOW_SCHEMAS, {"spec": spec}, "exempt")
    assert [text for text in found if text.endswith("spec of 'exempt' must equal the fixed value")]


@pytest.mark.parametrize(
    ("conditions", "certificate", "shown"),
    [
        ([], "", "Pending"), (["Approved"], "", "Approved"), (["Approved"], "eA==", "Approved,Issued"),
        (["Denied"], "", "Denied"), (["Approved", "Failed"], "", "Approved,Failed"),
    ],
)  # fmt: skip
def test_a_request_shows_how_far_it_is(conditions: list[str], certificate: str, shown: str) -> None:
    """printers.go extractCSRStatus"""
    row = builtin.CERTIFICATE_SIGNING_REQUESTS
    request = {
        **made(row, REQUEST),
        "status": {"conditions": [{"type": t} for t in conditions], "certificate": certificate},
    }
    assert row.hooks.cells is not None
    assert row.hooks.cells(request, NOW)[-1] == shown
