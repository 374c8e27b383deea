"""What clients learn of the server: resources, schemas, version."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from client.http import ApiClient
from tests.harness.upstream import Kubectl

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def test_kubectl_lists_the_resources_first_and_again(kubectl: Kubectl) -> None:
    """The second time kubectl asks with what it has cached."""
    for _ in range(2):
        lines = kubectl.run("api-resources").ok().lines
        rows = {line.split()[0]: line.split()[1:] for line in lines[1:]}
        assert rows["pods"] == ["po", "v1", "true", "Pod"]
        assert rows["deployments"] == ["deploy", "apps/v1", "true", "Deployment"]
        assert rows["namespaces"] == ["ns", "v1", "false", "Namespace"]
        assert rows["endpointslices"] == ["discovery.k8s.io/v1", "true", "EndpointSlice"]
        assert rows["leases"] == ["coordination.k8s.io/v1", "true", "Lease"]


def test_kubectl_lists_the_versions(kubectl: Kubectl) -> None:
    assert {"v1", "apps/v1", "coordination.k8s.io/v1", "discovery.k8s.io/v1"} <= set(
        kubectl.run("api-versions").ok().lines
    )
    version = kubectl.run("version", "-o", "json").ok().json["serverVersion"]
    assert version["gitVersion"].startswith("v1.35.")
    assert (version["major"], version["minor"]) == ("1", "35")


def test_short_names_and_categories_are_understood(kubectl: Kubectl) -> None:
    for name in ("po", "svc", "deploy", "rs", "cm", "ep", "ns", "no", "sa", "ev", "all"):
        kubectl.run("get", name).ok()
    unknown = kubectl.run("get", "gizmos").failed()
    assert unknown.stderr.strip() == 'error: the server doesn\'t have a resource type "gizmos"'


def test_kubectl_explains_fields(kubectl: Kubectl) -> None:
    pods = kubectl.run("explain", "pod.spec.containers.livenessProbe").ok().stdout
    assert "FIELD: livenessProbe <Probe>" in pods
    assert "initialDelaySeconds\t<integer>" in pods
    deployments = kubectl.run("explain", "deployments.spec", "--recursive").ok().stdout
    assert "GROUP:      apps" in deployments
    assert "progressDeadlineSeconds" in deployments


async def test_both_forms_of_discovery_agree(ours: ApiClient) -> None:
    async def get(path: str, **headers: str) -> object:
        return (await ours.request("GET", path, headers=headers or None)).json()

    old = await get("/api/v1")
    assert isinstance(old, dict)
    listed = {r["name"] for r in old["resources"]}
    answer = await ours.request("GET", "/api", headers={"Accept": AGGREGATED})
    assert answer.headers["content-type"] == AGGREGATED
    (version,) = answer.json()["items"][0]["versions"]
    aggregated = {r["resource"] for r in version["resources"]} | {
        f"{r['resource']}/{s['subresource']}" for r in version["resources"] for s in r.get("subresources", [])
    }
    assert listed == aggregated
    assert {"pods", "pods/log", "pods/exec", "pods/binding", "pods/status"} <= listed
    groups = await get("/apis/")
    assert isinstance(groups, dict)
    for group in groups["groups"]:
        document = await get(f"/apis/{group['preferredVersion']['groupVersion']}")
        assert isinstance(document, dict)
        assert document["kind"] == "APIResourceList"


async def test_openapi_has_what_apply_needs(ours: ApiClient) -> None:
    index = (await ours.request("GET", "/openapi/v3")).json()["paths"]
    document = (await ours.request("GET", index["apis/apps/v1"]["serverRelativeURL"])).json()
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert "fieldValidation" in {p["name"] for p in patch["parameters"]}
    schema = document["components"]["schemas"]["io.k8s.api.apps.v1.Deployment"]
    assert {"group": "apps", "version": "v1", "kind": "Deployment"} in schema["x-kubernetes-group-version-kind"]


def test_a_list_object_is_applied_item_by_item(kubectl: Kubectl) -> None:
    """`kind: List` is checked against /openapi/v2 by upstream's kubectl before its items are sent."""
    items = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": "b"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "two"}, "stringData": {"a": "b"}},
    ]
    whole = {"apiVersion": "v1", "kind": "List", "items": items}
    assert kubectl.run("apply", "-f", "-", stdin=whole).ok().lines == ["configmap/one created", "secret/two created"]
    items[0]["dataa"] = {}
    assert 'unknown field "dataa"' in kubectl.run("apply", "-f", "-", stdin=whole).failed().stderr


