"""ValidatingAdmissionPolicy, by its documentation:
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/

The policies in POLICIES are those of that page; messages are those of k8s.io/apiserver/pkg/admission/plugin/policy.
"""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest

from api.builtin import (
    BUILTIN,
    CLUSTER_ROLES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    LEASES,
    NAMESPACES,
    PODS,
    VALIDATING_ADMISSION_POLICIES,
    VALIDATING_ADMISSION_POLICY_BINDINGS,
)
from api.errors import ApiError, Forbidden, Invalid, NotFound, ServiceUnavailable
from api.meta import Obj
from api.registry import Registry, Resource
from apiserver.admission.chain import Attempt
from apiserver.admission.policies.validating import FAILURE, ValidatingAdmissionPolicies
from apiserver.auth.authorizer import Authorizer
from apiserver.auth.user import User
from tests.unit.apiserver.admitting import ADMIN, Objects

JANE = User("jane", ("system:authenticated",))


def rules(*resources: str, group: str = "apps", **more: Any) -> Obj:
    rule = {"operations": ["CREATE", "UPDATE"], "apiGroups": [group], "apiVersions": ["v1"], "resources": [*resources]}
    return {"resourceRules": [rule], **more}


def policy(name: str, *validations: Obj, **spec: Any) -> Obj:
    made = {"failurePolicy": "Fail", "matchConstraints": rules("deployments"), "validations": [*validations], **spec}
    return {"metadata": {"name": name}, "spec": made}


def binding(name: str, to: str, *actions: str, **spec: Any) -> Obj:
    return {
        "metadata": {"name": name},
        "spec": {"policyName": to, "validationActions": [*(actions or ["Deny"])], **spec},
    }


def deployment(replicas: int = 1, image: str = "nginx", **metadata: Any) -> Obj:
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "a", **metadata},
        "spec": {"replicas": replicas, "template": {"spec": {"containers": [{"name": "c", "image": image}]}}},
    }  # fmt: skip


def cluster(*objects: tuple[Resource, Obj]) -> Objects:
    labels = {"a": {}, "b": {"environment": "test"}}
    spaces = [(NAMESPACES, {"metadata": {"name": name, "labels": given}}) for name, given in labels.items()]
    return Objects(*spaces, *objects)


def step(*objects: Obj, store: Objects | None = None, modes: tuple[str, ...] = ()) -> ValidatingAdmissionPolicies:
    store = store or cluster()
    for obj in objects:
        is_policy = "matchConstraints" in obj["spec"]
        store.put(VALIDATING_ADMISSION_POLICIES if is_policy else VALIDATING_ADMISSION_POLICY_BINDINGS, obj)
    return ValidatingAdmissionPolicies(store.store, Registry(BUILTIN), Authorizer(modes))


def attempt(obj: Obj | None, res: Resource = DEPLOYMENTS, old: Obj | None = None, **more: Any) -> Attempt:
    verb = "create" if old is None else "delete" if obj is None else "update"
    metadata = (obj or old or {})["metadata"]
    given: dict[str, Any] = {
        "user": ADMIN, "verb": verb, "subresource": "", "namespace": metadata.get("namespace", ""),
        "name": metadata["name"], **more,
    }  # fmt: skip
    return Attempt(res=res, obj=obj, old=old, **given)


async def refusal(judge: ValidatingAdmissionPolicies, obj: Obj | None, *args: Any, **more: Any) -> str:
    """ "" when it enters."""
    try:
        await judge.validate(attempt(obj, *args, **more))
    except ApiError as error:
        return error.message
    return ""


