"""Protobuf bodies: as recorded from the upstream kubectl, made by hand, and damaged."""

import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import schemas
from api.builtin import BUILTIN
from api.errors import BadRequest
from api.protobuf import table, wire
from api.protobuf.decode import MAGIC, decode
from tests.harness.protobuf import Part, body, double, message, varint

# What `kubectl COMMAND` (upstream, 1.36) POSTed, and what it prints with `--dry-run=client -o json`. The pod of
# `debug p` is one that an apiserver had answered with, copied.
RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "protobuf_recorded.json").read_text("utf-8"))
BODIES = [base64.b64decode(case["body"]) for case in RECORDED]


def decoded(api_version: str, kind: str, *fields: Part) -> dict[str, Any]:
    obj = decode(body(api_version, kind, message(*fields)))
    assert (obj.pop("apiVersion"), obj.pop("kind")) == (api_version, kind)
    return obj


# ---- recorded


@pytest.mark.parametrize("case", RECORDED, ids=lambda case: case["command"].replace(" ", "-")[:40])
def test_a_recorded_body_is_what_kubectl_prints_as_json(case: dict[str, Any]) -> None:
    assert decode(base64.b64decode(case["body"])) == case["object"]


# ---- custom resource definitions


def test_a_schema_has_doubles_json_and_schemas_that_may_be_something_else() -> None:
    """apiextensions/v1 generated.proto: a JSON schema's items, additionalProperties and dependencies."""
    text = message((5, "string"))
    schema = message(
        (5, "object"),
        (29, message((1, "a"), (2, message((5, "array"), (24, message((1, text))))))),
        (29, message((1, "b"), (2, message((5, "object"), (30, message((1, 1), (2, text))))))),
        (29, message((1, "c"), (2, message((5, "object"), (30, message((1, 0))))))),
        (
            29,
            message(
                (1, "d"),
                (2, message((24, message((2, text), (2, text))), (32, message((1, "x"), (2, message((2, "y"))))))),
            ),
        ),
        (29, message((1, "e"), (2, message((8, message((1, b"1.5"))), (20, message((1, b'"q"'))), (37, 1), (38, 1))))),
        (29, message((1, "f"), (2, double(9, 1.5) + double(11, 0.0)))),
    )
    version = message((1, "v1"), (2, 1), (3, 0), (4, message((1, schema))), (5, message((1, b""))))
    crd = decoded("apiextensions.k8s.io/v1", "CustomResourceDefinition", (2, message((1, "g.io"), (7, version))))
    read = crd["spec"]["versions"][0]
    assert (read["served"], read["storage"], read["subresources"]) == (True, False, {"status": {}})
    assert read["schema"]["openAPIV3Schema"]["properties"] == {
        "a": {"type": "array", "items": {"type": "string"}},
        "b": {"type": "object", "additionalProperties": {"type": "string"}},
        "c": {"type": "object", "additionalProperties": False},
        "d": {"items": [{"type": "string"}] * 2, "dependencies": {"x": ["y"]}},
        "e": {"default": 1.5, "enum": ["q"], "nullable": True, "x-kubernetes-preserve-unknown-fields": True},
        "f": {"maximum": 1.5, "minimum": 0},
    }


# ---- values


def test_zero_goes_unless_it_was_pointed_at_or_is_required() -> None:
    # DeploymentSpec: replicas is a pointer, minReadySeconds and paused are not.
    spec = message((1, 0), (5, 0), (7, 0), (6, 0))
    assert decoded("apps/v1", "Deployment", (2, spec))["spec"] == {"replicas": 0, "revisionHistoryLimit": 0}
    # ContainerPort: containerPort is required, name and hostPort are not.
    port = message((1, ""), (2, 0), (3, 0), (4, ""))
    pod = decoded("v1", "Pod", (2, message((2, message((1, "a"), (6, port))))))
    assert pod["spec"]["containers"] == [{"name": "a", "ports": [{"containerPort": 0}]}]


def test_an_empty_time_goes_and_an_empty_struct_stays() -> None:
    obj = decoded("apps/v1", "Deployment", (1, message((1, "web"), (8, b""))), (2, message((4, b""))), (3, b""))
    assert obj == {"metadata": {"name": "web"}, "spec": {"strategy": {}}, "status": {}}


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (message((1, 1767323045), (2, 0)), "2026-01-02T03:04:05Z"),
        (message((1, 0), (2, 0)), "1970-01-01T00:00:00Z"),
        (message((1, -1)), "1969-12-31T23:59:59Z"),
    ],
)
def test_a_time_is_rfc_3339(time: bytes, text: str) -> None:
    assert decoded("v1", "ConfigMap", (1, message((8, time))))["metadata"] == {"creationTimestamp": text}


def test_a_micro_time_has_six_digits() -> None:
    lease = decoded("coordination.k8s.io/v1", "Lease", (2, message((4, message((1, 1767323045), (2, 6000))))))
    assert lease["spec"] == {"renewTime": "2026-01-02T03:04:05.000006Z"}


def test_a_port_is_a_number_or_a_name() -> None:
    ports = [
        message((3, 80), (4, message((1, 0), (2, 8080), (3, "")))),
        message((3, 81), (4, message((1, 1), (3, "x")))),
    ]
    spec = decoded("v1", "Service", (2, message(*((1, port) for port in ports))))["spec"]
    assert spec["ports"] == [{"port": 80, "targetPort": 8080}, {"port": 81, "targetPort": "x"}]


