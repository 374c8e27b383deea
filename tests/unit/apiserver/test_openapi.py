"""OpenAPI documents and discovery as upstream writes them, made of rows alone."""

from __future__ import annotations

from typing import Any

import pytest

from api.builtin import BUILTIN
from api.custom.schema import CustomSchema
from api.registry import Registry, Resource
from api.schemas import definitions
from apiserver import discovery
from apiserver.openapi import paths, protobuf, schemas
from apiserver.openapi.documents import Documents
from apiserver.served import version_order

CRON_TAB = Resource(
    "stable.example.com", "v1", "CronTab", "crontabs", "crontab", True, ("ct",), subresources=("status",),
    custom=CustomSchema(
        definition="crontabs.stable.example.com",
        schema={
            "type": "object",
            "properties": {"spec": {
                "type": "object", "required": ["cronSpec"],
                "properties": {
                    "cronSpec": {"type": "string", "description": "When.", "default": "* * * * *"},
                    "replicas": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
                },
            }},
        },
    ),
)  # fmt: skip
PLAIN = Resource("stable.example.com", "v1", "Plain", "plains", "plain", False,
                 custom=CustomSchema(definition="plains.stable.example.com", schema={}))  # fmt: skip


def _no_subresources(row: Resource) -> dict[str, tuple[str, ...]]:
    return {name: ("get", "patch", "update") for name in row.subresources if name in ("status", "scale")}


def _references(value: Any) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_references, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
    return own.union(*map(_references, value.values())) if value else own


def test_versions_are_ordered_as_kubernetes_does() -> None:
    """The example of https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/#version-priority"""
    told = ["v10", "v2", "v1", "v11beta2", "v10beta3", "v3beta1", "v12alpha1", "v11alpha2", "foo1", "foo10"]
    shuffled = told[::-1]
    assert sorted(shuffled, key=version_order) == told


def test_groups_are_ordered_by_priority() -> None:
    """pkg/controlplane/apiserver/aggregator.go; custom groups have 1000, remote ones what their APIService says."""
    remotes = [
        discovery.Remote("metrics.k8s.io", "v1beta1", 100, 100),
        discovery.Remote("custom.metrics.k8s.io", "v1beta1", 2000, 100),
        discovery.Remote("custom.metrics.k8s.io", "v1beta2", 2000, 200),
    ]
    found = discovery.groups([CRON_TAB, *BUILTIN], remotes)
    names = [group.name for group in found]
    assert names[0] == "" and names.index("apps") < names.index("coordination.k8s.io")
    assert names[-3:] == ["custom.metrics.k8s.io", "stable.example.com", "metrics.k8s.io"]
    assert [v.name for v in found[-3].versions] == ["v1beta2", "v1beta1"]


def test_the_storage_version_hash_is_upstreams() -> None:
    """As any cluster of upstream answers at /api/v1 (api/discovery/api__v1.json)."""
    listed = discovery.resource_list("v1", list(BUILTIN), _no_subresources)["resources"]
    told = {entry["name"]: entry.get("storageVersionHash") for entry in listed}
    assert told["pods"] == "xPOwRZ+Yhw8="
    assert told["configmaps"] == "qFsyl6wFWjQ="
    assert told["services"] == "0/CO1lhkEBI="


def test_an_old_list_of_resources_becomes_an_aggregated_one() -> None:
    document = {
        "groupVersion": "metrics.k8s.io/v1beta1",
        "resources": [
            {"name": "pods/status", "kind": "PodMetrics", "verbs": ["get"], "namespaced": True},
            {"name": "pods", "singularName": "", "kind": "PodMetrics", "verbs": ["get", "list"], "namespaced": True},
        ],
    }
    kind = {"group": "metrics.k8s.io", "version": "v1beta1", "kind": "PodMetrics"}
    assert discovery.from_resource_list(document) == [{
        "resource": "pods", "responseKind": kind, "scope": "Namespaced", "singularResource": "",
        "verbs": ["get", "list"],
        "subresources": [{"subresource": "status", "responseKind": kind, "verbs": ["get"]}],
    }]  # fmt: skip


@pytest.mark.parametrize("swagger", [True, False], ids=["v2", "v3"])
def test_every_reference_leads_somewhere(swagger: bool) -> None:
    rows = [*BUILTIN, CRON_TAB, PLAIN]
    written = schemas.written(rows, [("autoscaling", "v1", "Scale")], swagger=swagger)
    shown: Any = [paths.of(row, _no_subresources(row)) for row in rows]
    wanted = _references(written) | _references(shown)
    assert {name.rpartition("/")[2] for name in wanted} <= set(written)
    for row in rows:
        name = schemas.row_name(row)
        assert name is not None
        kinds = written[name]["x-kubernetes-group-version-kind"]
        assert {"group": row.group, "version": row.version, "kind": row.kind} in kinds


