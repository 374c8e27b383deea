"""MutatingAdmissionPolicy, by its documentation:
https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/ and the fields' descriptions in
admissionregistration.k8s.io/v1beta1. Messages are those of k8s.io/apiserver/pkg/admission/plugin/policy/{generic,mutating}.
"""

from __future__ import annotations

import time
from typing import Any

import pytest

from api.builtin import (
    BUILTIN,
    CONFIG_MAPS,
    DEPLOYMENTS,
    MUTATING_ADMISSION_POLICIES,
    MUTATING_ADMISSION_POLICY_BINDINGS,
    NAMESPACES,
    PODS,
)
from api.errors import ApiError, Forbidden, InternalError
from api.meta import Obj
from api.registry import Registry, Resource
from apiserver.admission.chain import Admission, Attempt, Plugin
from apiserver.admission.policies.mutating import MutatingAdmissionPolicies
from apiserver.auth.authorizer import Authorizer
from tests.unit.apiserver.admitting import ADMIN, Objects


def apply(expression: str) -> Obj:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def patch(expression: str) -> Obj:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


def policy(name: str, *mutations: Obj, resource: str = "pods", group: str = "", **spec: Any) -> Obj:
    rule = {"operations": ["*"], "apiGroups": [group], "apiVersions": ["v1"], "resources": [resource]}
    made = {"failurePolicy": "Fail", "reinvocationPolicy": "Never", "matchConstraints": {"resourceRules": [rule]}}
    return {"metadata": {"name": name}, "spec": {**made, "mutations": [*mutations], **spec}}


def binding(to: str, **spec: Any) -> Obj:
    return {"metadata": {"name": f"{to}-binding"}, "spec": {"policyName": to, **spec}}


def pod(**spec: Any) -> Obj:
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "a"},
        "spec": {"containers": [{"name": "c", "image": "nginx"}], **spec},
    }  # fmt: skip


def step(*policies: Obj, store: Objects | None = None, **spec: Any) -> MutatingAdmissionPolicies:
    store = store or Objects((NAMESPACES, {"metadata": {"name": "a", "labels": {"team": "blue"}}}))
    for one in policies:
        store.put(MUTATING_ADMISSION_POLICIES, one)
        store.put(MUTATING_ADMISSION_POLICY_BINDINGS, binding(one["metadata"]["name"], **spec))
    return MutatingAdmissionPolicies(store.store, Registry(BUILTIN), Authorizer(()))


async def mutated(obj: Obj, *steps: Any, res: Resource = PODS, old: Obj | None = None, **more: Any) -> Obj:
    verb = "create" if old is None else "update"
    tried = Attempt(
        ADMIN, verb, res, "", obj["metadata"].get("namespace", ""), obj["metadata"]["name"], obj, old, **more
    )
    await Admission(steps).mutate(tried)
    return tried.new()


SIDECAR = """
  Object{
    spec: Object.spec{
      initContainers: [
        Object.spec.initContainers{
          name: "mesh-proxy",
          image: "mesh/proxy:v1.0.0",
          restartPolicy: "Always"
        }
      ]
    }
  }
"""
ABSENT = [{"name": "does-not-already-have-sidecar",
           "expression": '!object.spec.initContainers.exists(ic, ic.name == "mesh-proxy")'}]  # fmt: skip
JSON_SIDECAR = """
  [
    JSONPatch{
      op: "add", path: "/spec/initContainers/-",
      value: Object.spec.initContainers{
        name: "mesh-proxy",
        image: "mesh-proxy/v1.0.0",
        restartPolicy: "Always"
      }
    },
  ]
"""


