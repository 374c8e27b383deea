"""Lists: pages, selectors, revisions, tables."""

from __future__ import annotations

import json
import time

import pytest
from kubernetes.client import ApiException, CoreV1Api

from api.builtin import CONFIG_MAPS
from client.http import ApiClient
from tests.harness.upstream import Kubectl
from tests.integration.manifests import config_map, pod


@pytest.fixture
def seven(core: CoreV1Api, namespace: str) -> CoreV1Api:
    for i in range(7):
        labels = {"parity": "odd" if i % 2 else "even", "n": str(i)}
        core.create_namespaced_config_map(namespace, config_map(f"c{i}", labels=labels))
    return core


def test_pages_show_one_moment(seven: CoreV1Api, namespace: str) -> None:
    first = seven.list_namespaced_config_map(namespace, limit=3)
    assert [c.metadata.name for c in first.items] == ["c0", "c1", "c2"]
    assert first.metadata.remaining_item_count == 4
    seven.delete_namespaced_config_map("c3", namespace)
    token = first.metadata._continue
    second = seven.list_namespaced_config_map(namespace, limit=3, _continue=token)
    assert [c.metadata.name for c in second.items] == ["c3", "c4", "c5"]
    assert second.metadata.resource_version == first.metadata.resource_version
    third = seven.list_namespaced_config_map(namespace, limit=3, _continue=second.metadata._continue)
    assert [c.metadata.name for c in third.items] == ["c6"]
    assert not third.metadata._continue
    assert third.metadata.remaining_item_count is None


def test_kubectl_reads_in_chunks(seven: CoreV1Api, kubectl: Kubectl) -> None:
    listed = kubectl.run("get", "cm", "--chunk-size=2", "-o", "name").ok()
    assert listed.lines == [f"configmap/c{i}" for i in range(7)]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("parity=odd", "c1 c3 c5"),
        ("parity!=odd,n notin (0,2)", "c4 c6"),
        ("n in (1,6)", "c1 c6"),
        ("parity,!absent,n=3", "c3"),
        ("absent", ""),
    ],
)
def test_label_selectors(seven: CoreV1Api, namespace: str, selector: str, names: str) -> None:
    listed = seven.list_namespaced_config_map(namespace, label_selector=selector, limit=2)
    seen = [c.metadata.name for c in listed.items]
    assert listed.metadata.remaining_item_count is None
    while listed.metadata._continue:
        listed = seven.list_namespaced_config_map(
            namespace, label_selector=selector, limit=2, _continue=listed.metadata._continue
        )
        seen += [c.metadata.name for c in listed.items]
    assert " ".join(seen) == names


def test_field_selectors(core: CoreV1Api, kubectl: Kubectl, namespace: str) -> None:
    for name, node in (("a", "n1"), ("b", "n2")):
        body = pod(name)
        body["spec"]["nodeName"] = node
        core.create_namespaced_pod(namespace, body)
    assert kubectl.run("get", "po", "--field-selector=spec.nodeName=n1", "-o", "name").lines == ["pod/a"]
    assert kubectl.run("get", "po", "--field-selector=metadata.name!=a", "-o", "name").lines == ["pod/b"]
    wrong = kubectl.run("get", "po", "--field-selector=spec.color=red").failed()
    assert "field label not supported: spec.color" in wrong.stderr
    malformed = kubectl.run("get", "po", "-l", "a in b").failed()
    assert "unable to parse requirement" in malformed.stderr


def test_a_list_of_all_namespaces(seven: CoreV1Api, namespace: str) -> None:
    listed = seven.list_config_map_for_all_namespaces(label_selector="n=3")
    assert namespace in [c.metadata.namespace for c in listed.items]
    assert listed.kind == "ConfigMapList"


def raw(kubectl: Kubectl, path: str) -> dict[str, object]:
    document: dict[str, object] = kubectl.run("get", "--raw", path).ok().json
    return document