async def test_getting_started() -> None:
    """#getting-started-with-validating-admission-policy: the first policy and its binding, and how it refuses."""
    judge = step(
        policy("demo-policy.example.com", {"expression": "object.spec.replicas <= 5"}),
        binding("demo-binding-test.example.com", "demo-policy.example.com",
                matchResources={"namespaceSelector": {"matchLabels": {"environment": "test"}}}),
    )  # fmt: skip
    assert await refusal(judge, deployment(6)) == "", "the binding is for test namespaces"
    assert await refusal(judge, deployment(5, namespace="b")) == ""
    with pytest.raises(Invalid) as caught:
        await judge.validate(attempt(deployment(6, namespace="b")))
    said = (
        "ValidatingAdmissionPolicy 'demo-policy.example.com' with binding 'demo-binding-test.example.com' denied "
        "request: failed expression: object.spec.replicas <= 5"
    )
    assert caught.value.message == f'deployments.apps "web" is forbidden: {said}'
    assert caught.value.code == 422 and caught.value.reason == "Invalid"
    assert caught.value.details == {
        "name": "web",
        "group": "apps",
        "kind": "deployments",
        "causes": [{"message": said}],
    }


async def test_nothing_happens_without_a_binding_and_changes_are_taken_in() -> None:
    store = cluster()
    judge = step(policy("p", {"expression": "false"}), store=store)
    assert await refusal(judge, deployment()) == ""
    store.put(VALIDATING_ADMISSION_POLICY_BINDINGS, binding("b", "p"))
    assert "failed expression: false" in await refusal(judge, deployment())
    store.put(VALIDATING_ADMISSION_POLICIES, policy("p", {"expression": "true"}))
    assert await refusal(judge, deployment()) == ""
    store.put(VALIDATING_ADMISSION_POLICIES, policy("p", {"expression": "object.spec.replicas == 2"}))
    assert await refusal(judge, deployment())
    store.remove(VALIDATING_ADMISSION_POLICIES, "", "p")
    assert await refusal(judge, deployment()) == ""


@pytest.mark.parametrize(
    ("rule", "code", "text"),
    [
        ({"message": " too many "}, 422, "denied request: too many"),
        ({"reason": "Forbidden"}, 403, "failed expression: object.spec.replicas <= 5"),
        ({"reason": "Unauthorized"}, 401, ""),
        ({"reason": "RequestEntityTooLarge"}, 413, ""),
        ({"messageExpression": "'at most ' + string(5)", "message": "m"}, 422, "denied request: at most 5"),
        ({"messageExpression": "object.absent + ''", "message": "m"}, 422, "denied request: m"),
        ({"messageExpression": "'a\\nb'", "message": "m"}, 422, "denied request: m"),
        ({"messageExpression": "' '"}, 422, "failed expression"),
    ],
)
async def test_message_and_reason(rule: Obj, code: int, text: str) -> None:
    """#validation-expression and #message-expression"""
    judge = step(policy("p", {"expression": "object.spec.replicas <= 5", **rule}), binding("b", "p"))
    with pytest.raises(ApiError) as caught:
        await judge.validate(attempt(deployment(9)))
    assert caught.value.code == code
    assert text in caught.value.message


# The policies of the documentation, each with its section: (spec, what it lets in, what it does not, the message)
IMAGES = {
    "variables": [
        {"name": "environment", "expression": "'environment' in namespaceObject.metadata.labels ? "
         "namespaceObject.metadata.labels['environment'] : 'prod'"},
        {"name": "exempt", "expression": "has(object.metadata.labels) && 'exempt' in object.metadata.labels && "
         "object.metadata.labels['exempt'] == 'true'"},
        {"name": "containers", "expression": "object.spec.template.spec.containers"},
        {"name": "containersToCheck", "expression": "variables.containers.filter(c, c.image.contains('example.com/'))"},
    ],
    "validations": [{
        "expression": "variables.exempt || variables.containersToCheck.all(c, "
        "c.image.startsWith(variables.environment + '.'))",
        "messageExpression": "'only ' + variables.environment + ' images can run in namespace ' + "
        "namespaceObject.metadata.name",
    }],
}  # fmt: skip
CONDITIONS = {
    "matchConstraints": {"resourceRules": [
        {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}
    ]},
    "matchConditions": [
        {"name": "exclude-leases",
         "expression": '!(request.resource.group == "coordination.k8s.io" && request.resource.resource == "leases")'},
        {"name": "exclude-kubelet-requests", "expression": '!("system:nodes" in request.userInfo.groups)'},
        {"name": "rbac", "expression": 'request.resource.group != "rbac.authorization.k8s.io"'},
    ],
    "validations": [{"expression": "!object.metadata.name.contains('demo') || object.metadata.namespace == 'demo'"}],
}  # fmt: skip


