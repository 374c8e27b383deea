"""What the writer of a CustomResourceDefinition is told.

Source: k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation and pkg/apiserver/schema, v1.35.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest

from api.builtin import CUSTOM_RESOURCE_DEFINITIONS
from api.custom.definition import validate
from api.custom.status import wanted_status
from api.kinds.definition import default, deleting, prepare

Obj = dict[str, Any]
AT = "spec.validation.openAPIV3Schema"
LIST, MAP, KEYS = "x-kubernetes-list-type", "x-kubernetes-map-type", "x-kubernetes-list-map-keys"


def definition(**schema: Any) -> Obj:
    made: Obj = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "foos.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "foos", "kind": "Foo"},
            "versions": [
                {"name": "v1", "served": True, "storage": True,
                 "schema": {"openAPIV3Schema": {"type": "object", **schema}}},
            ],
        },
    }  # fmt: skip
    default(made)
    prepare(made, None)
    return made


def told(made: Obj, old: Obj | None = None) -> list[str]:
    return [str(error) for error in validate(made, old)]


def with_field(**field: Any) -> list[str]:
    return told(definition(properties={"f": field}))


def test_a_plain_definition_is_valid_and_filled_in() -> None:
    made = definition(properties={"spec": {"type": "object", "properties": {"a": {"type": "string"}}}})
    assert told(made) == []
    names = made["spec"]["names"]
    assert (names["singular"], names["listKind"]) == ("foo", "FooList")
    assert made["status"]["storedVersions"] == ["v1"]


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("metadata.name", "x", 'metadata.name: Invalid value: "x": must be spec.names.plural+"."+spec.group'),
        ("spec.group", "example", 'spec.group: Invalid value: "example": should be a domain with at least one dot'),
        ("spec.scope", "Global", 'spec.scope: Unsupported value: "Global": supported values: "Cluster", "Namespaced"'),
        ("spec.names.listKind", "Foo",
         'spec.names.listKind: Invalid value: "Foo": kind and listKind may not be the same'),
        ("spec.preserveUnknownFields", True,
         "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields "
         "to true in spec.versions[*].schema instead"),
        ("spec.versions.0.schema", None, "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"),
        ("spec.versions.0.deprecationWarning", "old",
         'spec.versions[0].deprecationWarning: Invalid value: "old": can only be set for deprecated versions'),
        ("spec.versions.0.subresources", {"scale": {"specReplicasPath": ".status.x", "statusReplicasPath": ".status.y"}},
         'spec.subresources.scale.specReplicasPath: Invalid value: ".status.x": should be a json path under .spec'),
        ("spec.versions.0.additionalPrinterColumns", [{"name": "A", "type": "text", "jsonPath": ".a"}],
         'spec.additionalPrinterColumns[0].type: Invalid value: "text": must be one of '
         "boolean,date,integer,number,string"),
        ("spec.versions.0.selectableFields", [{"jsonPath": ".spec.missing"}],
         'spec.selectableFields[0].jsonPath: Invalid value: ".spec.missing": is an invalid path: does not refer to a '
         "valid field"),
        ("spec.conversion", {"strategy": "Webhook"},
         "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook"),
        ("spec.conversion", {"strategy": "Maybe"},
         'spec.conversion.strategy: Unsupported value: "Maybe": supported values: "None", "Webhook"'),
    ],
)  # fmt: skip
def test_names_versions_subresources_columns_conversion(path: str, value: Any, text: str) -> None:
    made = definition()
    at: Any = made
    *steps, last = path.split(".")
    for step in steps:
        at = at[int(step)] if step.isdigit() else at[step]
    at[last] = value
    assert text in told(made)


def test_versions_have_names_of_their_own_and_one_is_stored() -> None:
    made = definition()
    made["spec"]["versions"].append({**copy.deepcopy(made["spec"]["versions"][0])})
    texts = told(made)
    assert any("must contain unique version names" in text for text in texts)
    assert any("must have exactly one version marked as storage version" in text for text in texts)


def test_what_versions_say_differently_is_told_under_the_version() -> None:
    made = definition()
    other = copy.deepcopy(made["spec"]["versions"][0])
    other |= {"name": "v2", "storage": False}
    other["schema"]["openAPIV3Schema"]["properties"] = {"f": {}}
    made["spec"]["versions"].append(other)
    at = "spec.versions[1].schema.openAPIV3Schema.properties[f].type"
    assert told(made) == [f"{at}: Required value: must not be empty for specified object fields"]


@pytest.mark.parametrize(
    ("field", "texts"),
    [
        ({}, ["type: Required value: must not be empty for specified object fields"]),
        ({"type": "array"}, ["items: Required value: must be specified"]),
        ({"type": "array", "items": {}}, ["items.type: Required value: must not be empty for specified array items"]),
        ({"type": "string", "allOf": [{"type": "string"}]},
         ["allOf[0].type: Forbidden: must be empty to be structural"]),
        ({"type": "string", "not": {"description": "x"}},
         ["not.description: Forbidden: must be empty to be structural"]),
        ({"type": "string", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
         ['type: Invalid value: "string": must be object if x-kubernetes-embedded-resource is true']),
        ({"type": "object", "x-kubernetes-embedded-resource": True},
         ["properties: Required value: must not be empty if x-kubernetes-embedded-resource is true without "
          "x-kubernetes-preserve-unknown-fields"]),
        ({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}, []),
        ({"x-kubernetes-int-or-string": True, "x-kubernetes-preserve-unknown-fields": True},
         ["x-kubernetes-preserve-unknown-fields: Invalid value: true: must be false if x-kubernetes-int-or-string is "
          "true"]),
        ({"type": "string", "default": 5},
         ['default: Invalid value: "integer": {at}.properties[f].default in body must be of type string: "integer"']),
        ({"type": "object", "default": {"x": 1}}, ['default: Invalid value: {{"x":1}}: must not have unknown fields']),
        ({"type": "array", "uniqueItems": True, "items": {"type": "string"}},
         ["uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"]),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}},
         ["additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"]),
        ({"type": "list"},
         ['type: Unsupported value: "list": supported values: "array", "boolean", "integer", "number", "object", '
          '"string"']),
        ({"type": "array", LIST: "bag", "items": {"type": "string"}},
         [f'{LIST}: Unsupported value: "bag": supported values: "atomic", "set", "map"']),
        ({"type": "string", LIST: "set"}, [f'type: Invalid value: "string": must be array if {LIST} is specified']),
        ({"type": "array", LIST: "map", "items": {"type": "object"}},
         [f"{KEYS}: Required value: must not be empty if {LIST} is map"]),
        ({"type": "array", LIST: "map", KEYS: ["a"], "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
         [f"items.properties[a].default: Required value: this property is in {KEYS}, so it must have a default or be a "
          "required property"]),
        ({"type": "array", LIST: "set", "items": {"type": "object"}},
         [f'items.{MAP}: Invalid value: "null": must be atomic as item of a list with {LIST}=set']),
        ({"type": "string", "x-kubernetes-preserve-unknown-fields": False},
         ["x-kubernetes-preserve-unknown-fields: Invalid value: false: must be true or undefined"]),
        ({"type": "string", "x-kubernetes-validations": [{"rule": "self =="}]}, None),
    ],
)  # fmt: skip
def test_a_schema_is_structural(field: Obj, texts: list[str] | None) -> None:
    found = with_field(**field)
    if texts is None:
        assert len(found) == 1 and found[0].startswith(f"{AT}.properties[f].x-kubernetes-validations[0].rule: ")
        return
    assert found == [f"{AT}.properties[f].{text.format(at=AT)}" for text in texts]


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"additionalProperties": {"type": "string"}}, f"{AT}.additionalProperties: Forbidden: must not be used at the root"),
        ({"anyOf": [{"properties": {"b": {}}}]},
         f"{AT}.properties[b]: Required value: because it is defined in {AT}.anyOf[0].properties[b]"),
        ({"nullable": True}, f"{AT}.nullable: Forbidden: nullable cannot be true at the root"),
        ({"type": "string"}, f'{AT}.type: Invalid value: "string": must be object at the root'),
        ({"properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}},
         f"{AT}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but "
         "metadata is implicitly specified"),
        ({"properties": {"kind": {"type": "string", "default": "Foo"}}},
         f"{AT}.properties[kind].default: Forbidden: must not be set in top-level kind"),
    ],
)  # fmt: skip
def test_the_root_of_a_schema(schema: Obj, text: str) -> None:
    assert text in told(definition(**schema))


def test_what_an_established_definition_may_not_change() -> None:
    old = definition()
    old["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    new = copy.deepcopy(old)
    new["spec"]["scope"], new["spec"]["names"]["kind"] = "Cluster", "Bar"
    assert told(new, old) == [
        'spec.scope: Invalid value: "Cluster": field is immutable',
        'spec.names.kind: Invalid value: "Bar": field is immutable',
    ]


def test_a_stored_version_stays_until_its_objects_are_migrated() -> None:
    """https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/
    #upgrade-existing-objects-to-a-new-stored-version"""
    new = definition()
    new["spec"]["versions"][0]["name"] = "v2"
    prepare(new, new)
    assert new["status"]["storedVersions"] == ["v1", "v2"]
    (text,) = told(new, definition())
    assert text.startswith(
        'status.storedVersions[0]: Invalid value: "v1": missing from spec.versions; v1 was previously'
    )


