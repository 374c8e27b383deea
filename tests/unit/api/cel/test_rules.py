"""x-kubernetes-validations. Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/
custom-resource-definitions/#validation-rules; its tables of examples are here as tables."""

import pytest

from api.cel.check import check_rules
from api.cel.rules import compile_rules

AT = "spec.versions[0].schema.openAPIV3Schema"
INT, TEXT = {"type": "integer"}, {"type": "string", "maxLength": 20}


def obj(rules=(), **properties):
    return {"type": "object", "properties": properties, "x-kubernetes-validations": [
        r if isinstance(r, dict) else {"rule": r} for r in rules
    ]}  # fmt: skip


def array(items, rules=(), kind=None, keys=None):
    made = {"type": "array", "items": items, "maxItems": 10}
    if rules:
        made["x-kubernetes-validations"] = [r if isinstance(r, dict) else {"rule": r} for r in rules]
    if kind:
        made["x-kubernetes-list-type"] = kind
    if keys:
        made["x-kubernetes-list-map-keys"] = keys
    return made


def mapping(values, rules=()):
    return {"type": "object", "additionalProperties": values, "maxProperties": 10,
            "x-kubernetes-validations": [{"rule": r} for r in rules]}  # fmt: skip


def failures(schema, new, old=None):
    assert check_rules(schema, AT) == []
    compiled = compile_rules(schema)
    assert compiled is not None
    return [str(e) for e in compiled.validate(new, old)]


WIDGET = {"type": "object", "properties": {"key": TEXT, "foo": INT, "name": TEXT, "value": TEXT}}


