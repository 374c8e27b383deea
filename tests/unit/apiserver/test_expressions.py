"""Expressions of policies and webhooks: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/"""

from __future__ import annotations

from typing import Any

import pytest

from apiserver.admission.expressions import compiled, expressions


def policy(**spec: Any) -> dict[str, Any]:
    return {"spec": spec}


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        (policy(validations=[{"expression": "object.spec.replicas <= 5"}]), ""),
        (policy(validations=[{"expression": "object."}]),
         'spec.validations[0].expression: Invalid value: "object.": compilation failed: ERROR: <input>:1:8: Syntax error'),
        (policy(validations=[{"expression": "1 + 1"}]), 'Invalid value: "1 + 1": must evaluate to bool'),
        (policy(validations=[{"expression": "true", "messageExpression": "5"}]),
         'spec.validations[0].messageExpression: Invalid value: "5": must evaluate to string'),
        (policy(validations=[{"expression": "params.x > 1"}]), "undeclared reference to 'params'"),
        (policy(paramKind={"kind": "X"}, validations=[{"expression": "params.x > 1"}]), ""),
        (policy(variables=[{"name": "n", "expression": "size(object.a)"}], validations=[{"expression": "variables.n > 1"}]), ""),
        (policy(matchConditions=[{"name": "a", "expression": "variables.n > 1"}]), "undeclared reference to 'variables'"),
        (policy(matchConditions=[{"name": "a", "expression": "authorizer.group('').resource('pods').check('get').allowed()"}]), ""),
        ({"webhooks": [{"matchConditions": [{"name": "a", "expression": "request.x ==="}]}]},
         "webhooks[0].matchConditions[0].expression: Invalid value:"),
    ],
)  # fmt: skip
def test_an_expression_compiles_to_what_it_must_be(obj: dict[str, Any], message: str) -> None:
    found = [str(error) for each in expressions(obj) for error in compiled(*each)]
    assert bool(found) == bool(message), found
    assert not message or message in found[0]
