"""Admission policies through upstream's kubectl, as their documentation shows them.

https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/ ,
https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.harness.eventually import eventually_sync
from tests.harness.upstream import Kubectl

Make = Callable[..., str]


@pytest.fixture
def make(kubectl: Kubectl) -> Iterator[Make]:
    """Creates cluster-wide objects from YAML, named after the test's namespace, and deletes them afterwards. `NS` and
    `NAME` in the text are filled in; a binding gets a `matchResources` for that namespace alone when it says `HERE`."""
    made: list[tuple[str, str]] = []
    here = "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: " + kubectl.namespace + "}}"

    def create(text: str, *, wanted: str = "") -> str:
        name = kubectl.namespace
        text = text.replace("HERE", here).replace("NAME", name).replace("NS", name)
        for document in yaml.safe_load_all(text):
            made.append((document["kind"], document["metadata"]["name"]))
        ran = kubectl.run("apply", "-f", "-", stdin=text)
        if wanted:
            assert wanted in ran.failed().stderr
        else:
            ran.ok()
        return name

    yield create
    for kind, name in reversed(made):
        kubectl.run("delete", kind, name, "--ignore-not-found", "--wait=false").ok()


DEMO = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAME.example.com}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}
  validations:
  - expression: "object.spec.replicas <= 5"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAME-binding.example.com}
spec:
  policyName: NAME.example.com
  validationActions: [Deny]
  matchResources: {HERE}
"""


def test_getting_started(kubectl: Kubectl, make: Make) -> None:
    """#getting-started-with-validating-admission-policy, and #type-checking: no warnings for a good policy."""
    name = make(DEMO)
    refused = kubectl.run("create", "deployment", "web", "--image=nginx", "--replicas=6").failed().stderr
    said = (
        f"ValidatingAdmissionPolicy '{name}.example.com' with binding '{name}-binding.example.com' denied request: "
        "failed expression: object.spec.replicas <= 5"
    )
    assert (
        f'deployments.apps "web" is forbidden: {said}' in refused
        or f'The deployments "web" is invalid: : {said}' in refused
    )
    kubectl.run("create", "deployment", "web", "--image=nginx", "--replicas=5").ok()
    kubectl.run("scale", "deployment", "web", "--replicas=9").ok()  # through a subresource that no rule names
    assert said in kubectl.run("patch", "deployment", "web", "-p", '{"metadata":{"labels":{"a":"b"}}}').failed().stderr
    assert (
        said
        in kubectl.run("create", "deployment", "x", "--image=nginx", "--replicas=6", "--dry-run=server").failed().stderr
    )

    labels = (
        f'enforcement_action="deny",error_type="no_error",policy="{name}.example.com",policy_binding="{name}-binding'
    )
    counted = kubectl.run("get", "--raw", "/metrics").ok().stdout
    assert f'apiserver_validating_admission_policy_check_total{{{labels}.example.com"}} ' in counted

    def status() -> Any:
        return (
            kubectl.run("get", "validatingadmissionpolicy", f"{name}.example.com", "-o", "json").ok().json.get("status")
        )

    assert eventually_sync(status, "a status") == {"observedGeneration": 1, "typeChecking": {}}
    changed = DEMO.partition("---")[0].replace("object.spec.replicas <= 5", "object.replicas > 1")
    make(changed)
    found = eventually_sync(lambda: (status() or {}).get("typeChecking"), "a warning")
    assert found["expressionWarnings"][0]["fieldRef"] == "spec.validations[0].expression"
    assert found["expressionWarnings"][0]["warning"].startswith(
        "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n | object.replicas > 1\n | ......^"
    )


PARAMS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: replicalimits.NAME.example.com}
spec:
  group: NAME.example.com
  scope: Namespaced
  names: {plural: replicalimits, singular: replicalimit, kind: ReplicaLimit}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, properties: {maxReplicas: {type: integer}}}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAME.example.com}
spec:
  failurePolicy: Fail
  paramKind: {apiVersion: NAME.example.com/v1, kind: ReplicaLimit}
  matchConstraints:
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}
  variables:
  - {name: most, expression: params.maxReplicas}
  validations:
  - expression: "object.spec.replicas <= variables.most"
    reason: Forbidden
    messageExpression: "'object.spec.replicas must be no greater than ' + string(variables.most)"
  auditAnnotations:
  - key: high-replica-count
    valueExpression: "'Deployment spec.replicas set to ' + string(object.spec.replicas)"
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAME-binding.example.com}
spec:
  policyName: NAME.example.com
  validationActions: [ACTION]
  paramRef: {name: replica-limit-test.example.com, parameterNotFoundAction: Deny}
  matchResources: {HERE}