@pytest.mark.parametrize(
    ("rule", "properties", "good", "bad"),
    [
        (
            "self.minReplicas <= self.replicas && self.replicas <= self.maxReplicas",
            {"minReplicas": INT, "replicas": INT, "maxReplicas": INT},
            {"minReplicas": 0, "replicas": 5, "maxReplicas": 10},
            {"minReplicas": 0, "replicas": 20, "maxReplicas": 10},
        ),
        ("'Available' in self.stateCounts", {"stateCounts": mapping(INT)}, {"stateCounts": {"Available": 1}}, {"stateCounts": {}}),
        (
            "(size(self.list1) == 0) != (size(self.list2) == 0)",
            {"list1": array(INT), "list2": array(INT)},
            {"list1": [], "list2": [1]},
            {"list1": [1], "list2": [1]},
        ),
        (
            "!('MY_KEY' in self.map1) || self.map1['MY_KEY'].matches('^[a-zA-Z]*$')",
            {"map1": mapping(TEXT)},
            {"map1": {"MY_KEY": "abc"}},
            {"map1": {"MY_KEY": "12"}},
        ),
        (
            "self.envars.filter(e, e.name == 'MY_ENV').all(e, e.value.matches('^[a-zA-Z]*$'))",
            {"envars": array(WIDGET, kind="map", keys=["name"])},
            {"envars": [{"name": "MY_ENV", "value": "a"}, {"name": "X", "value": "1"}]},
            {"envars": [{"name": "MY_ENV", "value": "1"}]},
        ),
        (
            "has(self.expired) && self.created + self.ttl < self.expired",
            {"expired": {"type": "string", "format": "date-time"}, "created": {"type": "string", "format": "date-time"},
             "ttl": {"type": "string", "format": "duration"}},
            {"created": "2021-12-02T02:27:44Z", "ttl": "24h", "expired": "2021-12-03T02:27:45Z"},
            {"created": "2021-12-02T02:27:44Z", "ttl": "24h", "expired": "2021-12-03T02:27:44Z"},
        ),
        ("self.health.startsWith('ok')", {"health": TEXT}, {"health": "okay"}, {"health": "no"}),
        (
            "self.widgets.exists(w, w.key == 'x' && w.foo < 10)",
            {"widgets": array(WIDGET, kind="map", keys=["key"])},
            {"widgets": [{"key": "x", "foo": 9}]},
            {"widgets": [{"key": "x", "foo": 10}]},
        ),
        (
            "type(self.port) == string ? self.port == '100%' : self.port == 1000",
            {"port": {"x-kubernetes-int-or-string": True}},
            {"port": "100%"},
            {"port": 99},
        ),
        ("self.metadata.name.startsWith(self.prefix)", {"prefix": TEXT}, {"metadata": {"name": "ab"}, "prefix": "a"}, {"metadata": {"name": "ab"}, "prefix": "b"}),
        (
            "self.set1.all(e, !(e in self.set2))",
            {"set1": array(INT, kind="set"), "set2": array(INT, kind="set")},
            {"set1": [1], "set2": [2]},
            {"set1": [1, 2], "set2": [2]},
        ),
        (
            "size(self.names) == size(self.details) && self.names.all(n, n in self.details)",
            {"names": array(TEXT, kind="set"), "details": mapping(INT)},
            {"names": ["a"], "details": {"a": 1}},
            {"names": ["a"], "details": {"b": 1}},
        ),
        (
            "size(self.clusters.filter(c, c.name == self.primary)) == 1",
            {"clusters": array(WIDGET), "primary": TEXT},
            {"clusters": [{"name": "a"}], "primary": "a"},
            {"clusters": [], "primary": "a"},
        ),
        ("self.values.all(value, value >= 0 && value < 100)", {"values": array(INT)}, {"values": [1]}, {"values": [100]}),
        ("self.components['Widget'].foo < 10", {"components": mapping(WIDGET)}, {"components": {"Widget": {"foo": 1}}}, {"components": {"Widget": {"foo": 10}}}),
        ("self.details.all(key, key.matches('^[a-zA-Z]*$'))", {"details": mapping(INT)}, {"details": {"a": 1}}, {"details": {"1": 1}}),
        # escaping
        ("self.__namespace__ > 0", {"namespace": INT}, {"namespace": 1}, {"namespace": 0}),
        ("self.x__dash__prop > 0", {"x-prop": INT}, {"x-prop": 1}, {"x-prop": 0}),
        ("self.redact__underscores__d > 0", {"redact__d": INT}, {"redact__d": 1}, {"redact__d": 0}),
        ("self.a__dot__b__slash__c == 'x'", {"a.b/c": TEXT}, {"a.b/c": "x"}, {"a.b/c": ""}),
        # list types
        ("self.s == [2, 1]", {"s": array(INT, kind="set")}, {"s": [1, 2]}, {"s": [1, 3]}),
        ("self.s + [2, 3] == [1, 2, 3]", {"s": array(INT, kind="set")}, {"s": [1, 2]}, {"s": [4]}),
        (
            "(self.a + self.b).map(w, w.foo) == [3, 2]",
            {"a": array(WIDGET, kind="map", keys=["key"]), "b": array(WIDGET, kind="map", keys=["key"])},
            {"a": [{"key": "x", "foo": 1}, {"key": "y", "foo": 2}], "b": [{"key": "x", "foo": 3}]},
            {"a": [{"key": "x", "foo": 1}], "b": []},
        ),
        # types of formats, and null as absent
        ("self.b == b'hi'", {"b": {"type": "string", "format": "byte"}}, {"b": "aGk="}, {"b": ""}),
        ("self.d.getMonth() == 1", {"d": {"type": "string", "format": "date"}}, {"d": "2020-02-01"}, {"d": "2020-01-01"}),
        ("self.n / 2.0 == 1.5", {"n": {"type": "number"}}, {"n": 3}, {"n": 2}),
        ("has(self.foo)", {"foo": {"type": "integer", "nullable": True}}, {"foo": 1}, {"foo": None}),
    ],
)  # fmt: skip
def test_examples_of_the_documentation(rule, properties, good, bad):
    schema = obj([rule], **properties)
    assert failures(schema, good) == []
    assert failures(schema, bad) == [f"<nil>: Invalid value: failed rule: {rule}"]


def test_the_error_is_placed_and_carries_scalars():
    spec = obj(
        [{"rule": "self.replicas <= self.max", "message": "too many", "fieldPath": ".replicas"}],
        replicas=INT | {"x-kubernetes-validations": [{"rule": "self != 7"}]},
        max=INT,
        names=array(
            TEXT | {"x-kubernetes-validations": [{"rule": "self.size() < 3", "reason": "FieldValueForbidden"}]}
        ),
        labels=mapping(
            INT | {"x-kubernetes-validations": [{"rule": "self > 0", "messageExpression": "'not ' + string(self)"}]}
        ),
    )
    found = failures(obj(spec=spec), {"spec": {"replicas": 7, "max": 1, "names": ["ab", "abc"], "labels": {"a": -1}}})
    assert found == [
        "spec.replicas: Invalid value: too many",
        "spec.replicas: Invalid value: 7: failed rule: self != 7",
        "spec.names[1]: Forbidden: failed rule: self.size() < 3",
        "spec.labels[a]: Invalid value: -1: not -1",
    ]


