"""Expressions of policies and webhooks: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/ ,
https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/"""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.admission.expressions import expressions, wrong

ASKS = "authorizer.group('').resource('pods').check('get').allowed()"


def policy(**spec: Any) -> dict[str, Any]:
    return {"spec": spec}


def patching(kind: str, expression: str) -> dict[str, Any]:
    return policy(mutations=[{kind: {"expression": expression}}])


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (policy(validations=[{"expression": "object.spec.replicas <= 5"}]), ""),
        (policy(validations=[{"expression": "object."}]),
         'spec.validations[0].expression: Invalid value: "object.": compilation failed: ERROR: <input>:1:8: Syntax error'),
        (policy(validations=[{"expression": "1 + 1"}]), 'Invalid value: "1 + 1": must evaluate to bool but got int'),
        (policy(validations=[{"expression": "object.spec.paused"}]), "must evaluate to bool but got dyn"),
        (policy(validations=[{"expression": "true", "messageExpression": "5"}]),
         'spec.validations[0].messageExpression: Invalid value: "5": must evaluate to string but got int'),
        (policy(validations=[{"expression": ASKS, "messageExpression": f"string({ASKS})"}]),
         "undeclared reference to 'authorizer'"),
        (policy(auditAnnotations=[{"key": "a", "valueExpression": "1"}]),
         "must evaluate to one of [string null_type] but got int"),
        (policy(auditAnnotations=[{"key": "a", "valueExpression": "'x' + string(object.n)"}]), ""),
        (policy(validations=[{"expression": "params.x > 1"}]), "undeclared reference to 'params'"),
        (policy(paramKind={"kind": "X"}, validations=[{"expression": "params.x > 1"}]), ""),
        (policy(variables=[{"name": "n", "expression": "size(object.a)"}], validations=[{"expression": "variables.n > 1"}]), ""),
        (policy(variables=[{"name": "n", "expression": "'a'"}], validations=[{"expression": "variables.n > 1"}]),
         "found no matching overload for '_>_' applied to '(string, int)'"),
        (policy(variables=[{"name": "a", "expression": "variables.b"}, {"name": "b", "expression": "1"}]),
         "spec.variables[0].expression: Invalid value: \"variables.b\": compilation failed: ERROR: <input>:1:10: undefined field 'b'"),
        (policy(matchConditions=[{"name": "a", "expression": "variables.n > 1"}]), "undeclared reference to 'variables'"),
        (policy(matchConditions=[{"name": "a", "expression": ASKS}]), ""),
        (policy(matchConditions=[{"name": "a", "expression": "authorizer.resource('pods').check('get').allowed()"}]),
         "found no matching overload for 'resource'"),
        (policy(validations=[{"expression": "authorizer.requestResource.check('get').reason()"}]),
         "must evaluate to bool but got string"),
        (policy(validations=[{"expression": "request.user == 'x'"}]), "undefined field 'user'"),
        ({"webhooks": [{"matchConditions": [{"name": "a", "expression": "request.x ==="}]}]},
         "webhooks[0].matchConditions[0].expression: Invalid value:"),
        (patching("applyConfiguration", "Object{spec: Object.spec{replicas: 3}}"), ""),
        (patching("applyConfiguration", "{'spec': 1}"), "must evaluate to Object but got map(string, int)"),
        (patching("jsonPatch", "[JSONPatch{op: 'remove', path: '/spec/x'}]"), ""),
        (patching("jsonPatch", "JSONPatch{op: 'remove', path: '/spec/x'}"), "must evaluate to list(JSONPatch) but got"),
        (patching("jsonPatch", "[JSONPatch{op: 1}]"), "expected type of field 'op' is 'string' but provided type is 'int'"),
    ],
)  # fmt: skip
def test_an_expression_compiles_to_what_it_must_be(obj: dict[str, Any], message: str) -> None:
    found = [str(error) for each in expressions(obj) for error in wrong(each)]
    assert bool(found) == bool(message), found
    assert not message or message in found[0]
