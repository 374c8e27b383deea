"""Several versions of one custom kind, and several servers that serve it.

https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness.apiserver import ApiServer
from tests.harness.etcd import EtcdServer
from tests.harness.eventually import eventually_sync
from tests.harness.raw import Raw
from tests.harness.upstream import Kubectl
from tests.harness.webhook import Webhook

Obj = dict[str, Any]
Define = Callable[[Obj], Obj]


def versioned(group: str, conversion: Obj | None = None) -> Obj:
    """The documentation's CronTab: v1beta1 has hostPort, v1 has host and port."""
    text = {"type": "string"}
    beta = {"type": "object", "properties": {"hostPort": text, "shared": text}}
    stable = {"type": "object", "properties": {"host": text, "port": text, "shared": text}}
    versions = [
        {
            "name": name, "served": True, "storage": name == "v1beta1", "deprecated": name == "v1beta1",
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
        }
        for name, spec in (("v1beta1", beta), ("v1", stable))
    ]  # fmt: skip
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"crontabs.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "crontabs", "kind": "CronTab", "listKind": "CronTabs"},
            "versions": versions,
            **({"conversion": conversion} if conversion else {}),
        },
    }


def convert(review: Obj) -> Obj:
    """The documentation's example of a conversion webhook."""
    request, converted = review["request"], []
    for obj in copy.deepcopy(request["objects"]):
        spec = obj["spec"]
        if request["desiredAPIVersion"].endswith("/v1"):
            host, _, port = spec.pop("hostPort", ":").partition(":")
            spec |= {"host": host, "port": port}
        else:
            spec["hostPort"] = f"{spec.pop('host', '')}:{spec.pop('port', '')}"
        obj["apiVersion"] = request["desiredAPIVersion"]
        obj["metadata"]["annotations"] = {"converted": "yes"}
        obj["metadata"]["finalizers"] = ["not.mine/to-set"]
        converted.append(obj)
    response = {"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": converted}
    return {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}


@pytest.fixture
def webhook(etcd_server: EtcdServer) -> Iterator[Webhook]:
    server = Webhook(etcd_server.pki, convert)
    yield server
    server.close()


def through(webhook: Webhook) -> Obj:
    config = {"url": webhook.url, "caBundle": webhook.ca_bundle}
    return {"strategy": "Webhook", "webhook": {"clientConfig": config, "conversionReviewVersions": ["v1"]}}


def body(group: str, version: str, name: str = "c", **spec: Any) -> Obj:
    return {"apiVersion": f"{group}/{version}", "kind": "CronTab", "metadata": {"name": name}, "spec": spec}


def test_without_conversion_only_the_version_changes(
    http: Raw, kubectl: Kubectl, namespace: str, group: str, define: Define
) -> None:
    """Strategy None: each version prunes to its own schema; a deprecated one says so; the list is of the version."""
    define(versioned(group))
    path = f"/apis/{group}/{{}}/namespaces/{namespace}/crontabs"
    made = http.send("POST", path.format("v1"), body(group, "v1", shared="s", host="h"))
    assert made.json()["spec"] == {"shared": "s"}, "what the stored version does not know is lost"
    old = http.get(path.format("v1beta1") + "/c")
    assert old.json()["apiVersion"] == f"{group}/v1beta1" and old.json()["spec"] == {"shared": "s"}
    said = f"{group}/v1beta1 CronTab is deprecated; use {group}/v1 CronTab"
    assert old.headers["warning"] == f'299 - "{said}"'
    listed = http.get(path.format("v1")).json()
    assert (listed["apiVersion"], listed["kind"]) == (f"{group}/v1", "CronTabs")
    assert listed["items"][0]["apiVersion"] == f"{group}/v1"
    found = kubectl.run("get", f"crontabs.{group}", "-o", "jsonpath={.items[0].apiVersion}").ok().stdout
    assert found == f"{group}/v1", "the preferred version"