@pytest.mark.parametrize(
    ("mutation", "image"), [(apply(SIDECAR), "mesh/proxy:v1.0.0"), (patch(JSON_SIDECAR), "mesh-proxy/v1.0.0")]
)
async def test_getting_started(mutation: Obj, image: str) -> None:
    """#create-a-mutatingadmissionpolicy and #patch-type-json-patch: pods get a sidecar, once, with defaults."""
    change = step(policy("sidecar-policy.example.com", mutation, matchConditions=ABSENT, reinvocationPolicy="IfNeeded"))
    own = {"name": "myapp-initializer", "image": "example/initializer:v1.0.0"}
    made = await mutated(pod(initContainers=[own]), change)
    found = {c["name"]: c for c in made["spec"]["initContainers"]}
    assert found.keys() == {"mesh-proxy", "myapp-initializer"}
    assert found["mesh-proxy"]["image"] == image and found["mesh-proxy"]["restartPolicy"] == "Always"
    assert found["mesh-proxy"]["imagePullPolicy"] == ("IfNotPresent" if ":" in image else "Always"), "by default"
    assert await mutated(made, change) == made
    assert made["spec"]["containers"][0]["name"] == "c"


async def test_apply_configurations_set_no_atomic_field() -> None:
    """#patch-type-apply-configuration: "may not modify atomic structs, maps or arrays"."""
    with_args = SIDECAR.replace('restartPolicy: "Always"', 'args: ["proxy", "sidecar"]')
    with pytest.raises(Forbidden) as caught:
        await mutated(pod(), step(policy("p", apply(with_args))))
    assert caught.value.message == (
        "policy 'p' with binding 'p-binding' denied request: error applying patch: invalid ApplyConfiguration: "
        "may not mutate atomic arrays, maps or structs: .spec.initContainers[0].args"
    )
    assert (caught.value.code, caught.value.reason) == (403, "Invalid")
    assert caught.value.details["causes"] == [{"message": caught.value.message}]


@pytest.mark.parametrize(
    ("mutation", "path", "expected"),
    [
        (apply("Object{metadata: Object.metadata{labels: {'a': 'b'}}}"), ("metadata", "labels"), {"a": "b", "app": "web"}),
        (apply("Object{spec: Object.spec{serviceAccountName: 'example'}}"), ("spec", "serviceAccountName"), "example"),
        (apply("has(object.spec.priority) ? Object{} : Object{spec: Object.spec{priority: 5}}"), ("spec", "priority"), 5),
        (apply("Object{metadata: Object.metadata{?generateName: optional.none()}}"), ("metadata", "name"), "web"),
        (apply("Object{spec: Object.spec{containers: [Object.spec.containers{name: 'c', image: 'x'}]}}"),
         ("spec", "containers", 0, "image"), "x"),
        (apply("Object{metadata: Object.metadata{labels: {'team': namespaceObject.metadata.labels['team']}}}"),
         ("metadata", "labels", "team"), "blue"),
        (apply("Object{metadata: Object.metadata{annotations: {'by': request.userInfo.username}}}"),
         ("metadata", "annotations"), {"by": "admin"}),
        (patch("[JSONPatch{op: 'test', path: '/spec/hostNetwork', value: true}, JSONPatch{op: 'replace', path: "
               "'/metadata/labels/app', value: 'x'}]"), ("metadata", "labels", "app"), "web"),
        (patch("[JSONPatch{op: 'test', path: '/metadata/labels/app', value: 'web'}, JSONPatch{op: 'replace', path: "
               "'/metadata/labels/app', value: 'x'}]"), ("metadata", "labels", "app"), "x"),
        (patch("[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('example.com/environment'), "
               "value: 'test'}]"), ("metadata", "labels", "example.com/environment"), "test"),
        (patch("[JSONPatch{op: 'add', path: '/spec/nodeSelector', value: {'a': 'b'}}]"), ("spec", "nodeSelector"), {"a": "b"}),
        (patch("[JSONPatch{op: 'copy', from: '/metadata/name', path: '/spec/hostname'}]"), ("spec", "hostname"), "web"),
        (patch("object.spec.containers.size() > 1 ? [JSONPatch{op: 'remove', path: '/spec'}] : []"),
         ("spec", "containers", 0, "name"), "c"),
    ],
)  # fmt: skip
async def test_mutations(mutation: Obj, path: tuple[Any, ...], expected: Any) -> None:
    given = pod()
    given["metadata"]["labels"] = {"app": "web"}
    found: Any = await mutated(given, step(policy("p", mutation)))
    for part in path:
        found = found[part]
    assert found == expected


