"""Custom resources, as upstream's documentation tells of them, judged by upstream clients.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import kubernetes
import pytest
from kubernetes.dynamic import DynamicClient

from tests.harness.upstream import Kubectl

Obj = dict[str, Any]


def crontab_definition(group: str) -> Obj:
    """The documentation's example, with what its later sections add."""
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "cronSpec": {
                        "type": "string",
                        "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$",
                        "default": "5 0 * * *",
                        "description": "When it runs.",
                    },
                    "image": {"type": "string"},
                    "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
                },
            },
            "status": {
                "type": "object",
                "properties": {"replicas": {"type": "integer"}, "labelSelector": {"type": "string"}},
            },
        },
    }
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.labelSelector",
            },
        },
        "additionalPrinterColumns": [
            {"name": "Spec", "type": "string", "description": "The cron spec", "jsonPath": ".spec.cronSpec"},
            {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
            {"name": "Image", "type": "string", "jsonPath": ".spec.image", "priority": 1},
            {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        ],
    }
    names = {
        "plural": "crontabs",
        "singular": "crontab",
        "kind": "CronTab",
        "shortNames": ["ct"],
        "categories": ["all"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"crontabs.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


@pytest.fixture
def group() -> str:
    """A group of the test's own."""
    return f"g{uuid.uuid4().hex[:8]}.example.com"


@pytest.fixture
def define(kubectl: Kubectl) -> Iterator[Callable[[Obj], Obj]]:
    """Create a definition and wait until it is established; it is deleted after the test."""
    made: list[str] = []

    def create(definition: Obj) -> Obj:
        name = definition["metadata"]["name"]
        kubectl.run("create", "-f", "-", stdin=definition).ok()
        made.append(name)
        kubectl.run("wait", f"crd/{name}", "--for=condition=Established", "--timeout=20s").ok()
        return definition

    yield create
    for name in made:
        kubectl.run("delete", "crd", name, "--ignore-not-found", "--timeout=20s").ok()


def crontab(group: str, name: str = "my-cron", **spec: Any) -> Obj:
    return {"apiVersion": f"{group}/v1", "kind": "CronTab", "metadata": {"name": name}, "spec": spec}


def test_a_definition_makes_its_objects_servable(
    kubectl: Kubectl, namespace: str, group: str, define: Callable[[Obj], Obj]
) -> None:
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


def test_the_definition_tells_what_became_of_it(kubectl: Kubectl, group: str, define: Callable[[Obj], Obj]) -> None:
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
    official: kubernetes.client.ApiClient, kubectl: Kubectl, namespace: str, group: str, define: Callable[[Obj], Obj]
) -> None:
    """The official Python client's dynamic part: discovery, create, watch, patch, delete."""
    define(crontab_definition(group))
    api = DynamicClient(official).resources.get(api_version=f"{group}/v1", kind="CronTab")
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
