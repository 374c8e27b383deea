"""Custom resources, as upstream's documentation tells of them, judged by upstream clients.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import kubernetes
from kubernetes.dynamic import DynamicClient

from tests.harness.raw import Raw
from tests.harness.upstream import Kubectl
from tests.integration.custom.manifests import crontab, crontab_definition

Obj = dict[str, Any]
Define = Callable[[Obj], Obj]


def test_a_definition_makes_its_objects_servable(kubectl: Kubectl, namespace: str, group: str, define: Define) -> None:
    """Create, list by kind, short name and category, delete (the documentation's first section)."""
    define(crontab_definition(group))
    made = kubectl.run("create", "-n", namespace, "-f", "-", stdin=crontab(group, image="my-image")).ok()
    assert made.stdout == f"crontab.{group}/my-cron created\n"
    header, row = kubectl.run("get", "ct", "-n", namespace, "-o", "wide").ok().lines[:2]
    assert header.split() == ["NAME", "SPEC", "REPLICAS", "IMAGE", "AGE"]
    assert row.split()[:6] == ["my-cron", "5", "0", "*", "*", "*"] and row.split()[-2] == "my-image"
    assert f"crontab.{group}/my-cron" in kubectl.run("get", "all", "-n", namespace, "-o", "name").ok().lines
    obj = kubectl.run("get", f"crontabs.{group}", "my-cron", "-n", namespace, "-o", "json").ok().json
    assert obj["spec"] == {"cronSpec": "5 0 * * *", "image": "my-image", "replicas": 1}
    assert obj["metadata"]["generation"] == 1
    kubectl.run("delete", "ct", "my-cron", "-n", namespace).ok()
    assert "No resources found" in kubectl.run("get", "ct", "-n", namespace).ok().stderr


def test_the_definition_tells_what_became_of_it(kubectl: Kubectl, group: str, define: Define) -> None:
    """Conditions, accepted names and stored versions of the status; the columns of the list."""
    define(crontab_definition(group))
    definition = kubectl.run("get", "crd", f"crontabs.{group}", "-o", "json").ok().json
    conditions = {c["type"]: (c["status"], c["reason"], c["message"]) for c in definition["status"]["conditions"]}
    assert conditions == {
        "NamesAccepted": ("True", "NoConflicts", "no conflicts found"),
        "Established": ("True", "InitialNamesAccepted", "the initial names have been accepted"),
    }
    accepted = definition["status"]["acceptedNames"]
    assert accepted == {
        "plural": "crontabs", "singular": "crontab", "kind": "CronTab", "listKind": "CronTabList",
        "shortNames": ["ct"], "categories": ["all"],
    }  # fmt: skip
    assert definition["status"]["storedVersions"] == ["v1"]
    assert definition["spec"]["conversion"] == {"strategy": "None"}
    header = kubectl.run("get", "crd", f"crontabs.{group}").ok().lines[0]
    assert header.split() == ["NAME", "CREATED", "AT"]


def test_watch_and_dynamic_client(
    official: kubernetes.client.ApiClient, kubectl: Kubectl, namespace: str, group: str, define: Define
) -> None:
    """The official Python client's dynamic part: discovery, create, watch, patch, delete."""
    define(crontab_definition(group))
    api = DynamicClient(official).resources.get(api_version=f"{group}/v1", kind="CronTab")  # type: ignore[no-untyped-call]  # it has no types
    api.create(body=crontab(group, image="one"), namespace=namespace)
    seen = []
    for event in api.watch(namespace=namespace, timeout=10):
        seen.append((event["type"], event["raw_object"]["spec"].get("image")))
        if len(seen) == 1:
            patch = {"spec": {"image": "two"}}
            api.patch(name="my-cron", namespace=namespace, body=patch, content_type="application/merge-patch+json")
        elif len(seen) == 2:
            api.delete(name="my-cron", namespace=namespace)
        else:
            break
    assert seen == [("ADDED", "one"), ("MODIFIED", "two"), ("DELETED", "two")]


def test_explain_shows_the_schema(kubectl: Kubectl, group: str, define: Define) -> None:
    """Published OpenAPI: descriptions and fields, right after the definition is established."""
    define(crontab_definition(group))
    text = kubectl.run("explain", "crontabs.spec", "--api-version", f"{group}/v1", "--recursive").ok().stdout
    assert "KIND:       CronTab" in text and "cronSpec" in text and "replicas" in text
    assert "When it runs." in kubectl.run("explain", "ct.spec.cronSpec", "--api-version", f"{group}/v1").ok().stdout
    top = kubectl.run("explain", "crontab", "--api-version", f"{group}/v1").ok().stdout
    assert "metadata" in top and "Standard object's metadata" in top


def test_a_taken_name_is_not_accepted_until_it_is_free(kubectl: Kubectl, group: str, define: Define) -> None:
    """NamesAccepted=False names the conflict, nothing is served; both heal when the other definition goes."""
    define(crontab_definition(group))
    other = crontab_definition(group)
    other["metadata"]["name"] = f"jobtabs.{group}"
    other["spec"]["names"] = {"plural": "jobtabs", "kind": "CronTab", "listKind": "JobTabList"}
    kubectl.run("create", "-f", "-", stdin=other).ok()
    name = f"crd/jobtabs.{group}"
    kubectl.run("wait", name, "--for=condition=NamesAccepted=False", "--timeout=10s").ok()
    conditions = {c["type"]: c for c in kubectl.run("get", name, "-o", "json").ok().json["status"]["conditions"]}
    assert conditions["NamesAccepted"]["reason"] == "KindConflict"
    assert conditions["NamesAccepted"]["message"] == '"CronTab" is already in use'
    assert conditions["Established"]["reason"] == "NotAccepted"
    assert "the server doesn't have a resource type" in kubectl.run("get", f"jobtabs.{group}").failed().stderr
    kubectl.run("delete", "crd", f"crontabs.{group}", "--timeout=10s").ok()
    kubectl.run("wait", name, "--for=condition=Established", "--timeout=10s").ok()
    kubectl.run("delete", name, "--timeout=10s").ok()


def test_a_definition_goes_after_its_objects(kubectl: Kubectl, namespace: str, group: str, define: Define) -> None:
    """Deleting a definition deletes its objects; one that waits for a finalizer holds it, and nothing new is made."""
    define(crontab_definition(group))
    kubectl.run("create", "-f", "-", stdin=crontab(group, "first")).ok()
    held = crontab(group, "held")
    held["metadata"]["finalizers"] = ["example.com/wait"]
    kubectl.run("create", "-f", "-", stdin=held).ok()
    name = f"crd/crontabs.{group}"
    kubectl.run("delete", name, "--wait=false").ok()
    kubectl.run("wait", name, "--for=condition=Terminating", "--timeout=10s").ok()
    kubectl.run("wait", f"crontab.{group}/first", "--for=delete", "--timeout=10s").ok()
    definition = kubectl.run("get", name, "-o", "json").ok().json
    assert definition["metadata"]["finalizers"] == ["customresourcecleanup.apiextensions.k8s.io"]
    refused = kubectl.run("create", "-f", "-", stdin=crontab(group, "late")).failed().stderr
    assert "create not allowed while custom resource definition is terminating" in refused
    kubectl.run("patch", f"crontab.{group}/held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}').ok()
    kubectl.run("wait", name, "--for=delete", "--timeout=15s").ok()
    assert "the server doesn't have a resource type" in kubectl.run("get", f"crontabs.{group}").failed().stderr
    define(crontab_definition(group))
    assert "No resources found" in kubectl.run("get", f"crontabs.{group}").ok().stderr


def test_a_broken_definition_is_refused(kubectl: Kubectl, group: str) -> None:
    """The words of ValidateStructural reach the client."""
    broken = crontab_definition(group)
    broken["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = {"properties": {}}
    text = kubectl.run("create", "-f", "-", stdin=broken).failed().stderr
    assert (
        f'The CustomResourceDefinition "crontabs.{group}" is invalid: '
        "spec.validation.openAPIV3Schema.properties[spec].type: Required value: must not be empty for specified object "
        "fields"
    ) in text


def test_the_status_of_a_definition_is_its_own(http: Raw, group: str, define: Define) -> None:
    """What a client writes into the status of the main resource is not taken."""
    define(crontab_definition(group))
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/crontabs.{group}"
    patch = b'{"status":{"storedVersions":["v9"]},"metadata":{"labels":{"a":"b"}}}'
    answer = http.send("PATCH", path, patch, content_type="application/merge-patch+json").json()
    assert answer["status"]["storedVersions"] == ["v1"] and answer["metadata"]["labels"] == {"a": "b"}
    assert answer["metadata"]["generation"] == 1


def test_the_status_door_of_a_definition(http: Raw, group: str, define: Define) -> None:
    """A condition of somebody else's survives beside ours; the spec does not change through this door (upstream's
    conformance test "getting/updating/patching custom resource definition status sub-resource works")."""
    define(crontab_definition(group))
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/crontabs.{group}"
    found = http.get(f"{path}/status").json()
    foreign = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from an e2e test"}
    found["status"]["conditions"].append(foreign)
    found["spec"]["scope"] = "Cluster"
    assert http.send("PUT", f"{path}/status", found).json()["spec"]["scope"] == "Namespaced"
    patched = http.send(
        "PATCH", path, b'{"metadata":{"labels":{"a":"b"}}}', content_type="application/merge-patch+json"
    )
    types = {c["type"] for c in patched.json()["status"]["conditions"]}
    assert types == {"NamesAccepted", "Established", "StatusUpdate"}


def test_definitions_are_listed_and_deleted_by_label(http: Raw, kubectl: Kubectl, group: str, define: Define) -> None:
    """Upstream's conformance test "listing custom resource definition objects works"."""
    for plural in ("ones", "twos"):
        definition = crontab_definition(group)
        definition["metadata"] |= {"name": f"{plural}.{group}", "labels": {"of": group}}
        definition["spec"]["names"] = {"plural": plural, "kind": plural.capitalize()}
        define(definition)
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions?labelSelector=of%3D{group}"
    assert len(http.get(path).json()["items"]) == 2
    assert http.send("DELETE", path).status_code == 200
    for plural in ("ones", "twos"):
        kubectl.run("wait", f"crd/{plural}.{group}", "--for=delete", "--timeout=10s").ok()


def test_a_change_of_the_definition_ends_watches_but_its_status_does_not(
    http: Raw, kubectl: Kubectl, namespace: str, group: str, define: Define
) -> None:
    """Watchers of a kind whose schema has changed start again, under the new one."""
    definition = crontab_definition(group)
    define(definition)
    path = f"/apis/{group}/v1/namespaces/{namespace}/crontabs"
    with http.lines(f"{path}?watch=1&timeoutSeconds=20") as lines:
        kubectl.run("label", "crd", f"crontabs.{group}", "x=y").ok()
        kubectl.run("create", "-f", "-", stdin=crontab(group)).ok()
        assert '"ADDED"' in next(lines)
        properties = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        properties["spec"]["properties"]["more"] = {"type": "string"}
        kubectl.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=definition).ok()
        assert list(lines) == []