async def test_variable_composition() -> None:
    """#variable-composition: images must be of the namespace's environment."""
    judge = step(policy("p", **IMAGES), binding("b", "p"))
    for image, more, refused in (
        ("prod.example.com/nginx", {}, ""),
        ("test.example.com/nginx", {}, "only prod images can run in namespace a"),
        ("test.example.com/nginx", {"labels": {"exempt": "true"}}, ""),
        ("test.example.com/nginx", {"namespace": "b"}, ""),
        ("nginx", {}, ""),
    ):
        said = await refusal(judge, deployment(image=image, **more))
        assert said.endswith(refused) and bool(said) == bool(refused), (image, more, said)


async def test_match_conditions() -> None:
    """#matching-requests-matchconditions"""
    judge = step(policy("p", **CONDITIONS), binding("b", "p"))
    kubelet = User("system:node:n", ("system:nodes",))
    demo = {"metadata": {"name": "demo", "namespace": "a"}}
    assert await refusal(judge, demo, CONFIG_MAPS)
    assert await refusal(judge, demo, CONFIG_MAPS, user=kubelet) == ""
    assert await refusal(judge, demo, LEASES) == ""
    assert await refusal(judge, {"metadata": {"name": "demo"}}, CLUSTER_ROLES) == ""


async def test_a_condition_that_fails_is_for_the_failure_policy() -> None:
    broken = [{"name": "x", "expression": "object.absent == 1"}]
    bound = binding("b", "p")
    assert "no such key: absent" in await refusal(step(policy("p", matchConditions=broken), bound), deployment())
    ignoring = policy("p", {"expression": "false"}, matchConditions=broken, failurePolicy="Ignore")
    assert await refusal(step(ignoring, bound), deployment()) == ""


@pytest.mark.parametrize(
    ("expression", "obj"),
    [
        ("object.minReplicas <= object.replicas && object.replicas <= object.maxReplicas",
         {"minReplicas": 1, "replicas": 2, "maxReplicas": 3}),
        ("'Available' in object.stateCounts", {"stateCounts": {"Available": 1}}),
        ("(size(object.list1) == 0) != (size(object.list2) == 0)", {"list1": [], "list2": [1]}),
        ("!('MY_KEY' in object.map1) || object['MY_KEY'].matches('^[a-zA-Z]*$')", {"map1": {"MY_KEY": 1}, "MY_KEY": "ab"}),
        ("object.envars.filter(e, e.name == 'MY_ENV').all(e, e.value.matches('^[a-zA-Z]*$'))",
         {"envars": [{"name": "MY_ENV", "value": "ab"}, {"name": "x", "value": "1"}]}),
        ("has(object.expired) && timestamp(object.created) + duration(object.ttl) < timestamp(object.expired)",
         {"created": "2020-01-01T00:00:00Z", "ttl": "1h", "expired": "2020-01-01T02:00:00Z"}),
        ("object.health.startsWith('ok')", {"health": "ok, thanks"}),
        ("object.widgets.exists(w, w.key == 'x' && w.foo < 10)", {"widgets": [{"key": "x", "foo": 1}]}),
        ("type(object.size) == string ? object.size == '100%' : object.size == 1000", {"size": 1000}),
        ("object.metadata.name.startsWith(object.prefix)", {"prefix": "w"}),
        ("object.set1.all(e, !(e in object.set2))", {"set1": [1], "set2": [2]}),
        ("size(object.names) == size(object.details) && object.names.all(n, n in object.details)",
         {"names": ["a"], "details": {"a": 1}}),
        ("size(object.clusters.filter(c, c.name == object.primary)) == 1", {"clusters": [{"name": "x"}], "primary": "x"}),
    ],
)  # fmt: skip
async def test_examples_of_expressions(expression: str, obj: Obj) -> None:
    """#validation-expression-examples"""
    judge = step(policy("p", {"expression": expression}), binding("b", "p"))
    assert await refusal(judge, {**deployment(), **obj}) == ""
    against = step(policy("p", {"expression": f"!({expression})"}), binding("b", "p"))
    assert "failed expression" in await refusal(against, {**deployment(), **obj})