def test_a_field_is_written_as_upstream_writes_it() -> None:
    """api/openapi-spec/v3/api__v1_openapi.json and api/openapi-spec/swagger.json"""
    three = schemas.written(BUILTIN, (), swagger=False)
    two = schemas.written(BUILTIN, (), swagger=True)
    port = three["io.k8s.api.core.v1.ContainerPort"]["properties"]
    assert (port["protocol"]["default"], port["containerPort"]["default"]) == ("TCP", 0)
    assert "default" not in two["io.k8s.api.core.v1.ContainerPort"]["properties"]["protocol"]
    spec = three["io.k8s.api.core.v1.PodSpec"]["properties"]
    assert spec["containers"]["x-kubernetes-patch-merge-key"] == "name"
    assert spec["containers"]["x-kubernetes-list-map-keys"] == ["name"]
    assert spec["containers"]["items"] == {
        "allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.Container"}],
        "default": {},
    }
    assert spec["nodeName"]["type"] == "string"
    assert two["io.k8s.api.core.v1.Pod"]["properties"]["spec"]["$ref"] == "#/definitions/io.k8s.api.core.v1.PodSpec"
    assert spec["restartPolicy"]["enum"] == ["Always", "Never", "OnFailure"]
    assert "enum" not in two["io.k8s.api.core.v1.PodSpec"]["properties"]["restartPolicy"]
    modes = three["io.k8s.api.core.v1.PersistentVolumeSpec"]["properties"]["accessModes"]
    assert "ReadWriteOnce" in modes["items"]["enum"] and "enum" not in modes
    number_or_text = three["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]
    assert number_or_text["oneOf"] == [{"type": "integer"}, {"type": "string"}]
    assert two["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]["type"] == "string"


def test_every_enum_is_of_a_field_that_is_there() -> None:
    for name, field in schemas._enums():
        assert field in definitions()[name]["properties"], (name, field)


def test_a_custom_kind_has_its_schema_in_a_frame() -> None:
    written = schemas.written([CRON_TAB], (), swagger=False)
    kind = written["com.example.stable.v1.CronTab"]
    assert set(kind["properties"]) == {"apiVersion", "kind", "metadata", "spec"}
    assert kind["properties"]["spec"]["properties"]["cronSpec"]["default"] == "* * * * *"
    listed = written["com.example.stable.v1.CronTabList"]
    assert listed["properties"]["items"]["items"] == {"$ref": "#/components/schemas/com.example.stable.v1.CronTab"}
    old = schemas.written([CRON_TAB, PLAIN], (), swagger=True)
    assert "anyOf" not in str(old["com.example.stable.v1.CronTab"])
    assert {*old["com.example.stable.v1.Plain"]} == {"type", "x-kubernetes-group-version-kind"}


async def test_a_document_changes_with_its_rows_alone() -> None:
    registry = Registry(BUILTIN)
    documents = Documents(registry, _no_subresources)
    before = dict(documents.hashes())
    registry.add(CRON_TAB)
    after = documents.hashes()
    assert set(after) - set(before) == {"apis/stable.example.com/v1"}
    assert {name: after[name] for name in before} == before
    registry.add(PLAIN)
    assert documents.hashes()["apis/stable.example.com/v1"] != after["apis/stable.example.com/v1"]
    first = await documents.version3("apis/stable.example.com/v1")
    assert await documents.version3("apis/stable.example.com/v1") is first


def test_protobuf_says_what_the_document_says() -> None:
    """Field numbers of gnostic's OpenAPIv2.proto: definitions 9, name 1, value 2, type 22, description 4."""
    document = {
        "swagger": "2.0",
        "info": {"title": "T", "version": "1"},
        "definitions": {"a": {"type": "string", "description": "d", "x-k": [1]}},
    }
    schema = b'\xb2\x01\x08\n\x06string"\x01d\xfa\x01\x0c\n\x03x-k\x12\x05\x12\x03[1]'
    named = b"\n\x01a\x12" + bytes([len(schema)]) + schema
    expected = b"\n\x032.0\x12\x06\n\x01T\x12\x011" + b"B\x00" + b"J" + bytes([len(named) + 2, 10, len(named)]) + named
    assert protobuf.document(document) == expected
