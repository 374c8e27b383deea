"""Pruning, defaulting and checking of custom objects.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/ and, for
messages, k8s.io/kube-openapi/pkg/validation and k8s.io/apiextensions-apiserver/pkg/apiserver/validation.
"""

from __future__ import annotations

from typing import Any

import pytest

from api.custom.defaulting import default
from api.custom.pruning import prune
from api.custom.sets import duplicates
from api.custom.validator import NEW, compile

STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


@pytest.mark.parametrize(
    ("schema", "value", "kept"),
    [
        (obj(a=STRING), {"a": "x", "b": 1}, {"a": "x"}),
        (obj(a=obj(b=STRING)), {"a": {"b": "x", "c": 1}}, {"a": {"b": "x"}}),
        (obj(a={"type": "object", "additionalProperties": STRING}), {"a": {"k": "v"}}, {"a": {"k": "v"}}),
        (obj(a={"type": "array", "items": obj(b=STRING)}), {"a": [{"b": "x", "c": 1}]}, {"a": [{"b": "x"}]}),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, {"b": {"c": 1}}, {"b": {"c": 1}}),
        (
            {"x-kubernetes-preserve-unknown-fields": True, **obj(spec=obj(a=STRING))},
            {"spec": {"a": "x", "z": 1}, "more": 2},
            {"spec": {"a": "x"}, "more": 2},
        ),
        (
            obj(e={"x-kubernetes-embedded-resource": True, **obj(spec=obj(a=STRING))}),
            {"e": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}, "spec": {"a": "x", "b": 1}, "z": 0}},
            {"e": {"apiVersion": "v1", "kind": "K", "metadata": {"name": "n"}, "spec": {"a": "x"}}},
        ),
        (obj(), {"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n"}, "x": 1},
         {"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n"}}),
    ],
    ids=["unknown", "nested", "map", "items", "preserved", "preserved-around", "embedded", "type-and-metadata"],
)  # fmt: skip
def test_prune(schema: dict[str, Any], value: Any, kept: Any) -> None:
    """Field pruning, controlling pruning, RawExtension."""
    prune(value, schema)
    assert value == kept


@pytest.mark.parametrize(
    ("field", "given", "after"),
    [
        ({"type": "string", "default": "d"}, {}, {"f": "d"}),
        ({"type": "string", "default": "d"}, {"f": "x"}, {"f": "x"}),
        ({"type": "string", "nullable": False, "default": "d"}, {"f": None}, {"f": "d"}),
        ({"type": "string", "nullable": True, "default": "d"}, {"f": None}, {"f": None}),
        ({"type": "string"}, {"f": None}, {}),
        ({"type": "string", "nullable": True}, {"f": None}, {"f": None}),
        ({"type": "string", "default": "d"}, {"f": False}, {"f": False}),
        ({"default": {"a": 1}, **obj(a=INTEGER, b={"default": 2, **INTEGER})}, {}, {"f": {"a": 1, "b": 2}}),
        (obj(b={"default": 2, **INTEGER}), {}, {}),
        ({"type": "array", "items": obj(b={"default": 2, **INTEGER})}, {"f": [{}]}, {"f": [{"b": 2}]}),
        ({"type": "object", "additionalProperties": obj(b={"default": 2, **INTEGER})}, {"f": {"k": {}}},
         {"f": {"k": {"b": 2}}}),
    ],
    ids=["absent", "given", "null", "nullable", "null-without-default", "kept-null", "other-type", "nested-default",
         "parent-absent", "items", "map"],
)  # fmt: skip
def test_default(field: dict[str, Any], given: Any, after: Any) -> None:
    """Defaulting, and its table of nullable."""
    default(given, obj(f=field))
    assert given == after