LIMIT = {"expression": "object.spec.replicas <= int(params.data.maxReplicas)",
         "messageExpression": "'object.spec.replicas must be no greater than ' + params.data.maxReplicas"}  # fmt: skip
KIND = {"apiVersion": "v1", "kind": "ConfigMap"}


def limit(namespace: str, name: str, most: int, **labels: str) -> tuple[Resource, Obj]:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return CONFIG_MAPS, {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata,
        "data": {"maxReplicas": str(most)},
    }


@pytest.mark.parametrize(
    ("reference", "replicas", "said"),
    [
        ({"name": "x", "namespace": "b"}, 3, ""),
        ({"name": "x", "namespace": "b"}, 4, "denied request: object.spec.replicas must be no greater than 3"),
        ({"name": "x"}, 5, ""),  # in the namespace of the object
        ({"name": "x"}, 6, "no greater than 5"),
        ({"name": "absent"}, 1, "failed to configure binding: no params found for policy binding with `Deny` "
         "parameterNotFoundAction"),
        ({"name": "absent", "parameterNotFoundAction": "Allow"}, 99, ""),
        ({"selector": {"matchLabels": {"env": "test"}}}, 6, "no greater than 5"),
        ({"selector": {"matchLabels": {"env": "prod"}}}, 6, "no params found"),
        ({"selector": {}, "namespace": "b"}, 4, "no greater than 3"),
    ],
)  # fmt: skip
async def test_parameters(reference: Obj, replicas: int, said: str) -> None:
    """#parameter-resources, #paramref, #parameternotfoundaction, #per-namespace-parameters, #parameter-selector"""
    store = cluster(limit("a", "x", 5, env="test"), limit("b", "x", 3), limit("b", "y", 100))
    bound = binding("b", "p", paramRef={"parameterNotFoundAction": "Deny", **reference})
    judge = step(policy("p", LIMIT, paramKind=KIND), bound, store=store)
    found = await refusal(judge, deployment(replicas))
    assert bool(found) == bool(said) and said in found


async def test_parameters_follow_and_each_is_evaluated() -> None:
    """ "A policy … is evaluated once for each param": the first that fails refuses."""
    store = cluster(limit("a", "x", 5))
    bound = binding("b", "p", paramRef={"selector": {}, "parameterNotFoundAction": "Deny"})
    judge = step(policy("p", LIMIT, paramKind=KIND), bound, store=store)
    assert await refusal(judge, deployment(5)) == ""
    store.put(*limit("a", "y", 2))
    assert "no greater than 2" in await refusal(judge, deployment(5))


async def test_parameters_that_are_not_bound_are_null() -> None:
    judge = step(policy("p", {"expression": "params == null"}, paramKind=KIND), binding("b", "p"))
    assert await refusal(judge, deployment()) == ""


@pytest.mark.parametrize(
    ("kind", "reference", "res", "why"),
    [
        ({"apiVersion": "rules.example.com/v1", "kind": "ReplicaLimit"}, {"name": "x"}, DEPLOYMENTS,
         "ValidatingAdmissionPolicy 'p' denied request: failed to configure policy: failed to find resource referenced "
         "by paramKind: 'rules.example.com/v1, Kind=ReplicaLimit'"),
        (KIND, {"name": "x"}, CLUSTER_ROLES,
         "with binding 'b' denied request: failed to configure binding: cannot use namespaced paramRef in policy binding "
         "that matches cluster-scoped resources"),
        ({"apiVersion": "v1", "kind": "Namespace"}, {"name": "a", "namespace": "a"}, DEPLOYMENTS,
         "failed to configure binding: paramRef.namespace must not be provided for a cluster-scoped `paramKind`"),
    ],
)  # fmt: skip
async def test_what_is_configured_wrongly_refuses_unless_ignored(
    kind: Obj, reference: Obj, res: Resource, why: str
) -> None:
    """#failure-policy: "a mis-configured policy"."""
    everything = {
        "resourceRules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]
    }
    given = policy("p", {"expression": "true"}, paramKind=kind, matchConstraints=everything)
    bound = binding("b", "p", "Audit", paramRef={"parameterNotFoundAction": "Deny", **reference})
    obj = deployment() if res is DEPLOYMENTS else {"metadata": {"name": "n"}}
    assert why in await refusal(step(given, bound), obj, res)
    given["spec"]["failurePolicy"] = "Ignore"
    assert await refusal(step(given, bound), obj, res) == ""


