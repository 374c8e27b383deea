"""What happens to custom objects on their way in, by the words of upstream's documentation.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness.raw import Raw
from tests.harness.upstream import Kubectl
from tests.integration.custom.manifests import crontab, crontab_definition

Obj = dict[str, Any]
Define = Callable[[Obj], Obj]


@pytest.fixture
def path(group: str, namespace: str, define: Define) -> str:
    """The collection of CronTabs of the documentation."""
    define(crontab_definition(group))
    return f"/apis/{group}/v1/namespaces/{namespace}/crontabs"


def with_schema(group: str, spec: Obj, **properties: Any) -> Obj:
    definition = crontab_definition(group)
    version = definition["spec"]["versions"][0]
    version["schema"]["openAPIV3Schema"]["properties"] = {"spec": {"type": "object", **spec}, **properties}
    version["subresources"], version["additionalPrinterColumns"] = {}, []
    return definition


def test_validation(kubectl: Kubectl, group: str, path: str) -> None:
    """The documentation's own example of two broken rules, and kubectl's message for it."""
    text = kubectl.run("create", "-f", "-", stdin=crontab(group, cronSpec="* * * *", replicas=15)).failed().stderr
    assert 'The CronTab "my-cron" is invalid: ' in text
    assert (
        'spec.cronSpec: Invalid value: "* * * *": spec.cronSpec in body should match '
        r"'^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$'"
    ) in text
    assert "spec.replicas: Invalid value: 15: spec.replicas in body should be less than or equal to 10" in text


def test_a_broken_object_is_a_status_with_causes(http: Raw, group: str, path: str) -> None:
    answer = http.send("POST", path, crontab(group, image=5))
    assert answer.status_code == 422
    (cause,) = answer.json()["details"]["causes"]
    assert cause == {
        "reason": "FieldValueTypeInvalid",
        "message": 'Invalid value: "integer": spec.image in body must be of type string: "integer"',
        "field": "spec.image",
    }


def test_pruning_and_field_validation(http: Raw, group: str, path: str) -> None:
    """Unknown fields: refused, warned of or dropped, as `fieldValidation` asks; those given twice are told too."""
    body = crontab(group, extra=1, image="i")
    strict = http.send("POST", f"{path}?fieldValidation=Strict", body)
    assert strict.status_code == 400
    assert strict.json()["message"] == (
        'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: unknown field "spec.extra"'
    )
    twice = (
        f'{{"apiVersion":"{group}/v1","kind":"CronTab","metadata":{{"name":"x","nope":1}},'
        '"spec":{"image":"a","image":"b"}}'
    ).encode()
    strict = http.send("POST", f"{path}?fieldValidation=Strict", twice)
    assert strict.json()["message"].endswith(
        'strict decoding error: duplicate field "spec.image", unknown field "metadata.nope"'
    )
    lines = f"apiVersion: {group}/v1\nkind: CronTab\nmetadata: {{name: x}}\nspec:\n  image: a\n  image: b\n".encode()
    strict = http.send("POST", f"{path}?fieldValidation=Strict", lines, content_type="application/yaml")
    assert 'yaml: unmarshal errors:\n  line 6: key "image" already set in map' in strict.json()["message"]
    warned = http.send("POST", path, body)
    assert warned.headers["warning"] == '299 - "unknown field \\"spec.extra\\""'
    assert warned.json()["spec"] == {"image": "i", "cronSpec": "5 0 * * *", "replicas": 1}
    unversioned = http.send("PUT", f"{path}/my-cron?fieldValidation=Ignore", body)
    assert unversioned.status_code == 422, "who replaces says what"
    assert "metadata.resourceVersion: Invalid value: 0: must be specified for an update" in unversioned.text
    body["metadata"]["resourceVersion"] = warned.json()["metadata"]["resourceVersion"]
    ignored = http.send("PUT", f"{path}/my-cron?fieldValidation=Ignore", body)
    assert ignored.status_code == 200 and "warning" not in ignored.headers


def test_status_is_a_door_of_its_own(http: Raw, group: str, path: str) -> None:
    """Status subresource: each door ignores the other's part; generation counts changes of all but the status."""
    made = http.send("POST", path, {**crontab(group), "status": {"replicas": 3}}).json()
    assert "status" not in made and made["metadata"]["generation"] == 1
    made["spec"]["image"], made["status"] = "other", {"replicas": 3}
    changed = http.send("PUT", f"{path}/my-cron/status", made).json()
    assert changed["status"] == {"replicas": 3} and "image" not in changed["spec"]
    assert changed["metadata"]["generation"] == 1
    made["metadata"]["resourceVersion"] = changed["metadata"]["resourceVersion"]
    changed = http.send("PUT", f"{path}/my-cron", made).json()
    assert changed["spec"]["image"] == "other" and changed["metadata"]["generation"] == 2
    broken = http.send("PUT", f"{path}/my-cron/status", {**changed, "status": {"replicas": "x"}}).json()
    assert broken["details"]["causes"][0]["field"] == "status.replicas"