def test_an_expression_without_value_fails_the_rule():
    assert failures(obj(["self.a > 1"], a=INT), {}) == [
        '<nil>: Invalid value: "object": no such key: a evaluating rule: self.a > 1'
    ]
    assert failures(obj(["self.a > 1"], a={"x-kubernetes-int-or-string": True}), {"a": "x"}) == [
        "<nil>: Invalid value: \"object\": 'no such overload: _>_(string, int)': call arguments did not match a "
        "supported operator, function or macro signature for rule: self.a > 1"
    ]


def test_a_failing_message_expression_falls_back_to_the_message():
    rule = {"rule": "self.a == 1", "message": "must be one", "messageExpression": "'a\\n' + self.b"}
    schema = obj([rule], a=INT, b=TEXT)
    assert failures(schema, {"a": 2}) == ["<nil>: Invalid value: must be one"]
    assert failures(schema, {"a": 2, "b": "x"}) == ["<nil>: Invalid value: must be one"]


@pytest.mark.parametrize(
    ("rule", "schema", "old", "good", "bad"),
    [
        ("self == oldSelf", INT, 1, 1, 2),
        ("oldSelf != 'bar' || self == 'bar'", TEXT, "bar", "bar", "foo"),
        ("self.all(element, element in oldSelf)", array(INT, kind="set"), [1, 2], [2], [3]),
        ("oldSelf != 'X' || self in ['A', 'B']", TEXT, "X", "A", "Y"),
        ("self >= oldSelf", INT, 3, 4, 2),
    ],
)
def test_transition_rules(rule, schema, old, good, bad):
    """The table "Transition rules examples"; they never run without an old value."""
    whole = obj(v=schema | {"x-kubernetes-validations": [{"rule": rule}]})
    assert failures(whole, {"v": bad}) == failures(whole, {"v": bad}, {}) == []
    assert failures(whole, {"v": good}, {"v": old}) == []
    assert len(failures(whole, {"v": bad}, {"v": old})) == 1


def test_transition_rules_find_items_of_list_maps():
    item = obj(["self.value == oldSelf.value"], name=TEXT, value=INT)
    schema = obj(items=array(item, kind="map", keys=["name"]))
    old = {"items": [{"name": "a", "value": 1}, {"name": "b", "value": 2}]}
    assert failures(schema, {"items": [{"name": "b", "value": 2}, {"name": "c", "value": 3}]}, old) == []
    assert failures(schema, {"items": [{"name": "b", "value": 1}]}, old) == [
        "items[0]: Invalid value: failed rule: self.value == oldSelf.value"
    ]


def test_optional_old_self_runs_on_create():
    """https://kubernetes.io/docs/…/#field-optional-oldself"""
    rule = {"rule": "oldSelf.hasValue() || self == 'new'", "optionalOldSelf": True}
    schema = obj(v=TEXT | {"x-kubernetes-validations": [rule]})
    assert failures(schema, {"v": "new"}) == []
    assert failures(schema, {"v": "x"}, {"v": "y"}) == []
    assert failures(schema, {"v": "x"}) == ["v: Invalid value: \"x\": failed rule: oldSelf.hasValue() || self == 'new'"]


def test_what_did_not_change_is_not_held_against_an_update():
    """KEP-4008."""
    inner = obj(["self.a > 0"], a=INT, b=INT)
    schema = obj(x=inner, list=array(inner))
    bad = {"x": {"a": 0}, "list": [{"a": 0}], "other": 1}
    assert len(failures(schema, bad)) == 2
    assert failures(schema, bad | {"other": 2}, bad) == []
    assert failures(schema, {"x": {"a": 0, "b": 1}, "list": [{"a": 0}]}, bad) == [
        "x: Invalid value: failed rule: self.a > 0"
    ]
    assert failures(schema, {"x": {"a": 0}, "list": [{"a": 0}, {"a": 1}]}, bad) == [
        "list[0]: Invalid value: failed rule: self.a > 0"
    ]


def test_embedded_resources_have_a_name():
    template = obj(["self.kind == 'Pod' && self.metadata.name == 'x'"]) | {"x-kubernetes-embedded-resource": True}
    schema = obj(template=template)
    assert failures(schema, {"template": {"kind": "Pod", "metadata": {"name": "x"}}}) == []
    assert len(failures(schema, {"template": {"kind": "Pod", "metadata": {"name": "y"}}})) == 1