async def test_actions() -> None:
    """#validation-actions"""
    bound = binding("b", "p", "Warn", "Audit")
    judge = step(
        policy("p", {"expression": "true"}, {"expression": "object.spec.replicas < 5", "message": "few"}), bound
    )
    tried = attempt(deployment(7))
    await judge.validate(tried)
    assert tried.warnings == ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': few"]
    assert orjson.loads(tried.annotations[FAILURE]) == [
        {"message": "few", "policy": "p", "binding": "b", "expressionIndex": 1, "validationActions": ["Warn", "Audit"]}
    ]
    assert judge.counts.checks == {("p", "b", "no_error", "warn"): 1, ("p", "b", "no_error", "audit"): 1}


async def test_failures_are_enforced_by_the_actions_unless_ignored() -> None:
    """#failure-policy and #validation-actions: "failures defined by the failurePolicy are enforced according to these
    actions only if the failurePolicy is set to Fail"."""
    broken = {"expression": "object.spec.absent > 1"}
    why = "expression 'object.spec.absent > 1' resulted in error: no such key: absent"
    assert why in await refusal(step(policy("p", broken), binding("b", "p")), deployment())
    warned = attempt(deployment())
    await step(policy("p", broken), binding("b", "p", "Warn")).validate(warned)
    assert why in warned.warnings[0]
    ignored = attempt(deployment())
    await step(policy("p", broken, failurePolicy="Ignore"), binding("b", "p", "Warn")).validate(ignored)
    assert ignored.warnings == []


HIGH = {
    "key": "high-replica-count",
    "valueExpression": "'Deployment spec.replicas set to ' + string(object.spec.replicas)",
}


async def test_audit_annotations() -> None:
    """#audit-annotations"""
    given = policy("demo-policy.example.com", {"expression": "object.spec.replicas > 50"}, auditAnnotations=[
        HIGH, {"key": "none", "valueExpression": "null"}, {"key": "empty", "valueExpression": "'  '"},
        {"key": "who", "valueExpression": "request.userInfo.username"},
    ])  # fmt: skip
    tried = attempt(deployment(128))
    await step(given, binding("b", "demo-policy.example.com", "Audit")).validate(tried)
    assert tried.annotations == {
        "demo-policy.example.com/high-replica-count": "Deployment spec.replicas set to 128",
        "demo-policy.example.com/who": "admin",
    }


async def test_annotations_of_several_parameters_are_joined_and_long_ones_cut() -> None:
    store = cluster(limit("a", "x", 5), limit("a", "y", 6), limit("a", "z", 6))
    notes = [{"key": "most", "valueExpression": "params.data.maxReplicas"}]
    bound = binding("b", "p", paramRef={"selector": {}, "parameterNotFoundAction": "Deny"})
    tried = attempt(deployment())
    await step(policy("p", auditAnnotations=notes, paramKind=KIND), bound, store=store).validate(tried)
    assert tried.annotations == {"p/most": "5, 6"}
    tried = attempt({**deployment(), "text": "é" * 6000})
    await step(
        policy("p", auditAnnotations=[{"key": "k", "valueExpression": "object.text"}]), binding("b", "p")
    ).validate(tried)
    assert tried.annotations["p/k"] == "é" * 5120


async def test_an_annotation_that_fails_refuses_whatever_the_actions_are() -> None:
    given = policy("p", auditAnnotations=[{"key": "k", "valueExpression": "object.absent"}])
    assert "no such key: absent" in await refusal(step(given, binding("b", "p", "Audit")), deployment())
    given["spec"]["failurePolicy"] = "Ignore"
    assert await refusal(step(given, binding("b", "p", "Audit")), deployment()) == ""