async def test_mutations_see_what_those_before_made() -> None:
    """ "mutations are evaluated in order"; policies in the order of their names."""
    label = "Object{metadata: Object.metadata{labels: {'n': %s}}}"
    first = policy("a", apply(label % "'1'"), apply(label % "object.metadata.labels['n'] + '2'"))
    second = policy(
        "b", apply(label % "variables.n + '3'"), variables=[{"name": "n", "expression": "object.metadata.labels['n']"}]
    )
    made = await mutated(pod(), step(second, first))
    assert made["metadata"]["labels"] == {"n": "123"}


@pytest.mark.parametrize(
    ("mutation", "why"),
    [
        (apply("Object{spec: Object.wrong{}}"), 'type mismatch: unexpected type name "Object.wrong", expected "Object.spec"'),
        (apply("Object{spec: Object.spec{unknown: 1}}"),
         "error applying patch: failed to convert patch object to typed object: .spec.unknown: field not declared in schema"),
        (apply("Object{spec: Object.spec{hostname: 1}}"), ".spec.hostname: expected string, got"),
        (apply("Object{spec: Object.spec{containers: [Object.spec.containers{image: 'x'}]}}"), "omits key field"),
        (apply("Object{spec: Object.spec{hostname: object.absent}}"), "resulted in error: no such key: absent"),
        (patch("[JSONPatch{op: 'remove', path: '/spec/absent/x'}]"),
         'JSONPath: remove operation does not apply: doc is missing path: "/spec/absent/x"'),
        (patch("[JSONPatch{op: 'add', path: '/metadata/labels', value: quantity('1')}]"), "kubernetes.Quantity"),
    ],
)  # fmt: skip
async def test_what_fails_refuses_unless_ignored(mutation: Obj, why: str) -> None:
    """spec.failurePolicy"""
    with pytest.raises(Forbidden) as caught:
        await mutated(pod(), step(policy("p", mutation)))
    assert caught.value.message.startswith("policy 'p' with binding 'p-binding' denied request: ")
    assert why in caught.value.message
    ignoring = policy("p", mutation, apply("Object{spec: Object.spec{hostname: 'x'}}"), failurePolicy="Ignore")
    assert (await mutated(pod(), step(ignoring)))["spec"]["hostname"] == "x", "the others have their turn"


async def test_what_would_be_no_pod_is_an_error() -> None:
    with pytest.raises(InternalError, match="unknown field"):
        await mutated(pod(), step(policy("p", patch("[JSONPatch{op: 'add', path: '/spec/wrong', value: 1}]"))))
    with pytest.raises(InternalError, match="cannot unmarshal"):
        await mutated(pod(), step(policy("p", patch("[JSONPatch{op: 'add', path: '/spec/hostname', value: 1}]"))))


LABEL = apply("Object{metadata: Object.metadata{labels: {'owner': params.data.owner}}}")


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"name": "x"}, {"owner": "company.example.com"}),
        ({"name": "y", "parameterNotFoundAction": "Allow"}, None),
        (
            {"name": "y"},
            "policy 'p' with binding 'p-binding' denied request: failed to configure binding: no params found",
        ),
        ({"selector": {}}, {"owner": "company.example.com"}),
    ],
)
async def test_parameters(reference: Obj, expected: Any) -> None:
    """#parameter-resources: "set the `owner` label to something like `company.example.com`"."""
    store = Objects((CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "a"},
                                   "data": {"owner": "company.example.com"}}))  # fmt: skip
    given = policy("p", LABEL, paramKind={"apiVersion": "v1", "kind": "ConfigMap"})
    change = step(given, store=store, paramRef={"parameterNotFoundAction": "Deny", **reference})
    if isinstance(expected, str):
        with pytest.raises(Forbidden) as caught:
            await mutated(pod(), change)
        assert expected in caught.value.message and caught.value.reason == "Forbidden"
    else:
        assert (await mutated(pod(), change))["metadata"].get("labels") == expected


class Later(Plugin):
    """Another step that changes the object after the policies, in the first round alone."""

    def handles(self, verb: str, res: Resource, subresource: str) -> bool:
        return True

    async def mutate(self, attempt: Attempt) -> None:
        if not attempt.reinvoked:
            attempt.new()["metadata"].setdefault("labels", {})["later"] = "x"
            attempt.again = True