def test_an_object_that_costs_too_much_is_refused():
    quadratic = "self.all(x, self.all(y, x == y || self.all(z, z >= 0)))"
    schema = obj(v=array(INT, [quadratic]) | {"maxItems": 100})
    found = [str(e) for e in compile_rules(schema).validate({"v": list(range(1000))}, None)]
    assert found == [
        "v: Invalid value: \"array\": 'operation cancelled: actual cost limit exceeded': no further validation rules "
        f"will be run due to call cost exceeds limit for rule: {quadratic}"
    ]


SHOWN = (
    'apiextensions.ValidationRule{{Rule:"{}", Message:"", MessageExpression:"", '
    'Reason:(*apiextensions.FieldValueErrorReason)(nil), FieldPath:"", OptionalOldSelf:(*bool)(nil)}}'
)


@pytest.mark.parametrize(
    ("rule", "why"),
    [
        ("self == true", "compilation failed: ERROR: <input>:1:6: found no matching overload for '_==_' applied to '(int, bool)'\n | self == true\n | .....^"),
        ("self.x > 0", "compilation failed: ERROR: <input>:1:5: type 'int' does not support field selection\n | self.x > 0\n | ....^"),
        ("self + 1", "cel expression must evaluate to a bool"),
    ],
)  # fmt: skip
def test_rules_that_do_not_compile(rule, why):
    schema = obj(spec=obj(n=INT | {"x-kubernetes-validations": [{"rule": rule}]}))
    assert [str(e) for e in check_rules(schema, AT)] == [
        f"{AT}.properties[spec].properties[n].x-kubernetes-validations[0].rule: Invalid value: "
        f"{SHOWN.format(rule)}: {why}"
    ]


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"rule": " "}, "rule: Required value: rule is not specified"),
        ({"rule": "true", "message": " "}, 'message: Invalid value: " ": message must be non-empty if specified'),
        ({"rule": "true\n&& true"}, "message: Required value: message must be specified if rule contains line breaks"),
        ({"rule": "true", "reason": "No"}, 'reason: Unsupported value: "No": supported values: "FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"'),
        ({"rule": "true", "fieldPath": ".b"}, 'fieldPath: Invalid value: ".b": fieldPath must be a valid path: does not refer to a valid field'),
        ({"rule": "true", "fieldPath": "a"}, 'fieldPath: Invalid value: "a": fieldPath must be a valid path: expected [ or . but got: a'),
    ],
)  # fmt: skip
def test_rules_that_are_malformed(rule, error):
    assert [str(e) for e in check_rules(obj([rule], a=INT), AT)] == [f"{AT}.x-kubernetes-validations[0].{error}"]


def test_defaults_keep_the_rules() -> None:
    schema = obj(v=INT | {"default": 0, "x-kubernetes-validations": [{"rule": "self > 0"}]})
    assert [str(e) for e in check_rules(schema, AT)] == [
        f"{AT}.properties[v].default: Invalid value: 0: failed rule: self > 0"
    ]


def test_old_values_that_cannot_be_found_again():
    bad = obj(v=array(INT | {"x-kubernetes-validations": [{"rule": "self == oldSelf"}]}))
    assert [str(e) for e in check_rules(bad, AT)] == [
        f'{AT}.properties[v].items.x-kubernetes-validations[0].rule: Invalid value: "self == oldSelf": oldSelf '
        f"cannot be used on the uncorrelatable portion of the schema within {AT}.properties[v]"
    ]


def test_rules_without_a_visible_value():
    schema = obj(v={"x-kubernetes-preserve-unknown-fields": True, "x-kubernetes-validations": [{"rule": "true"}]})
    assert "does not support validation rules type: '' x-kubernetes-preserve-unknown-fields: 'true'" in str(
        check_rules(schema, AT)[0]
    )


@pytest.mark.parametrize(
    ("limits", "factor"),
    [({}, "more than 100x"), ({"maxItems": 25}, None)],
    ids=["unbounded", "bounded"],
)
def test_rules_that_may_cost_too_much(limits, factor):
    """https://kubernetes.io/docs/…/#resource-use-by-validation-functions: the example and its remedy."""
    foo = {"type": "array", "items": {"type": "string"} | ({"maxLength": 50} if limits else {}), **limits,
           "x-kubernetes-validations": [{"rule": "self.all(x, x.contains('a string'))"}]}  # fmt: skip
    found = [str(e) for e in check_rules(obj(spec=obj(foo=foo)), AT)]
    advice = "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    at = f"{AT}.properties[spec].properties[foo].x-kubernetes-validations[0].rule"
    expected = f"{at}: Forbidden: estimated rule cost exceeds budget by factor of {factor} {advice}"
    assert (found[:1] == [expected]) if factor else (found == [])