def test_protected_groups_need_approval() -> None:
    """KEP-1111."""
    made = definition()
    made["metadata"]["name"], made["spec"]["group"] = "foos.x.k8s.io", "x.k8s.io"
    field = "metadata.annotations[api-approved.kubernetes.io]"
    assert told(made)[0].startswith(f"{field}: Required value: protected groups must have approval annotation")
    made["metadata"]["annotations"] = {"api-approved.kubernetes.io": "maybe"}
    assert told(made)[0].startswith(f'{field}: Invalid value: "maybe": protected groups must have')
    made["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, experimental-only"}
    assert told(made) == []
    conditions = {c["type"]: c for c in wanted_status(made, [], "now")["conditions"]}
    assert conditions["KubernetesAPIApprovalPolicyConformant"]["reason"] == "UnapprovedAPI"


def conditions_of(made: Obj, *others: Obj) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in wanted_status(made, others, "now")["conditions"]}


def test_names_are_accepted_once_in_a_group() -> None:
    """Upstream's naming and establishing controllers."""
    first = definition()
    first["status"] = wanted_status(first, [], "now")
    assert conditions_of(first) == {
        "NamesAccepted": ("True", "NoConflicts"), "Established": ("True", "InitialNamesAccepted"),
    }  # fmt: skip
    assert wanted_status(first, [], "later") == first["status"]
    second = definition()
    second["metadata"]["name"], second["spec"]["names"]["plural"] = "bars.example.com", "bars"
    assert conditions_of(second, first) == {
        "NamesAccepted": ("False", "ListKindConflict"), "Established": ("False", "NotAccepted"),
    }  # fmt: skip
    second["spec"]["names"] = {
        "plural": "bars",
        "singular": "bar",
        "kind": "Bar",
        "listKind": "BarList",
        "shortNames": ["foo"],
    }
    status = wanted_status(second, [first], "now")
    assert status["conditions"][0]["message"] == '"foo" is already in use'
    assert status["acceptedNames"] == {"plural": "bars", "singular": "bar", "kind": "Bar", "listKind": "BarList"}
    second["spec"]["group"] = "other.com"
    assert conditions_of(second, first)["Established"] == ("True", "InitialNamesAccepted")