def test_a_webhook_converts(http: Raw, webhook: Webhook, namespace: str, group: str, define: Define) -> None:
    """Strategy Webhook: one call for a list, and of the metadata labels and annotations alone are the webhook's."""
    define(versioned(group, through(webhook)))
    path = f"/apis/{group}/{{}}/namespaces/{namespace}/crontabs"
    for name in ("a", "b"):
        made = http.send("POST", path.format("v1beta1"), body(group, "v1beta1", name, hostPort="localhost:80"))
        assert made.status_code == 201
    assert webhook.calls == []
    listed = http.get(path.format("v1")).json()["items"]
    assert [(i["apiVersion"], i["spec"]) for i in listed] == [(f"{group}/v1", {"host": "localhost", "port": "80"})] * 2
    (call,) = webhook.calls
    assert call["kind"] == "ConversionReview" and len(call["request"]["objects"]) == 2
    metadata = listed[0]["metadata"]
    assert metadata["annotations"] == {"converted": "yes"} and "finalizers" not in metadata
    changed = listed[0] | {"spec": {"host": "h", "port": "1"}}
    assert http.send("PUT", path.format("v1") + "/a", changed).json()["spec"] == {"host": "h", "port": "1"}
    assert http.get(path.format("v1beta1") + "/a").json()["spec"] == {"hostPort": "h:1"}
    with http.lines(path.format("v1") + "?watch=1&resourceVersion=0&timeoutSeconds=5") as lines:
        assert '"host":"h"' in next(lines)


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"result": {"status": "Failed", "message": "no way"}}, "failed: no way"),
        ({"result": {"status": "Success"}, "convertedObjects": []}, "returned 0 objects, expected 1"),
        ({"uid": "other"}, 'expected response.uid="'),
    ],
    ids=["refused", "lost", "mixed-up"],
)
def test_a_webhook_that_fails_is_told(
    http: Raw, webhook: Webhook, namespace: str, group: str, define: Define, broken: Obj, why: str
) -> None:
    define(versioned(group, through(webhook)))
    path = f"/apis/{group}/{{}}/namespaces/{namespace}/crontabs"
    http.send("POST", path.format("v1beta1"), body(group, "v1beta1", hostPort="a:1"))

    def answer(review: Obj) -> Obj:
        good = convert(review)
        return good | {"response": good["response"] | broken}

    webhook.answer = answer
    failed = http.get(path.format("v1") + "/c")
    assert failed.status_code == 500
    assert f"conversion webhook for {group}/v1beta1, Kind=CronTab" in failed.json()["message"]
    assert why in failed.json()["message"]
    webhook.answer = convert
    assert http.get(path.format("v1") + "/c").json()["spec"] == {"host": "a", "port": "1"}


def test_a_new_stored_version(
    http: Raw, kubectl: Kubectl, webhook: Webhook, namespace: str, group: str, define: Define
) -> None:
    """Objects lie in the version they were written in until they are written again; storedVersions remembers."""
    definition = versioned(group, through(webhook))
    define(definition)
    path = f"/apis/{group}/{{}}/namespaces/{namespace}/crontabs"
    http.send("POST", path.format("v1beta1"), body(group, "v1beta1", hostPort="a:1"))
    for version in definition["spec"]["versions"]:
        version["storage"] = version["name"] == "v1"
    kubectl.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=definition).ok()
    stored = kubectl.run("get", "crd", f"crontabs.{group}", "-o", "jsonpath={.status.storedVersions}").ok().stdout
    assert stored == '["v1beta1","v1"]'
    assert http.get(path.format("v1beta1") + "/c").json()["spec"] == {"hostPort": "a:1"}
    found = http.get(path.format("v1") + "/c").json()
    assert found["spec"] == {"host": "a", "port": "1"}
    written = http.send("PUT", path.format("v1") + "/c", found).json()
    assert written["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"], "storage migration"


@pytest.fixture(scope="module")
def second(
    etcd_server: EtcdServer, shared_apiserver: ApiServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ApiServer]:
    """Another apiserver on the same etcd."""
    server = ApiServer(tmp_path_factory.mktemp("second"), etcd_server)
    try:
        server.start()
        yield server
    finally:
        server.stop()


def test_two_servers_serve_what_one_established(
    second: ApiServer, kubectl: Kubectl, http: Raw, namespace: str, group: str, define: Define
) -> None:
    """Right after Established on one server, the other knows the kind, in discovery and for objects; an update of the
    definition reaches it; after the deletion it knows nothing."""
    define(versioned(group))
    other = Raw(second.admin())
    try:
        listed = other.get(f"/apis/{group}/v1").json()
        assert [r["name"] for r in listed["resources"]] == ["crontabs"]
        path = f"/apis/{group}/v1/namespaces/{namespace}/crontabs"
        assert other.send("POST", path, body(group, "v1", shared="s")).status_code == 201
        assert http.get(f"{path}/c").json()["spec"] == {"shared": "s"}
        definition = versioned(group)
        definition["spec"]["versions"][0]["served"] = False
        kubectl.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=definition).ok()
        old = path.replace("/v1/", "/v1beta1/")
        eventually_sync(lambda: other.get(old).status_code == 404, "the other server serves it no more")
        kubectl.run("delete", "crd", f"crontabs.{group}", "--timeout=10s").ok()
        eventually_sync(lambda: other.get(path).status_code == 404, "the other server knows it no more")
        assert other.get(f"/openapi/v3/apis/{group}/v1").status_code == 404
    finally:
        other.close()


def test_objects_are_served_again_after_a_restart(
    second: ApiServer, kubectl: Kubectl, namespace: str, group: str, define: Define
) -> None:
    """A server that comes back serves custom kinds from its first answer on."""
    define(versioned(group))
    kubectl.run("create", "-f", "-", stdin=body(group, "v1", shared="s")).ok()
    second.kill()
    second.start()
    other = Raw(second.admin())
    try:
        path = f"/apis/{group}/v1/namespaces/{namespace}/crontabs/c"
        assert other.get(path).json()["spec"] == {"shared": "s"}
    finally:
        other.close()