@pytest.mark.parametrize(("again", "expected"), [("Never", "1"), ("IfNeeded", "11")])
async def test_reinvocation(again: str, expected: str) -> None:
    """spec.reinvocationPolicy: "only reinvoked when mutations change the object after this mutation is invoked"."""
    count = apply("Object{metadata: Object.metadata{annotations: {'n': (has(object.metadata.annotations) ? "
                  "object.metadata.annotations['n'] : '') + '1'}}}")  # fmt: skip
    counting = policy("p", count, reinvocationPolicy=again)
    assert (await mutated(pod(), step(counting)))["metadata"]["annotations"] == {"n": "1"}, "itself is no reason"
    assert (await mutated(pod(), step(counting), Later()))["metadata"]["annotations"] == {"n": expected}
    another = policy("q", apply("Object{spec: Object.spec{hostname: 'x'}}"))
    assert (await mutated(pod(), step(counting, another)))["metadata"]["annotations"] == {"n": expected}
    without = policy("q", apply("Object{}"))
    assert (await mutated(pod(), step(counting, without)))["metadata"]["annotations"] == {"n": "1"}


async def test_updates_other_kinds_and_deletes() -> None:
    only_growing = policy("p", apply("Object{spec: Object.spec{replicas: oldObject.spec.replicas}}"), resource="deployments",
                          group="apps", matchConditions=[{"name": "x", "expression": "request.operation == 'UPDATE'"}])  # fmt: skip
    deployment = {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "a"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {}, "spec": pod()["spec"]}},
    }  # fmt: skip
    before = {**deployment, "spec": {**deployment["spec"], "replicas": 7}}
    change = step(only_growing)
    assert (await mutated(deployment, change, res=DEPLOYMENTS, old=before))["spec"]["replicas"] == 7
    assert (await mutated(deployment, change, res=DEPLOYMENTS))["spec"]["replicas"] == 1
    assert not change.handles("delete", DEPLOYMENTS, "") and not change.handles(
        "create", MUTATING_ADMISSION_POLICIES, ""
    )


async def test_a_status_or_a_kind_that_is_not_named_stays() -> None:
    change = step(policy("p", apply("Object{metadata: Object.metadata{labels: {'a': 'b'}}}"), resource="services"))
    assert await mutated(pod(), change) == pod()


async def test_a_condition_that_fails_refuses() -> None:
    with pytest.raises(ApiError, match="no such key: initContainers"):
        await mutated(pod(), step(policy("p", apply(SIDECAR), matchConditions=ABSENT)))
    ignoring = policy("p", apply(SIDECAR), matchConditions=ABSENT, failurePolicy="Ignore")
    assert "initContainers" not in (await mutated(pod(), step(ignoring)))["spec"]


async def test_who_is_not_concerned_waits_for_nothing() -> None:
    change = step(*[policy(f"p{i}", apply("Object{}"), resource="services") for i in range(200)])
    tried = Attempt(ADMIN, "create", PODS, "", "a", "web", pod(), None)
    await change.mutate(tried)
    started = time.perf_counter()
    for _ in range(1000):
        await change.mutate(tried)
    assert time.perf_counter() - started < 0.02, "20 µs each"


async def test_an_equivalent_version_is_changed_in_the_one_that_the_rules_name() -> None:
    """matchPolicy Equivalent"""
    older = next(row for row in BUILTIN if row.kind == "HorizontalPodAutoscaler" and row.version == "v1")
    raising = policy("p", apply("Object{spec: Object.spec{minReplicas: object.spec.metrics.size() + 1}}"), group="autoscaling",
                     resource="horizontalpodautoscalers")  # fmt: skip
    raising["spec"]["matchConstraints"]["resourceRules"][0]["apiVersions"] = ["v2"]
    asked = {
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h", "namespace": "a"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 3, "targetCPUUtilizationPercentage": 80},
    }  # fmt: skip
    made = await mutated(asked, step(raising), res=older)
    assert made["apiVersion"] == "autoscaling/v1"
    assert made["spec"]["minReplicas"] == 2 and made["spec"]["targetCPUUtilizationPercentage"] == 80