def test_swagger_has_every_kind(kubectl: Kubectl) -> None:
    document = kubectl.run("get", "--raw", "/openapi/v2").ok().json
    assert document["swagger"] == "2.0"
    pod = document["definitions"]["io.k8s.api.core.v1.Pod"]
    assert pod["properties"]["spec"]["$ref"] == "#/definitions/io.k8s.api.core.v1.PodSpec"


async def test_discovery_is_answered_once(ours: ApiClient) -> None:
    """KEP-3352: an ETag, 304 for those who have it, and the older form for clients of the removed v2beta1."""
    first = await ours.request("GET", "/apis", headers={"Accept": AGGREGATED})
    assert first.headers["cache-control"] == "public"
    tag = first.headers["etag"]
    again = await ours.request("GET", "/apis", headers={"Accept": AGGREGATED, "If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    beta = AGGREGATED.replace("v=v2", "v=v2beta1")
    old = await ours.request("GET", "/apis", headers={"Accept": f"{beta},application/json"})
    assert old.json()["kind"] == "APIGroupList"
    both = await ours.request("GET", "/apis", headers={"Accept": f"{AGGREGATED},{beta},application/json"})
    assert both.json()["kind"] == "APIGroupDiscoveryList"
    groups = [group["metadata"]["name"] for group in both.json()["items"]]
    assert groups.index("apps") < groups.index("discovery.k8s.io")
    assert {v["freshness"] for group in both.json()["items"] for v in group["versions"]} == {"Current"}


async def test_a_document_asked_for_by_its_hash_may_be_kept(ours: ApiClient) -> None:
    """kube-openapi, pkg/handler3: public and immutable with the current hash, a redirection with another."""
    index = await ours.request("GET", "/openapi/v3")
    url = index.json()["paths"]["apis/apps/v1"]["serverRelativeURL"]
    document = await ours.request("GET", url)
    assert document.headers["cache-control"] == "public, immutable"
    assert document.headers["expires"].endswith("GMT")
    again = await ours.request("GET", url, headers={"If-None-Match": document.headers["etag"]})
    assert again.status_code == 304
    moved = await ours.request("GET", "/openapi/v3/apis/apps/v1?hash=OLD")
    assert (moved.status_code, moved.headers["location"]) == (301, url)
    plain = await ours.request("GET", "/openapi/v3/apis/apps/v1", headers={"Accept-Encoding": "identity"})
    assert "immutable" not in plain.headers["cache-control"] and plain.json() == document.json()


def test_every_kind_is_explained(kubectl: Kubectl) -> None:
    """In the version served and in the one named, from OpenAPI v3 and from v2."""
    kinds = kubectl.run("api-resources", "--no-headers", "--verbs=get", "-o", "wide").ok().lines
    assert len(kinds) > 40

    def explain(line: str) -> None:
        words = line.split()
        version = next(word for word in words if word == "v1" or "/v" in word)
        told = kubectl.run("explain", words[0], "--recursive", "--api-version", version).ok().stdout
        kind = words[words.index(version) + 2]
        assert f"KIND:       {kind}\nVERSION:    {version.rpartition('/')[2]}\n" in told, line
        assert "  metadata\t<ObjectMeta>" in told or "metadata\t<ListMeta>" in told, line

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(explain, kinds))
    old = kubectl.run("explain", "deployments.spec.replicas", "--output", "plaintext-openapiv2").ok().stdout
    assert old.startswith("KIND:     Deployment\nVERSION:  apps/v1\n\nFIELD:    replicas <integer>\n"), old


def test_a_path_may_end_with_a_slash(kubectl: Kubectl) -> None:
    """kr8s asks so."""
    for path in ("/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/version", "/openapi/v3"):
        assert kubectl.run("get", "--raw", path + "/").ok().json == kubectl.run("get", "--raw", path).ok().json
