"""Which requests the rules of a webhook or a policy let through, and what it is then shown.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-rules
"""

from __future__ import annotations

from typing import Any, cast

import orjson
import pytest

from api.builtin import BUILTIN, DEPLOYMENTS, NAMESPACES, NODES, PODS
from api.errors import NotFound
from api.meta import Obj
from api.registry import Registry, Resource
from apiserver.admission.chain import Attempt
from apiserver.admission.matching import Matcher, Matching, is_exempt
from apiserver.admission.review import request, show, values
from apiserver.auth.user import User
from apiserver.storage.store import Store
from apiserver.storage.stored import Stored

USER = User("ann", ("devs",), "7", {"team": ["a"]})
LABELS = {"a": {"env": "prod"}, "b": {}}
AUTOSCALERS = next(row for row in BUILTIN if row.plural == "horizontalpodautoscalers" and row.version == "v1")
NEWER = next(row for row in BUILTIN if row.plural == "horizontalpodautoscalers" and row.version == "v2")


class Namespaces:
    def peek(self, res: Resource, namespace: str, name: str) -> Stored | None:
        return Stored("", name, 1, orjson.dumps({}), LABELS[name], {}) if name in LABELS else None


STORE = cast(Store, Namespaces())
MATCHING = Matching(STORE, Registry(BUILTIN))


