"""What admission expressions see: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/ ,
https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-authorizer-library"""

from __future__ import annotations

from typing import Any

import pytest

from api.cel.admission import POLICY_BUDGET, Conditions, Expression, Failed, OutOfBudget, Variables, composed, declared
from api.cel.authorization import Decision, Question, authorizer
from api.cel.program import Budget

REQUEST = {"operation": "UPDATE", "name": "web", "userInfo": {"username": "jane", "groups": ["crew"]}}
OWN = Question(group="apps", resource="deployments", namespace="a", name="web")


def decide(asked: Question) -> Decision:
    """Jane may get her own, account a/bot may everything, nobody is told of a broken group."""
    if asked.group == "broken":
        return Decision(False, error="out of order")
    return Decision(asked.account == "a/bot" or asked.name == "web", f"{asked.verb} {asked.path or asked.resource}")


def value(text: str, budget: Budget | None = None, **values: Any) -> Any:
    given = {"object": {"spec": {"replicas": 7}}, "request": REQUEST, "authorizer": authorizer(decide, OWN), **values}
    return Expression(text, declared(params=True)).evaluate(given, budget or Budget(POLICY_BUDGET))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("object.spec.replicas > 5 && oldObject == null && params == null && namespaceObject == null", True),
        ("request.userInfo.groups.exists(g, g == 'crew') && !has(request.namespace)", True),
        ("authorizer.requestResource.check('get').allowed()", True),
        ("authorizer.group('').resource('pods').subresource('log').namespace('a').check('create').allowed()", False),
        ("authorizer.group('').resource('pods').name('web').check('create').reason()", "create pods"),
        ("authorizer.serviceAccount('a', 'bot').path('/healthz').check('GET').allowed()", True),
        ("authorizer.group('broken').resource('x').fieldSelector('a=b').labelSelector('c').check('list').errored()", True),
        ("authorizer.group('broken').resource('x').check('list').error()", "out of order"),
    ],
)  # fmt: skip
def test_variables_of_a_request(text: str, expected: Any) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("authorizer.path('').check('get').allowed()", "resulted in error: path must not be empty"),
        ("authorizer.group('').resource(' ').check('get').allowed()", "resource must not be empty"),
        ("authorizer.serviceAccount('a', 'B!').path('/').check('get').allowed()", "Invalid service account name"),
        ("authorizer.serviceAccount('a.b', 'c').path('/').check('get').allowed()", "Invalid service account namespace"),
        ("[1, 2, 3].all(i, authorizer.path('/').check('get').allowed() || true)", "actual cost limit exceeded"),
        ("request.usr == 'x'", "compilation error: compilation failed: ERROR: <input>:1:8: undefined field 'usr'"),
        ("object.spec.size > 1", "expression 'object.spec.size > 1' resulted in error: no such key: size"),
    ],
)
def test_what_has_no_value(text: str, why: str) -> None:
    with pytest.raises(Failed) as failed:
        value(text)
    assert why in str(failed.value)


def test_variables_are_evaluated_once_and_only_when_asked_for() -> None:
    """Variable composition: lazily, in order, each seeing those before it."""
    asked: list[Question] = []

    def count(question: Question) -> Decision:
        asked.append(question)
        return Decision(True)

    given = [
        {"name": "may", "expression": "authorizer.path('/x').check('get').allowed()"},
        {"name": "nothing", "expression": "object.nothing"},
        {"name": "many", "expression": "object.n > 1"},
        {"name": "both", "expression": "variables.many && variables.may"},
        {"name": "broken", "expression": "object.absent"},
        {"name": "early", "expression": "variables.late"},
        {"name": "late", "expression": "1"},
    ]
    expressions, scope = composed(given, declared())
    values: dict[str, Any] = {"object": {"n": 2, "nothing": None}, "authorizer": authorizer(count, OWN)}
    budget = Budget(POLICY_BUDGET)
    values["variables"] = Variables(expressions, values, budget)
    assert Expression("variables.many && variables.nothing == null", scope).evaluate(values, budget) is True
    assert not asked
    for _ in range(2):
        assert Expression("variables.both && has(variables.may)", scope).evaluate(values, budget) is True
    assert len(asked) == 1
    assert budget.left < POLICY_BUDGET - 350_000, "what variables cost counts"
    for text, why in (
        ("variables.broken", 'composited variable "broken" fails to evaluate: no such key: absent'),
        ("variables.early", "undefined field 'late'"),
        ("variables.unknown", "undefined field 'unknown'"),
    ):
        with pytest.raises(Failed, match=why):
            Expression(text, scope).evaluate(values, budget)


@pytest.mark.parametrize(
    ("texts", "met"),
    [
        ([], True),
        (["true", "object.n == 1"], True),
        (["object.absent", "object.n == 2"], False),
        (["object.absent", "true"], "resulted in error: no such key: absent"),
        (["object.a", "object.b"], "[expression 'object.a' resulted in error: no such key: a, expression"),
        (["authorizer.path('/').check('get').allowed()"] * 10, "running out of cost budget"),
    ],
)
def test_match_conditions(texts: list[str], met: bool | str) -> None:
    """https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-matchconditions
    : one that is false decides, else one that fails is for the failure policy."""
    values = {"object": {"n": 1}, "authorizer": authorizer(lambda _: Decision(True), OWN)}
    conditions = Conditions([{"name": str(i), "expression": text} for i, text in enumerate(texts)], declared())
    if isinstance(met, bool):
        assert conditions.met(values) is met
    else:
        with pytest.raises(Failed) as failed:
            conditions.met(values)
        assert met in str(failed.value)


def test_work_is_limited() -> None:
    budget = Budget(10)
    with pytest.raises(OutOfBudget, match="no further validation rules will be run"):
        value("object.spec.replicas == 7 && [1, 2, 3].all(i, i > 0)", budget)