def test_scale(kubectl: Kubectl, http: Raw, group: str, path: str) -> None:
    """Scale subresource: an autoscaling/v1 Scale over the paths that the definition names."""
    http.send("POST", path, crontab(group, replicas=3))
    http.send("PATCH", f"{path}/my-cron/status", b'{"status":{"replicas":2,"labelSelector":"a=b"}}',
              content_type="application/merge-patch+json")  # fmt: skip
    scale = http.get(f"{path}/my-cron/scale").json()
    assert (scale["apiVersion"], scale["kind"], scale["spec"]) == ("autoscaling/v1", "Scale", {"replicas": 3})
    assert scale["status"] == {"replicas": 2, "selector": "a=b"}
    kubectl.run("scale", f"crontabs.{group}/my-cron", "--replicas=5").ok()
    assert http.get(f"{path}/my-cron").json()["spec"]["replicas"] == 5
    refused = kubectl.run("scale", f"crontabs.{group}/my-cron", "--replicas=50").failed().stderr
    assert "should be less than or equal to 10" in refused


def test_patches(http: Raw, group: str, path: str) -> None:
    """Merge and JSON patch; strategic merge patch is not supported for custom resources."""
    http.send("POST", path, crontab(group))
    merged = http.send("PATCH", f"{path}/my-cron", b'{"spec":{"image":"m","replicas":null}}',
                       content_type="application/merge-patch+json").json()  # fmt: skip
    assert merged["spec"] == {"image": "m", "cronSpec": "5 0 * * *", "replicas": 1}
    strategic = http.send("PATCH", f"{path}/my-cron", b"{}", content_type="application/strategic-merge-patch+json")
    assert strategic.status_code == 415


def test_nullable_and_preserved(http: Raw, namespace: str, group: str, define: Define) -> None:
    """Null stays where it is allowed, gets the default where there is one, and goes elsewhere; a part of the schema
    may keep what it does not know; int-or-string takes both."""
    spec = {
        "properties": {
            "some": {"type": "string", "nullable": True},
            "dflt": {"type": "string", "default": "d"},
            "gone": {"type": "string"},
            "json": {"x-kubernetes-preserve-unknown-fields": True},
            "port": {"x-kubernetes-int-or-string": True},
        }
    }
    define(with_schema(group, spec))
    path = f"/apis/{group}/v1/namespaces/{namespace}/crontabs"
    given: Obj = {"some": None, "dflt": None, "gone": None, "json": {"a": [None, {"b": 1}]}, "port": "http"}
    made = http.send("POST", path, crontab(group, **given)).json()
    kept = {"some": None, "dflt": "d", "json": {"a": [None, {"b": 1}]}, "port": "http"}
    assert made["spec"] == kept
    assert http.get(f"{path}/my-cron").json()["spec"] == kept
    assert http.send("PUT", f"{path}/my-cron", made).json()["spec"] == kept


def test_embedded_resources_sets_and_rules(http: Raw, namespace: str, group: str, define: Define) -> None:
    """RawExtension, list types and validation rules, each with its refusal."""
    spec = {
        "properties": {
            "pod": {"type": "object", "x-kubernetes-embedded-resource": True,
                    "x-kubernetes-preserve-unknown-fields": True},
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "low": {"type": "integer"},
            "high": {"type": "integer"},
        },
        "x-kubernetes-validations": [
            {"rule": "!has(self.low) || !has(self.high) || self.low <= self.high", "message": "low over high"}
        ],
    }  # fmt: skip
    define(with_schema(group, spec))
    path = f"/apis/{group}/v1/namespaces/{namespace}/crontabs"

    def refused(**spec: Any) -> str:
        answer = http.send("POST", path, crontab(group, **spec))
        assert answer.status_code == 422, answer.text
        return str(answer.json()["message"])

    assert "spec.pod.kind: Required value" in refused(pod={"apiVersion": "v1"})
    assert 'spec.tags[1]: Duplicate value: "a"' in refused(tags=["a", "a"])
    assert "spec: Invalid value" in refused(low=2, high=1) and "low over high" in refused(low=2, high=1)
    assert "some validation rules were not checked" in refused(low="x", high=1)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "unknown": 1}, "spec": {"any": "thing"}}
    strict = http.send("POST", f"{path}?fieldValidation=Strict", crontab(group, pod=pod)).json()["message"]
    assert strict.endswith('strict decoding error: unknown field "spec.pod.metadata.unknown"')
    made = http.send("POST", path, crontab(group, pod=pod, low=1, high=2)).json()
    assert made["spec"]["pod"] == {**pod, "metadata": {"name": "x"}}