def rule(*resources: str, **more: Any) -> Obj:
    return {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": list(resources), **more}


def attempt(res: Resource = PODS, verb: str = "create", subresource: str = "", **more: Any) -> Attempt:
    obj = {"apiVersion": res.api_version, "kind": res.kind, "metadata": {"labels": more.pop("labels", {})}}
    given: dict[str, Any] = {"namespace": "a" if res.namespaced else "", "name": "x", "old": None, "obj": obj} | more
    return Attempt(USER, verb, res, subresource, **given)


def matches(match: Obj, tried: Attempt) -> bool:
    return MATCHING.row(Matcher(match), tried) is not None


@pytest.mark.parametrize(
    ("resources", "tried", "expected"),
    [
        (["pods"], attempt(), True),
        (["pods"], attempt(subresource="status"), False),
        (["pods/status"], attempt(subresource="status"), True),
        (["pods/*"], attempt(subresource="status"), True),
        (["pods/*"], attempt(), True),
        (["*"], attempt(), True),
        (["*"], attempt(subresource="status"), False),
        (["*/*"], attempt(subresource="status"), True),
        (["*/scale"], attempt(DEPLOYMENTS, subresource="scale"), True),
        (["*/scale"], attempt(subresource="status"), False),
        (["deployments"], attempt(), False),
    ],
)
def test_resources(resources: list[str], tried: Attempt, expected: bool) -> None:
    assert matches({"resourceRules": [rule(*resources)]}, tried) is expected


@pytest.mark.parametrize(
    ("more", "tried", "expected"),
    [
        ({"operations": ["CREATE", "UPDATE"]}, attempt(), True),
        ({"operations": ["CONNECT"]}, attempt(verb="connect", subresource=""), True),
        ({"operations": ["DELETE"]}, attempt(), False),
        ({"apiGroups": ["apps"]}, attempt(), False),
        ({"apiGroups": [""], "apiVersions": ["v1"]}, attempt(), True),
        ({"apiVersions": ["v2"]}, attempt(), False),
        ({"scope": "Namespaced"}, attempt(), True),
        ({"scope": "Cluster"}, attempt(), False),
        ({"scope": "Cluster"}, attempt(NODES), True),
        ({"scope": "Cluster"}, attempt(NAMESPACES), True),  # "namespaces are cluster-scoped"
        ({"scope": "Namespaced"}, attempt(NAMESPACES), False),
        ({"resourceNames": ["x"]}, attempt(), True),
        ({"resourceNames": ["y"]}, attempt(), False),
    ],
)
def test_the_other_parts_of_a_rule(more: Obj, tried: Attempt, expected: bool) -> None:
    assert matches({"resourceRules": [rule("*", **more)]}, tried) is expected


def test_what_is_excluded_does_not_match() -> None:
    """MatchResources: "If a resource matches both, the exclude rules take precedence"."""
    match = {"resourceRules": [rule("*")], "excludeResourceRules": [rule("pods", resourceNames=["x"])]}
    assert not matches(match, attempt())
    assert matches(match, attempt(name="y"))


def test_without_rules_a_binding_matches_all_and_a_webhook_nothing() -> None:
    assert matches({}, attempt())
    assert MATCHING.row(Matcher({}, anything=False), attempt()) is None


def test_selectors() -> None:
    """https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
    #matching-requests-namespaceselector and #matching-requests-objectselector"""
    prod = {"namespaceSelector": {"matchLabels": {"env": "prod"}}}
    assert matches(prod, attempt())
    assert not matches(prod, attempt(namespace="b"))
    assert matches(prod, attempt(NODES))
    assert matches(prod, attempt(NAMESPACES, name="new", labels={"env": "prod"}))
    assert not matches(prod, attempt(NAMESPACES, name="new"))
    assert matches(prod, attempt(NAMESPACES, "delete", name="a", obj=None))
    labelled = {"objectSelector": {"matchLabels": {"foo": "bar"}}}
    assert not matches(labelled, attempt())
    assert matches(labelled, attempt(labels={"foo": "bar"}))
    assert matches(labelled, attempt(verb="update", old={"metadata": {"labels": {"foo": "bar"}}}))
    assert not matches(labelled, attempt(verb="connect", subresource="exec", obj={"kind": "PodExecOptions"}))


def test_an_unknown_namespace_is_not_guessed_about() -> None:
    match = {"resourceRules": [rule("pods")], "namespaceSelector": {"matchLabels": {"env": "prod"}}}
    with pytest.raises(NotFound, match='namespaces "gone" not found'):
        matches(match, attempt(namespace="gone"))
    assert not matches(match, attempt(DEPLOYMENTS, namespace="gone"))


async def test_another_version_is_as_good_unless_exact() -> None:
    """https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
    #matching-requests-matchpolicy"""
    newer = {"resourceRules": [rule("horizontalpodautoscalers", apiGroups=["autoscaling"], apiVersions=["v2"])]}
    obj = {
        "apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "x", "namespace": "a"},
        "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50},
    }  # fmt: skip
    tried = attempt(AUTOSCALERS, obj=obj)
    assert MATCHING.row(Matcher(newer | {"matchPolicy": "Exact"}), tried) is None
    row = MATCHING.row(Matcher(newer), tried)
    assert row is NEWER
    view = await show(STORE, tried, row)
    assert view.obj is not None
    assert view.obj["apiVersion"] == "autoscaling/v2"
    assert view.obj["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 50
    assert tried.new()["apiVersion"] == "autoscaling/v1"
    asked = request(tried, row)
    assert (asked["kind"]["version"], asked["requestKind"]["version"]) == ("v2", "v1")
    assert (asked["resource"]["version"], asked["requestResource"]["version"]) == ("v2", "v1")


async def test_what_a_request_looks_like() -> None:
    """https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request"""
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {}}
    tried = attempt(DEPLOYMENTS, "update", "scale", obj=scale, old=scale, dry_run=True)
    asked = values(tried, await show(STORE, tried, DEPLOYMENTS))
    deployments = {"group": "apps", "version": "v1", "resource": "deployments"}
    assert asked == {
        "object": scale,
        "oldObject": scale,
        "request": {
            "kind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
            "requestKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
            "resource": deployments, "requestResource": deployments,
            "subResource": "scale", "requestSubResource": "scale",
            "name": "x", "namespace": "a", "operation": "UPDATE", "dryRun": True,
            "options": {"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"]},
            "userInfo": {"username": "ann", "uid": "7", "groups": ["devs"], "extra": {"team": ["a"]}},
        },
    }  # fmt: skip


def test_configurations_of_admission_are_exempt() -> None:
    exempt = sorted(row.plural for row in BUILTIN if is_exempt(row) and row.version == "v1")
    assert exempt == [
        "mutatingwebhookconfigurations", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
        "validatingwebhookconfigurations",
    ]  # fmt: skip