def test_a_map_keeps_empty_values_and_bytes_are_base64() -> None:
    entries = ((2, message((1, "a"), (2, b"\xff\x00"))), (2, message((1, "b"), (2, b""))), (2, message((1, "c"))))
    assert decoded("v1", "Secret", *entries)["data"] == {"a": "/wA=", "b": "", "c": ""}


def test_numbers_may_be_packed_or_not_and_below_zero() -> None:
    loose, packed = message((4, 5), (4, -6)), message((4, varint(5) + varint(-6)))
    for context in (loose, packed):
        spec = decoded("v1", "Pod", (2, message((14, context))))["spec"]
        assert spec["securityContext"] == {"supplementalGroups": [5, -6]}


def test_a_map_of_lists() -> None:
    review = message((4, message((1, "scopes"), (2, message((1, "a"), (1, ""))))))
    status = decoded("authentication.k8s.io/v1", "SelfSubjectReview", (2, message((1, review))))["status"]
    assert status == {"userInfo": {"extra": {"scopes": ["a", ""]}}}


def test_what_is_json_in_json_is_so_here() -> None:
    entry = message((1, "me"), (2, "Apply"), (7, message((1, '{"f:data":{}}'))))
    metadata = decoded("v1", "ConfigMap", (1, message((17, entry))))["metadata"]
    assert metadata["managedFields"] == [{"manager": "me", "operation": "Apply", "fieldsV1": {"f:data": {}}}]


def test_an_eviction_carries_delete_options() -> None:
    eviction = decoded("policy/v1", "Eviction", (1, message((1, "p"))), (2, message((1, 0), (2, message((1, "u"))))))
    assert eviction == {
        "metadata": {"name": "p"},
        "deleteOptions": {"gracePeriodSeconds": 0, "preconditions": {"uid": "u"}},
    }


@pytest.mark.parametrize("api_version", ["v1", "apps/v1", "batch/v1", "coordination.k8s.io/v1"])
def test_delete_options_belong_to_every_group(api_version: str) -> None:
    options = decoded(api_version, "DeleteOptions", (1, 5), (4, "Foreground"), (5, "All"))
    assert options == {"gracePeriodSeconds": 5, "propagationPolicy": "Foreground", "dryRun": ["All"]}


def test_fields_of_another_release_are_passed_over() -> None:
    fixed = varint(501 << 3 | wire.FIXED64) + bytes(8) + varint(502 << 3 | wire.FIXED32) + bytes(4)
    raw = message((500, 1), (503, "x"), (2, message((1, "a"), (2, "b")))) + fixed
    assert decode(body("v1", "ConfigMap", raw))["data"] == {"a": "b"}


# ---- the table


def test_every_served_kind_can_be_read() -> None:
    unknown = [row.kind for row in BUILTIN if table.message_of(row.api_version, row.kind) is None]
    assert unknown == []


# Alpha in v1.35, gone in v1.36.
_LEFT_OUT = {"io.k8s.api.core.v1.PodSpec": {"workloadRef"}}


def test_the_table_names_all_fields_of_the_schemas_and_no_others() -> None:
    def names(name: str) -> set[str]:
        package = name.rpartition(".")[0]
        found: set[str] = set()
        for entry in table.messages()[name].values():
            found |= names(f"{package}.{entry.name}") if entry.inlined else {entry.name}
        return found

    for name in table.messages():
        schema = schemas.definitions().get(name)
        if schema and "properties" in schema:
            wanted = set(schema["properties"]) - _LEFT_OUT.get(name, set())
            if "x-kubernetes-group-version-kind" in schema:
                wanted -= {"apiVersion", "kind"}  # in the envelope
            assert names(name) == wanted, name


# ---- damage


@pytest.mark.parametrize(
    ("damaged", "why"),
    [
        (b"{}", "does not appear to be a protobuf message"),
        (MAGIC, "Object 'Kind' is missing"),
        (MAGIC + b"\x0a\x05ab", "unexpected end of message"),
        (MAGIC + b"\x00", "illegal tag 0"),
        (MAGIC + b"\x0b", "illegal wire type 3"),
        (MAGIC + b"\x08" + b"\xff" * 11, "a number is too long"),
        (body("v1", "Boat", b""), 'no kind "Boat" is registered for version "v1"'),
        (body("v1", "ConfigMap", message((1, 7))), "a number instead of bytes"),
        (body("apps/v1", "Deployment", message((2, message((1, "x"))))), "bytes instead of a number"),
        (body("v1", "ConfigMap", message((2, message((1, b"\xff"))))), "can't decode byte 0xff"),
        (body("v1", "ConfigMap", message((1, message((8, message((1, 1 << 62))))))), "error decoding body"),
        (body("v1", "ConfigMap", b"", (3, "gzip")), "content encodings are not supported"),
    ],
)
def test_damage_is_the_clients_fault_and_told_of(damaged: bytes, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        decode(damaged)


def survives(data: bytes) -> None:
    with contextlib.suppress(BadRequest):
        assert isinstance(decode(data), dict)


@given(st.data())
def test_a_cut_or_changed_body_never_surprises(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(BODIES))
    survives(whole[: data.draw(st.integers(0, len(whole)))])
    changed = bytearray(whole)
    for at in data.draw(st.lists(st.integers(4, len(whole) - 1), max_size=8)):
        changed[at] = data.draw(st.integers(0, 255))
    survives(bytes(changed))


@given(st.sampled_from(sorted(table.kinds())), st.binary(max_size=200))
def test_random_bytes_never_surprise(kind: tuple[str, str], raw: bytes) -> None:
    survives(MAGIC + raw)
    survives(body(*kind, raw))