def test_deletion_leaves_the_finalizer_and_the_condition() -> None:
    made = definition()
    deleting(made, "now")
    assert made["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    (condition,) = made["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["reason"]) == (
        "Terminating", "True", "InstanceDeletionPending",
    )  # fmt: skip
    assert CUSTOM_RESOURCE_DEFINITIONS.hooks.deleting is deleting


def test_a_schema_as_generators_write_it_is_valid() -> None:
    """The constructs of controller-gen (https://book.kubebuilder.io/reference/markers/crd-validation.html)."""
    quantity = {
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "pattern": r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?[0-9]+))?$",
        "x-kubernetes-int-or-string": True,
    }
    port = {
        "type": "object",
        "required": ["containerPort"],
        "properties": {
            "containerPort": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535},
            "protocol": {"type": "string", "default": "TCP", "enum": ["TCP", "UDP"]},
        },
    }
    reference = {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"name": {"type": "string"}}}
    either = [{"required": ["a"]}, {"required": ["b"]}]
    spec = {
        "type": "object",
        "default": {},
        "properties": {
            "limits": {"type": "object", "additionalProperties": quantity},
            "ports": {"type": "array", "items": port, LIST: "map", KEYS: ["containerPort", "protocol"]},
            "refs": {"type": "array", "items": reference, LIST: "set"},
            "template": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "since": {"type": "string", "format": "date-time", "nullable": True},
            "mode": {"type": "string", "default": "auto", "x-kubernetes-validations": [{"rule": "self != 'never'"}]},
            "a": {"type": "string"},
            "b": {"type": "string"},
        },
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}, {"not": {"anyOf": either}}],
    }
    properties = {
        "apiVersion": {"type": "string", "description": "…"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": spec,
        "status": {"type": "object", "properties": {"conditions": {"type": "array", "items": reference}}},
    }
    made = definition(description="…", required=["spec"], properties=properties)
    made["spec"]["versions"][0]["subresources"] = {"status": {}}
    assert told(made) == []
