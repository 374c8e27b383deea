"""Server-side apply on custom kinds: merging by the schema of the definition, through every version and subresource.
https://kubernetes.io/docs/reference/using-api/server-side-apply/#custom-resources-and-server-side-apply"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from tests.harness.upstream import Kubectl
from tests.integration.custom.manifests import crontab_definition

Obj = dict[str, Any]
Define = Callable[[Obj], Obj]


def definition(group: str) -> Obj:
    made = crontab_definition(group)
    version = made["spec"]["versions"][0]
    version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["jobs"] = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string"}, "at": {"type": "string"}},
        },
    }
    made["spec"]["versions"].append({**copy.deepcopy(version), "name": "v1beta1", "storage": False})
    return made


def entries(kubectl: Kubectl, group: str) -> dict[tuple[str, str, str, str], Obj]:
    """(manager, operation, version, subresource) → FieldsV1."""
    found = kubectl.run("get", f"crontabs.{group}", "c", "-o", "json", "--show-managed-fields").ok().json["metadata"]
    return {
        (e["manager"], e["operation"], e["apiVersion"].rpartition("/")[2], e.get("subresource", "")): e["fieldsV1"]
        for e in found["managedFields"]
    }


def test_a_custom_kind(kubectl: Kubectl, group: str, define: Define) -> None:
    define(definition(group))

    def apply(manager: str, version: str, spec: Obj | None, *flags: str, **more: Any) -> Any:
        obj = {"apiVersion": f"{group}/{version}", "kind": "CronTab", "metadata": {"name": "c"}, **more}
        obj |= {} if spec is None else {"spec": spec}
        return kubectl.run("apply", "--server-side", "--field-manager", manager, "-f", "-", *flags, stdin=obj)

    apply("one", "v1", {"image": "a", "jobs": [{"name": "x", "at": "1"}]}).ok()
    apply("two", "v1beta1", {"jobs": [{"name": "y"}]}).ok()
    found = kubectl.run("get", f"crontabs.{group}", "c", "-o", "json").ok().json
    assert found["spec"]["jobs"] == [{"name": "x", "at": "1"}, {"name": "y"}]
    assert entries(kubectl, group)[("two", "Apply", "v1beta1", "")] == {
        "f:spec": {"f:jobs": {'k:{"name":"y"}': {".": {}, "f:name": {}}}}
    }
    refused = apply("two", "v1beta1", {"jobs": [{"name": "x", "at": "2"}, {"name": "y"}]}).failed().stderr
    assert refused.startswith(
        'error: Apply failed with 1 conflict: conflict with "one": .spec.jobs[name="x"].at\nPlease review'
    )
    apply("one", "v1", {"image": "a"}).ok()
    found = kubectl.run("get", f"crontabs.{group}", "c", "-o", "json").ok().json
    assert found["spec"]["jobs"] == [{"name": "y"}]

    apply("ctl", "v1", None, "--subresource=status", status={"replicas": 3}).ok()
    assert entries(kubectl, group)[("ctl", "Apply", "v1", "status")] == {"f:status": {"f:replicas": {}}}
    kubectl.run("scale", f"crontabs.{group}/c", "--replicas=4").ok()
    assert entries(kubectl, group)[("kubectl", "Update", "v1", "scale")] == {"f:spec": {"f:replicas": {}}}
    assert (
        found["metadata"]["uid"]
        == kubectl.run("get", f"crontabs.{group}", "c", "-o", "json").ok().json["metadata"]["uid"]
    )

    strategic = kubectl.run("patch", f"crontabs.{group}", "c", "--type=strategic", "-p", json.dumps({"spec": {}}))
    assert strategic.failed().stderr == (
        "error: application/strategic-merge-patch+json is not supported by "
        f"{group}/v1, Kind=CronTab: the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml\n"
    )
