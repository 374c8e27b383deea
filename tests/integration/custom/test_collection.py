"""Owners, dependents and namespaces when custom kinds take part, with a real controller.

https://kubernetes.io/docs/concepts/architecture/garbage-collection/ and
https://kubernetes.io/docs/tasks/administer-cluster/use-cascading-deletion/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from api.builtin import CONFIG_MAPS
from client.http import ApiClient
from tests.harness.eventually import eventually_sync
from tests.harness.upstream import Kubectl
from tests.integration.conftest import Start
from tests.integration.custom.manifests import crontab_definition
from tests.integration.manifests import config_map

Obj = dict[str, Any]
Make = Callable[..., Obj]


@pytest.fixture
def kind(start_controller: Start, define: Callable[[Obj], Obj], group: str) -> str:
    """A custom kind that came when the controller was already at work."""
    start_controller()
    define(crontab_definition(group))
    return f"crontabs.{group}"


@pytest.fixture
def make(kubectl: Kubectl, namespace: str, group: str) -> Iterator[Make]:
    def create(name: str, *owners: Obj, custom: bool = True, where: str = namespace, **metadata: Any) -> Obj:
        references = [
            {"apiVersion": o["apiVersion"], "kind": o["kind"], "name": o["metadata"]["name"],
             "uid": o["metadata"]["uid"], "blockOwnerDeletion": True}
            for o in owners
        ]  # fmt: skip
        body = config_map(name, ownerReferences=references, **metadata)
        if custom:
            del body["data"]
            body |= {"apiVersion": f"{group}/v1", "kind": "CronTab"}
        return kubectl.run("create", "-n", where, "-f", "-", "-o", "json", stdin=body).ok().json

    yield create


def names(kubectl: Kubectl, *kinds: str) -> list[str]:
    return sorted(line.split("/")[1] for line in kubectl.run("get", ",".join(kinds), "-o", "name").ok().lines if line)


def mine(kubectl: Kubectl, kind: str) -> list[str]:
    return [name for name in names(kubectl, kind, "cm") if name != "kube-root-ca.crt"]


def test_custom_objects_own_and_are_owned(kubectl: Kubectl, kind: str, make: Make) -> None:
    root = make("root")
    middle = make("middle", root, custom=False)
    make("leaf", middle)
    make("bystander")
    kubectl.run("delete", kind, "root").ok()
    eventually_sync(lambda: mine(kubectl, kind) == ["bystander"], "the tree is gone", within=20)


def test_foreground_deletion_waits_for_a_custom_dependent(kubectl: Kubectl, kind: str, make: Make) -> None:
    make("child", make("root"), finalizers=["example.com/hold"])
    kubectl.run("delete", kind, "root", "--cascade=foreground", "--wait=false").ok()
    dying = "{.items[?(@.metadata.deletionTimestamp)].metadata.name}"
    eventually_sync(
        lambda: kubectl.run("get", kind, "-o", f"jsonpath={dying}").stdout == "child root", "both are going", within=20
    )
    kubectl.run("patch", kind, "child", "--type=merge", "-p", '{"metadata":{"finalizers":null}}').ok()
    eventually_sync(lambda: mine(kubectl, kind) == [], "both are gone", within=20)


def test_orphans_forget_their_owner(kubectl: Kubectl, kind: str, make: Make) -> None:
    root = make("root")
    make("child", root)
    kubectl.run("delete", kind, "root", "--cascade=orphan").ok()
    assert mine(kubectl, kind) == ["child"]
    assert "ownerReferences" not in kubectl.run("get", kind, "child", "-o", "json").ok().json["metadata"]


def test_an_owner_in_another_namespace_does_not_count(kubectl: Kubectl, kind: str, make: Make) -> None:
    owner = make("owner", where="default")
    try:
        make("child", owner)
        eventually_sync(lambda: mine(kubectl, kind) == [], "the child is gone", within=20)
        shown = kubectl.run("get", "events", "-o", "jsonpath={.items[*].reason} {.items[*].involvedObject.name}")
        assert shown.ok().stdout == "OwnerRefInvalidNamespace child"
    finally:
        kubectl.run("delete", kind, "owner", "-n", "default").ok()


def test_a_namespace_tells_which_custom_objects_hold_it(
    kubectl: Kubectl, namespace: str, kind: str, make: Make
) -> None:
    make("held", finalizers=["example.com/hold"])
    make("free")
    kubectl.run("delete", "namespace", namespace, "--wait=false").ok()

    def said() -> dict[str, str]:
        conditions = kubectl.run("get", "namespace", namespace, "-o", "json").ok().json["status"].get("conditions")
        return {c["type"]: c["message"] for c in conditions or [] if c["status"] == "True"}

    eventually_sync(lambda: len(said()) == 2, "the namespace says what holds it", within=20)
    assert said() == {
        "NamespaceContentRemaining": f"Some resources are remaining: {kind} has 1 resource instances",
        "NamespaceFinalizersRemaining": (
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
        ),
    }
    kubectl.run("patch", kind, "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}').ok()
    eventually_sync(lambda: kubectl.run("get", "namespace", namespace).code != 0, "the namespace is gone", within=20)


async def test_the_controller_learns_metadata_alone(ours: ApiClient, kubectl: Kubectl, namespace: str) -> None:
    """https://kubernetes.io/docs/reference/using-api/api-concepts/#partial-object-metadata-requests"""
    kubectl.run("create", "configmap", "a", "--from-literal=k=v").ok()
    found = await ours.list(CONFIG_MAPS, namespace, metadata_only=True)
    assert [(o["metadata"]["name"], "data" in o) for o in found["items"] if o["metadata"]["name"] == "a"] == [
        ("a", False)
    ]
    revision = found["metadata"]["resourceVersion"]
    kubectl.run("create", "configmap", "b", "--from-literal=k=v").ok()
    events = ours.watch(CONFIG_MAPS, namespace, resource_version=revision, metadata_only=True)
    async with aclosing(events) as stream:
        type_, obj = await anext(stream)
    assert (type_, obj["kind"], obj["metadata"]["name"], "data" in obj) == (
        "ADDED",
        "PartialObjectMetadata",
        "b",
        False,
    )