"""
LIMIT = """
apiVersion: NAME.example.com/v1
kind: ReplicaLimit
metadata: {name: replica-limit-test.example.com}
maxReplicas: 3
"""


def test_parameters_of_a_custom_kind(kubectl: Kubectl, make: Make) -> None:
    """#parameter-resources"""
    name = make(PARAMS.replace("ACTION", "Deny"))
    tried = ("create", "deployment", "web", "--image=nginx", "--replicas=4")
    assert (
        "no params found for policy binding with `Deny` parameterNotFoundAction" in kubectl.run(*tried).failed().stderr
    )
    kubectl.run("wait", "--for=condition=Established", f"crd/replicalimits.{name}.example.com").ok()
    eventually_sync(
        lambda: kubectl.run("api-resources", f"--api-group={name}.example.com", "-o", "name").stdout, "its kind"
    )
    make(LIMIT)
    refused = kubectl.run(*tried).failed().stderr
    assert "(Forbidden)" in refused or "is forbidden" in refused
    assert "denied request: object.spec.replicas must be no greater than 3" in refused
    kubectl.run("patch", f"replicalimit.{name}.example.com", "replica-limit-test.example.com", "--type=merge", "-p",
                '{"maxReplicas":4}').ok()  # fmt: skip
    kubectl.run(*tried).ok()
    make(PARAMS.replace("ACTION", "Warn, Audit"))
    warned = kubectl.run("patch", "deployment", "web", "-p", '{"spec":{"replicas":9}}').ok().stderr
    assert "Warning: Validation failed for ValidatingAdmissionPolicy" in warned
    assert "must be no greater than 4" in warned


def test_a_policy_that_cannot_work_is_refused(make: Make) -> None:
    wrong = DEMO.partition("---")[0].replace("object.spec.replicas <= 5", "object.spec.replicas <")
    make(
        wrong,
        wanted='spec.validations[0].expression: Invalid value: "object.spec.replicas <": compilation failed: ERROR',
    )
    make(DEMO.partition("---")[0].replace("object.spec.replicas <= 5", "1"), wanted="must evaluate to bool but got int")


SIDECAR = """
apiVersion: admissionregistration.k8s.io/v1beta1
kind: MutatingAdmissionPolicy
metadata: {name: NAME.sidecar-policy.example.com}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}
  matchConditions:
  - name: does-not-already-have-sidecar
    expression: "!has(object.spec.initContainers) || !object.spec.initContainers.exists(ic, ic.name == 'mesh-proxy')"
  failurePolicy: Fail
  reinvocationPolicy: IfNeeded
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: >
        Object{
          spec: Object.spec{
            initContainers: [
              Object.spec.initContainers{name: "mesh-proxy", image: "mesh/proxy:v1.0.0", restartPolicy: "Always"}
            ]
          }
        }
  - patchType: JSONPatch
    jsonPatch:
      expression: >
        [JSONPatch{op: "add", path: "/metadata/labels", value: {"example.com/mesh": "in"}}]
---
apiVersion: admissionregistration.k8s.io/v1beta1
kind: MutatingAdmissionPolicyBinding
metadata: {name: NAME-binding.example.com}
spec:
  policyName: NAME.sidecar-policy.example.com
  matchResources: {HERE}
"""


def test_a_policy_that_changes_what_enters(kubectl: Kubectl, make: Make) -> None:
    """#create-a-mutatingadmissionpolicy: what it adds belongs to no field manager, and is judged as what a client sent."""
    name = make(SIDECAR)
    kubectl.run("run", "web", "--image=nginx").ok()
    made = kubectl.run("get", "pod", "web", "-o", "json", "--show-managed-fields").ok().json
    (sidecar,) = made["spec"]["initContainers"]
    assert (sidecar["name"], sidecar["restartPolicy"], sidecar["imagePullPolicy"]) == (
        "mesh-proxy",
        "Always",
        "IfNotPresent",
    )
    assert sidecar["volumeMounts"], "the steps before it see what it made, too: the account's token"
    assert made["metadata"]["labels"] == {"example.com/mesh": "in"}
    assert not any("f:initContainers" in str(entry) for entry in made["metadata"]["managedFields"])
    breaking = SIDECAR.partition("---")[0].replace('name: "mesh-proxy"', 'name: "Not A Name"')
    make(breaking)
    assert (
        'spec.initContainers[0].name: Invalid value: "Not A Name"'
        in kubectl.run("run", "x", "--image=x").failed().stderr
    )
    make(SIDECAR.partition("---")[0].replace("Object.spec.initContainers{name", "Object.spec.containers{name"))
    refused = kubectl.run("run", "x", "--image=x").failed().stderr
    assert (
        f"policy '{name}.sidecar-policy.example.com' with binding '{name}-binding.example.com' denied request"
        in refused
    )
    make(
        breaking.replace("Object{", "Object", 1),
        wanted="spec.mutations[0].applyConfiguration.expression: Invalid value",
    )


def test_connections_are_judged_too(kubectl: Kubectl, make: Make) -> None:
    """matchConstraints.resourceRules.operations: CONNECT."""
    rule = "{apiGroups: [''], apiVersions: [v1], operations: [CONNECT], resources: [pods/exec, pods/attach]}"
    before = "{apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments]}"
    make(
        DEMO.replace(before, rule).replace(
            "object.spec.replicas <= 5", "request.operation == 'CONNECT' && !('sh' in object.command)"
        )
    )
    kubectl.run("run", "web", "--image=nginx").ok()
    said = "denied request: failed expression: request.operation == 'CONNECT' && !('sh' in object.command)"
    assert said in kubectl.run("exec", "web", "--", "sh").failed().stderr
    assert said not in kubectl.run("exec", "web", "--", "date").failed().stderr, "there is no node that would run it"