def told(schema: dict[str, Any], value: Any, old: Any = NEW) -> list[str]:
    return [str(error) for error in compile(schema)(value, old, "")[0]]


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        (INTEGER, "x", 'f: Invalid value: "string": f in body must be of type integer: "string"'),
        (INTEGER, None, 'f: Invalid value: "null": f in body must be of type integer: "null"'),
        (INTEGER, 1.5, 'f: Invalid value: "number": f in body must be of type integer: "number"'),
        (STRING, True, 'f: Invalid value: "boolean": f in body must be of type string: "boolean"'),
        ({"type": "integer", "minimum": 3}, 2, "f: Invalid value: 2: f in body should be greater than or equal to 3"),
        ({"type": "integer", "maximum": 3, "exclusiveMaximum": True}, 3,
         "f: Invalid value: 3: f in body should be less than 3"),
        ({"type": "integer", "multipleOf": 5}, 7, "f: Invalid value: 7: f in body should be a multiple of 5"),
        ({"type": "string", "maxLength": 2}, "abc", "f: Too long: may not be more than 2 bytes"),
        ({"type": "string", "minLength": 2}, "a", 'f: Invalid value: "a": f in body should be at least 2 chars long'),
        ({"type": "string", "pattern": "^a+$"}, "b", "f: Invalid value: \"b\": f in body should match '^a+$'"),
        ({"type": "string", "enum": ["a", "b"]}, "c", 'f: Unsupported value: "c": supported values: "a", "b"'),
        ({"type": "integer", "enum": [1, 2]}, 3, 'f: Unsupported value: 3: supported values: "1", "2"'),
        ({"type": "array", "items": STRING, "maxItems": 1}, ["a", "b"], "f: Too many: 2: must have at most 1 item"),
        ({"type": "array", "items": STRING, "minItems": 1}, [],
         "f: Invalid value: 0: f in body should have at least 1 items"),
        ({"type": "array", "items": STRING}, [1],
         'f[0]: Invalid value: "integer": f[0] in body must be of type string: "integer"'),
        ({"type": "object", "required": ["a"], **obj(a=STRING)}, {}, "f.a: Required value"),
        ({"type": "object", "minProperties": 1}, {}, "f: Invalid value: 0: f in body should have at least 1 properties"),
        ({"type": "object", "additionalProperties": STRING, "maxProperties": 1}, {"a": "1", "b": "2"},
         "f: Too many: 2: must have at most 1 item"),
        ({"type": "string", "format": "date-time"}, "soon",
         'f: Invalid value: "soon": f in body must be of type date-time: "soon"'),
        ({"x-kubernetes-int-or-string": True}, True,
         'f: Invalid value: "boolean": f in body must be of type integer,string: "boolean"'),
    ],
)  # fmt: skip
def test_a_broken_rule_is_told_in_upstreams_words(field: dict[str, Any], value: Any, text: str) -> None:
    assert told(obj(f=field), {"f": value}) == [text]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (INTEGER, 5.0),
        ({"type": "number"}, 5),
        ({"type": "string", "nullable": True}, None),
        ({"x-kubernetes-int-or-string": True}, "50%"),
        ({"type": "string", "format": "ipv6"}, "::1"),
        ({"type": "string", "format": "no-such-format"}, "whatever"),
        ({"type": "string", "pattern": r"^[[:alnum:]]+\z"}, "abc"),
        ({"x-kubernetes-preserve-unknown-fields": True}, {"a": [1]}),
    ],
)
def test_what_is_valid(field: dict[str, Any], value: Any) -> None:
    assert told(obj(f=field), {"f": value}) == []


def test_alternatives() -> None:
    """oneOf, anyOf, allOf and not: what failed is told beside the alternative that came furthest."""
    one = {"type": "object", **obj(a=STRING, b=STRING), "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}
    assert told(obj(f=one), {"f": {}}) == [
        '<nil>: Invalid value: "": "f" must validate one and only one schema (oneOf). Found none valid',
        "f.a: Required value",
    ]
    assert told(obj(f=one), {"f": {"a": "", "b": ""}}) == [
        '<nil>: Invalid value: "": "f" must validate one and only one schema (oneOf). Found 2 valid alternatives'
    ]
    assert told(obj(f={"not": {"required": ["a"]}}), {"f": {"a": 1}}) == [
        '<nil>: Invalid value: "": "f" must not validate the schema (not)'
    ]
    assert told(obj(f={"anyOf": [{"minimum": 5}]}), {"f": 1})[0].endswith("validate at least one schema (anyOf)")
    assert told(obj(f={"allOf": [{"minimum": 5}, {"maximum": 9}]}), {"f": 1})[1].endswith("all the schemas (allOf)")


def test_what_did_not_change_is_not_checked_again() -> None:
    """KEP-4008: a field that was invalid before may stay so while others change; items of a map are told apart."""
    schema = obj(a={"type": "string", "maxLength": 1}, b=INTEGER)
    assert told(schema, {"a": "long", "b": 2}, {"a": "long", "b": 1}) == []
    assert told(schema, {"a": "longer", "b": 2}, {"a": "long", "b": 1}) == ["a: Too long: may not be more than 1 bytes"]
    assert told(schema, {"b": True}, {"b": 1}) != []
    item = obj(name=STRING, port={"type": "integer", "maximum": 9})
    ports = {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    before, after = {"p": [{"name": "x", "port": 99}]}, {"p": [{"name": "y", "port": 1}, {"name": "x", "port": 99}]}
    assert told(obj(p=ports), after, before) == []
    assert told(obj(p={**ports, "x-kubernetes-list-type": "atomic"}), after, before) != []


def test_sets_and_maps_hold_nothing_twice() -> None:
    """x-kubernetes-list-type, from https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy"""
    tags = {"type": "array", "items": STRING, "x-kubernetes-list-type": "set"}
    item = obj(name=STRING, value=STRING)
    env = {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    value = {"tags": ["a", "b", "a"], "env": [{"name": "x", "value": "1"}, {"name": "x", "value": "2"}]}
    assert [str(e) for e in duplicates(value, obj(tags=tags, env=env), "")] == [
        'tags[2]: Duplicate value: "a"',
        'env[1]: Duplicate value: {"name":"x"}',
    ]
