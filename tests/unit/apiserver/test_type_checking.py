"""https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#type-checking"""

from __future__ import annotations

from typing import Any

import pytest

from api.builtin import BUILTIN
from api.cel.kinds import type_of
from api.meta import Obj
from api.registry import Registry
from apiserver.admission.policies.checking import warnings

REGISTRY = Registry(BUILTIN)


def spec(
    *validations: Obj, groups: str = "apps", versions: str = "v1", resources: str = "deployments", **more: Any
) -> Obj:
    rule = {"apiGroups": groups.split(","), "apiVersions": versions.split(","), "resources": resources.split(",")}
    return {"matchConstraints": {"resourceRules": [rule]}, "validations": [*validations], **more}


def test_the_example() -> None:
    checked = {"expression": "object.replicas > 1", "message": "must be replicated"}
    assert warnings(spec(checked), REGISTRY) == [{
        "fieldRef": "spec.validations[0].expression",
        "warning": "apps/v1, Kind=Deployment: ERROR: <input>:1:7: undefined field 'replicas'\n | object.replicas > 1\n"
        " | ......^\n",
    }]  # fmt: skip


def test_each_kind_is_told_in_order() -> None:
    """ "If multiple resources are matched, each is checked"."""
    found = warnings(
        spec({"expression": "object.spec.replicas > 1"}, groups=",apps", resources="pods,deployments"), REGISTRY
    )
    assert [w["warning"].partition(":")[0] for w in found] == ["/v1, Kind=Pod"]
    found = warnings(spec({"expression": "object.x == 1"}, groups=",apps", resources="pods,deployments"), REGISTRY)
    assert found[0]["warning"].split(": ERROR")[0] == "/v1, Kind=Pod"
    assert "\n\napps/v1, Kind=Deployment: ERROR" in found[0]["warning"]


@pytest.mark.parametrize(
    ("checked", "more", "wrong"),
    [
        ({"expression": "object.spec.replicas > 1 && object.metadata.labels['a'] == 'b'"}, {}, ""),
        ({"expression": "object.spec.template.spec.containers.all(c, c.image.startsWith('x'))"}, {}, ""),
        ({"expression": "object.spec.replicas > 'a'"}, {}, "found no matching overload for '_>_' applied to '(int, string)'"),
        ({"expression": "true", "messageExpression": "object.nmae"}, {}, "undefined field 'nmae'"),
        ({"expression": "variables.n > 1"}, {"variables": [{"name": "n", "expression": "object.spec.replicas"}]}, ""),
        ({"expression": "variables.n > 'a'"}, {"variables": [{"name": "n", "expression": "object.spec.replicas"}]}, "'(int, string)'"),
        ({"expression": "params.data['x'] == 1"}, {"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}, "'(string, int)'"),
        ({"expression": "object.x"}, {"resources": "*"}, ""),
        ({"expression": "object.x"}, {"resources": "deployments/status"}, ""),
        ({"expression": "object.x"}, {"versions": "*"}, ""),
        ({"expression": "object.x"}, {"resources": "unknowns"}, ""),
    ],
)  # fmt: skip
def test_what_is_checked(checked: Obj, more: Obj, wrong: str) -> None:
    found = warnings(spec(checked, **more), REGISTRY)
    assert bool(found) == bool(wrong), found
    assert not wrong or wrong in found[0]["warning"]


def test_every_kind_has_a_type() -> None:
    assert [row.kind for row in BUILTIN if type_of(row) is None] == []
