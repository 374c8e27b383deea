"""Objects and JSON patches that expressions spell out:
https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/"""

from __future__ import annotations

from typing import Any

import pytest

from api.cel.admission import POLICY_BUDGET, Expression, declared
from api.cel.patches import TYPES, plain
from api.cel.program import Budget, EvaluationError


def made(text: str) -> Any:
    values = {"object": {"spec": {"replicas": 2}, "metadata": {"labels": {"app": "web"}}}}
    return plain(Expression(text, declared(), TYPES).evaluate(values, Budget(POLICY_BUDGET)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Object{}", {}),
        ("Object{spec: Object.spec{replicas: object.spec.replicas + 1, paused: true}}", {"spec": {"replicas": 3, "paused": True}}),
        ("Object{spec: Object.spec{initContainers: [Object.spec.initContainers{name: 'a', args: ['x', 'y']}]}}",
         {"spec": {"initContainers": [{"name": "a", "args": ["x", "y"]}]}}),
        ("Object{metadata: Object.metadata{labels: {'a/b': 'c'}, ?name: optional.none()}}", {"metadata": {"labels": {"a/b": "c"}}}),
        ("[JSONPatch{op: 'move', from: '/a', path: '/metadata/labels/' + jsonpatch.escapeKey('k8s.io/x~y')}]",
         [{"op": "move", "from": "/a", "path": "/metadata/labels/k8s.io~1x~0y"}]),
        ("[JSONPatch{op: 'add', path: '/x', value: Object.spec.selector{matchLabels: {'a': 'b'}}}]",
         [{"op": "add", "path": "/x", "value": {"matchLabels": {"a": "b"}}}]),
        ("{'at': timestamp('2020-01-01T00:00:00Z')}", {"at": "2020-01-01T00:00:00Z"}),
        ("{'in': duration('90s')}", {"in": "90s"}),
        ("[b'a', b'b']", ["YQ==", "Yg=="]),
    ],
)  # fmt: skip
def test_what_is_made(text: str, expected: Any) -> None:
    assert made(text) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Object{spec: Object.metadata{}}", 'unexpected type name "Object.metadata", expected "Object.spec"'),
        ("Object{spec: Object.spec{containers: [Object.spec.volumes{}]}}", 'expected "Object.spec.containers"'),
        ("Object.spec{template: {'a': Object.spec.other{}}}", 'expected "Object.spec.template.a"'),
        ("[quantity('1Gi')]", "kubernetes.Quantity"),
    ],
)
def test_what_cannot_be_made(text: str, why: str) -> None:
    with pytest.raises(EvaluationError) as failed:
        made(text)
    assert why in str(failed.value)