async def test_the_authorizer() -> None:
    """#using-the-authorizer (secondary authz): who may not `patch` may not name many replicas."""
    check = {"expression": "object.spec.replicas < 5 || authorizer.group('apps').resource('deployments').subresource("
             "'many').namespace(object.metadata.namespace).check('create').allowed()"}  # fmt: skip
    judge = step(policy("p", check), binding("b", "p"))
    assert await refusal(judge, deployment(9)) == ""
    assert await refusal(judge, deployment(9), user=JANE)
    assert await refusal(judge, deployment(3), user=JANE) == ""
    own = {"expression": "authorizer.requestResource.check('delete').allowed()"}
    assert await refusal(step(policy("p", own), binding("b", "p")), deployment(), user=JANE)
    account = {"expression": "!authorizer.serviceAccount('a', 'default').path('/metrics').check('get').allowed()"}
    assert await refusal(step(policy("p", account), binding("b", "p")), deployment()) == ""


async def test_what_is_seen_of_deletes_updates_and_subresources() -> None:
    everything = {
        "resourceRules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]
    }
    given = policy("p", {"expression": "object == null && oldObject.spec.replicas == 2 && request.operation == 'DELETE'"},
                   matchConstraints=everything)  # fmt: skip
    assert await refusal(step(given, binding("b", "p")), None, old=deployment(2)) == ""
    grown = policy("p", {"expression": "object.spec.replicas >= oldObject.spec.replicas"})
    judge = step(grown, binding("b", "p"))
    assert await refusal(judge, deployment(3), old=deployment(2)) == ""
    assert await refusal(judge, deployment(1), old=deployment(2))
    status = policy("p", {"expression": "request.subResource != 'status'"}, matchConstraints=everything)
    judge = step(status, binding("b", "p"))
    assert await refusal(judge, {"metadata": {"name": "x", "namespace": "a"}}, PODS, subresource="status")
    assert await refusal(judge, {"metadata": {"name": "x", "namespace": "a"}}, PODS) != ""  # absent: an error


async def test_work_is_limited() -> None:
    """#resource-use-by-validating-expressions: many dear expressions run out of budget."""
    dear = {"expression": "[1, 2].all(i, authorizer.path('/').check('get').allowed() || true)"}
    judge = step(policy("p", *[dear] * 15), binding("b", "p"))
    said = await refusal(judge, deployment())
    assert "running out of cost budget, no further validation rules will be run" in said
    ignoring = step(policy("p", *[dear] * 15, failurePolicy="Ignore"), binding("b", "p"))
    assert await refusal(ignoring, deployment()) == ""


async def test_policies_are_not_judged_by_policies() -> None:
    judge = step()
    assert not judge.handles("create", VALIDATING_ADMISSION_POLICIES, "")
    assert not judge.handles("update", VALIDATING_ADMISSION_POLICY_BINDINGS, "")
    assert judge.handles("delete", PODS, "")


async def test_an_unknown_namespace_is_no_way_around() -> None:
    selecting = binding("b", "p", matchResources={"namespaceSelector": {"matchLabels": {"x": "y"}}})
    with pytest.raises(NotFound):
        await step(policy("p", {"expression": "true"}), selecting).validate(attempt(deployment(namespace="nowhere")))