def test_revisions_of_a_list(seven: CoreV1Api, kubectl: Kubectl, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    before = seven.list_namespaced_config_map(namespace).metadata.resource_version
    seven.delete_namespaced_config_map("c0", namespace)
    for query, count in (
        ("", 6),
        ("?resourceVersion=0", 6),
        (f"?resourceVersion={before}", 6),
        (f"?resourceVersion={before}&resourceVersionMatch=NotOlderThan", 6),
        (f"?resourceVersion={before}&resourceVersionMatch=Exact", 7),
    ):
        items = raw(kubectl, path + query)["items"]
        assert isinstance(items, list)
        assert len(items) == count, query


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("resourceVersion=abc", 'Invalid value: "abc"'),
        ("resourceVersionMatch=Exact", "resourceVersionMatch is forbidden unless resourceVersion is provided"),
        ("resourceVersion=1&resourceVersionMatch=Any", "Unsupported value"),
        ("continue=nonsense", "continue key is not valid"),
        ("limit=many", 'strconv.ParseInt: parsing "many": invalid syntax'),
    ],
)
def test_bad_options_say_what_is_wrong(kubectl: Kubectl, namespace: str, query: str, message: str) -> None:
    refused = kubectl.run("get", "--raw", f"/api/v1/namespaces/{namespace}/configmaps?{query}").failed()
    assert message in refused.stderr


def test_a_table_as_kubectl_prints_it(core: CoreV1Api, kubectl: Kubectl, namespace: str) -> None:
    core.create_namespaced_pod(namespace, pod("web"))
    header, line = kubectl.run("get", "pods").ok().lines
    assert header.split() == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert line.split()[:4] == ["web", "0/1", "Pending", "0"]
    wide = kubectl.run("get", "pods", "-o", "wide").ok().lines[0].split()
    assert wide[5:8] == ["IP", "NODE", "NOMINATED"]
    assert kubectl.run("get", "pods", "-A").ok().lines[0].split()[0] == "NAMESPACE"
    assert kubectl.run("get", "svc", "-n", "default").ok().lines[1].split()[:5] == [
        "kubernetes", "ClusterIP", "10.96.0.1", "<none>", "443/TCP",
    ]  # fmt: skip
    assert kubectl.run("get", "secrets").ok().stderr.strip() == f"No resources found in {namespace} namespace."


async def test_only_metadata_when_that_is_asked_for(seven: CoreV1Api, ours: ApiClient, namespace: str) -> None:
    answer = await ours.request(
        "GET",
        CONFIG_MAPS.path(namespace),
        headers={"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"},
    )
    body = json.loads(answer.content)
    assert body["kind"] == "PartialObjectMetadataList"
    assert len(body["items"]) == 7
    assert all("data" not in item for item in body["items"])


def test_a_large_list_arrives_whole(core: CoreV1Api, kubectl: Kubectl, namespace: str) -> None:
    """Larger than the gzip limit and a single write."""
    filler = "x" * 20_000
    for i in range(40):
        core.create_namespaced_config_map(namespace, config_map(f"c{i:02}", {"filler": filler + str(i)}))
    listed = kubectl.run("get", "cm", "-o", "json").ok().json
    assert [c["data"]["filler"][20_000:] for c in listed["items"]] == [str(i) for i in range(40)]


def test_old_revisions_are_readable_and_future_ones_time_out(core: CoreV1Api, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, config_map("a"))
    then = core.list_namespaced_config_map(namespace).metadata.resource_version
    for i in range(50):
        core.patch_namespaced_config_map("a", namespace, {"data": {"k": str(i)}})
    exact = core.list_namespaced_config_map(namespace, resource_version=then, resource_version_match="Exact")
    assert not exact.items[0].data
    with pytest.raises(ApiException) as late:
        began = time.monotonic()
        core.list_namespaced_config_map(namespace, resource_version=str(10**9))
    assert late.value.status == 504
    assert time.monotonic() - began < 10