def test_a_stricter_schema_does_not_hold_objects_hostage(
    http: Raw, kubectl: Kubectl, namespace: str, group: str, define: Define
) -> None:
    """KEP-4008 (ratcheting), and a new schema shows at once: its default on what was stored before, too."""
    define(with_schema(group, {"properties": {"text": {"type": "string"}, "n": {"type": "integer"}}}))
    path = f"/apis/{group}/v1/namespaces/{namespace}/crontabs"
    http.send("POST", path, crontab(group, text="much too long"))
    stricter = with_schema(
        group,
        {"properties": {"text": {"type": "string", "maxLength": 3}, "n": {"type": "integer", "default": 7}}},
    )
    kubectl.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=stricter).ok()
    found = http.get(f"{path}/my-cron").json()

    assert found["spec"] == {"text": "much too long", "n": 7}
    found["spec"]["n"] = 8
    assert http.send("PUT", f"{path}/my-cron", found).status_code == 200
    refused = http.send("POST", path, crontab(group, "second", text="much too long"))
    assert "spec.text: Too long: may not be more than 3 bytes" in refused.json()["message"]


def test_upstream_kubectl_changes_objects(kubectl: Kubectl, group: str, path: str) -> None:
    """apply (three-way merge without a strategic patch), label, annotate, replace, server-side apply with a conflict."""
    kind = f"crontabs.{group}/my-cron"

    def spec() -> Any:
        return kubectl.run("get", kind, "-o", "json").ok().json["spec"]

    assert "created" in kubectl.run("apply", "-f", "-", stdin=crontab(group, image="a", replicas=2)).ok().stdout
    assert "unchanged" in kubectl.run("apply", "-f", "-", stdin=crontab(group, image="a", replicas=2)).ok().stdout
    assert "configured" in kubectl.run("apply", "-f", "-", stdin=crontab(group, image="b")).ok().stdout
    assert spec() == {"image": "b", "replicas": 1, "cronSpec": "5 0 * * *"}
    kubectl.run("label", kind, "a=b").ok()
    kubectl.run("annotate", kind, "c=d").ok()
    assert kubectl.run("get", f"crontabs.{group}", "-l", "a=b", "-o", "name").ok().lines == [f"crontab.{group}/my-cron"]
    kubectl.run("replace", "-f", "-", stdin=crontab(group, image="c")).ok()
    applied = ("apply", "--server-side", "-f", "-", "--field-manager=other")
    conflict = kubectl.run(*applied, stdin=crontab(group, image="d")).failed().stderr
    assert "Apply failed with 1 conflict" in conflict and ".spec.image" in conflict
    kubectl.run(*applied, "--force-conflicts", stdin=crontab(group, image="d")).ok()
    assert spec()["image"] == "d"
    unknown = kubectl.run("apply", "-f", "-", stdin=crontab(group, image="d", unknown=1)).failed().stderr
    assert 'unknown field "spec.unknown"' in unknown


def test_selectable_fields(kubectl: Kubectl, http: Raw, namespace: str, group: str, define: Define) -> None:
    """Field selectors: those the version declares, beside name and namespace."""
    definition = with_schema(group, {"properties": {"color": {"type": "string"}}})
    definition["spec"]["versions"][0]["selectableFields"] = [{"jsonPath": ".spec.color"}]
    define(definition)
    path = f"/apis/{group}/v1/namespaces/{namespace}/crontabs"
    for name, color in (("a", "blue"), ("b", "green"), ("c", "blue")):
        http.send("POST", path, crontab(group, name, color=color))
    found = kubectl.run("get", f"crontabs.{group}", "--field-selector", "spec.color=blue", "-o", "name").ok().lines
    assert found == [f"crontab.{group}/a", f"crontab.{group}/c"]
    with http.lines(f"{path}?watch=1&fieldSelector=spec.color%3Dblue&resourceVersion=0&timeoutSeconds=20") as lines:
        assert [json.loads(next(lines))["object"]["metadata"]["name"] for _ in range(2)] == ["a", "c"]
        patch = {"content_type": "application/merge-patch+json"}
        http.send("PATCH", f"{path}/b", b'{"spec":{"color":"blue"}}', **patch)
        http.send("PATCH", f"{path}/a", b'{"spec":{"color":"red"}}', **patch)
        seen = [json.loads(next(lines)) for _ in range(2)]
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in seen] == [("ADDED", "b"), ("DELETED", "a")]
    refused = http.get(f"{path}?fieldSelector=spec.other%3Dx")
    assert refused.status_code == 400 and "field label not supported: spec.other" in refused.json()["message"]