async def test_nothing_enters_before_it_is_known_which_policies_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "not yet ready to handle request" (k8s.io/apiserver/pkg/admission/plugin/policy/generic/plugin.go)"""
    store = cluster()
    judge = step(store=store)

    def filling() -> None:
        raise ServiceUnavailable("storage is (re)initializing")

    monkeypatch.setattr(store, "check_filled", filling)
    with pytest.raises(ServiceUnavailable):
        await judge.validate(attempt(deployment()))


async def test_the_first_policy_by_name_refuses() -> None:
    judge = step(policy("z", {"expression": "false"}), policy("a", {"expression": "false", "reason": "Forbidden"}),
                 binding("b1", "z"), binding("b2", "a"))  # fmt: skip
    with pytest.raises(Forbidden, match="ValidatingAdmissionPolicy 'a' with binding 'b2'"):
        await judge.validate(attempt(deployment()))


async def test_who_is_not_concerned_waits_for_nothing() -> None:
    """A request that no policy is for takes microseconds, however many policies there are."""
    many = [policy(f"p{i}", {"expression": "false"}) for i in range(200)]
    judge = step(*many, *[binding(f"b{i}", f"p{i}") for i in range(200)])
    tried = attempt({"metadata": {"name": "x", "namespace": "a"}}, PODS)
    await judge.validate(tried)
    started = time.perf_counter()
    for _ in range(1000):
        await judge.validate(tried)
    assert time.perf_counter() - started < 0.02, "20 µs each"


OLDER, NEWER = (
    next(r for r in BUILTIN if r.kind == "HorizontalPodAutoscaler" and r.version == v) for v in ("v1", "v2")
)


async def test_an_equivalent_version_is_shown_as_the_rules_name_it() -> None:
    """matchPolicy Equivalent: "would be converted to … and sent"."""
    match = {"resourceRules": [{"operations": ["*"], "apiGroups": ["autoscaling"], "apiVersions": ["v2"],
                                "resources": ["horizontalpodautoscalers"]}]}  # fmt: skip
    check = {"expression": "object.spec.metrics[0].resource.target.averageUtilization < 90 && request.kind.version == 'v2' "
             "&& request.requestKind.version == 'v1'"}  # fmt: skip
    judge = step(policy("p", check, matchConstraints=match), binding("b", "p"))
    asked = {
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h", "namespace": "a"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 3},
    }  # fmt: skip
    for percent, refused in ((80, False), (95, True)):
        given = {**asked, "spec": {**asked["spec"], "targetCPUUtilizationPercentage": percent}}
        assert bool(await refusal(judge, given, OLDER)) is refused
    exact = step(
        policy("p", {"expression": "false"}, matchConstraints={**match, "matchPolicy": "Exact"}), binding("b", "p")
    )
    assert await refusal(exact, asked, OLDER) == ""
    assert await refusal(exact, {**asked, "apiVersion": "autoscaling/v2"}, NEWER)


NODES_OWN = {
    "matchConstraints": {"resourceRules": [
        {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}
    ]},
    "matchConditions": [{"name": "isRestrictedUser", "expression": 'request.userInfo.username == "driver"'}],
    "variables": [
        {"name": "userNodeName",
         "expression": "request.userInfo.extra[?'authentication.kubernetes.io/node-name'][0].orValue('')"},
        {"name": "objectNodeName",
         "expression": '(request.operation == "DELETE" ? oldObject : object).spec.?nodeName.orValue("")'},
    ],
    "validations": [
        {"expression": 'variables.userNodeName != ""', "message": "no node association found for user"},
        {"expression": "variables.userNodeName == variables.objectNodeName",
         "messageExpression": '"user of \'" + variables.userNodeName + "\' may not modify that of \'" + '
         'variables.objectNodeName + "\'"'},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("user", "said"),
    [
        (User("somebody"), ""),
        (User("driver", extra={"authentication.kubernetes.io/node-name": ["n1"]}), ""),
        (
            User("driver", extra={"authentication.kubernetes.io/node-name": ["n2"]}),
            "user of 'n2' may not modify that of 'n1'",
        ),
        (User("driver", extra={"other": []}), "no node association found for user"),
    ],
)
async def test_agents_of_a_node_are_kept_to_it(user: User, said: str) -> None:
    """https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#additional-metadata-in-pod-bound-tokens
    and KEP-4381: what a token tells of its node holds its bearer to that node's objects."""
    judge = step(policy("p", **NODES_OWN), binding("b", "p"))
    found = await refusal(
        judge, None, PODS, {"metadata": {"name": "x", "namespace": "a"}, "spec": {"nodeName": "n1"}}, user=user
    )
    assert said in found and bool(found) == bool(said)
