"""The options of LIST and WATCH, each combination as upstream documents it.

https://kubernetes.io/docs/reference/using-api/api-concepts/ , KEP-3157 (watch list), KEP-956 (bookmarks),
KEP-1152 (websocket framing is of the same age), k8s.io/apimachinery's ListOptions validation.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from kubernetes.client import CoreV1Api
from websockets.sync.client import connect

from tests.harness.apiserver import ApiServer
from tests.harness.raw import Raw
from tests.integration.manifests import config_map, pod

ONLY_FORBIDDEN = "resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden"


@pytest.fixture
def path(core: CoreV1Api, namespace: str) -> str:
    """Three config maps a, b, c."""
    for name in "abc":
        core.create_namespaced_config_map(namespace, config_map(name, labels={"n": name}))
    return f"/api/v1/namespaces/{namespace}/configmaps"


def events(http: Raw, path: str, **headers: str) -> list[dict[str, Any]]:
    with http.lines(path, **headers) as lines:
        return [json.loads(line) for line in lines]


def told(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in found]


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("watch=1&resourceVersionMatch=NotOlderThan", 422,
         f"{ONLY_FORBIDDEN} for watch unless sendInitialEvents is provided"),
        ("watch=1&sendInitialEvents=true", 422,
         "resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"),
        ("watch=1&sendInitialEvents=true&resourceVersionMatch=Exact", 422,
         'resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"'),
        ("watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&continue=x", 422,
         f"{ONLY_FORBIDDEN} when continue is provided"),
        ("sendInitialEvents=true", 422, "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
        ("resourceVersionMatch=Exact", 422, f"{ONLY_FORBIDDEN} unless resourceVersion is provided"),
        ("resourceVersion=0&resourceVersionMatch=Exact", 422,
         'resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'),
        ("resourceVersion=1&resourceVersionMatch=Newest", 422,
         'resourceVersionMatch: Unsupported value: "Newest": supported values: "Exact", "NotOlderThan", ""'),
        ("resourceVersion=1&continue=x", 400, "specifying resource version is not allowed when using continue"),
        ("continue=x", 400, "continue key is not valid"),
        ("limit=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("limit=99999999999999999999", 400, 'strconv.ParseInt: parsing "99999999999999999999": value out of range'),
        ("fieldSelector=data.x=1", 400,
         '"data.x" is not a known field selector: only "metadata.name", "metadata.namespace"'),
        ("fieldSelector=x", 400, "invalid selector: 'x'; can't understand 'x'"),
        ("labelSelector=a+b+c", 400, "unable to parse requirement"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(http: Raw, namespace: str, query: str, code: int, message: str) -> None:
    """Wording: apimachinery/pkg/apis/meta/internalversion/validation and pkg/storage/continue.go."""
    status = http.get(f"/api/v1/namespaces/{namespace}/configmaps?{query}").json()
    assert (status["kind"], status["code"]) == ("Status", code)
    assert message in status["message"]
    if code == 422:
        assert status["message"].startswith('ListOptions.meta.k8s.io "" is invalid: ')


def test_unknown_fields_of_a_kind_with_selectable_fields(http: Raw, namespace: str) -> None:
    status = http.get(f"/api/v1/namespaces/{namespace}/pods?fieldSelector=spec.foo=1").json()
    assert status["message"] == "field label not supported: spec.foo"


def test_pages_count_what_remains_and_selected_ones_do_not(http: Raw, path: str) -> None:
    """remainingItemCount is not set with selectors: ListMeta's documentation."""
    first = http.get(f"{path}?limit=2").json()
    assert (len(first["items"]), first["metadata"]["remainingItemCount"]) == (2, 1)
    last = http.get(f"{path}?limit=2&continue={first['metadata']['continue']}").json()
    assert [item["metadata"]["name"] for item in last["items"]] == ["c"]
    assert last["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert not {"continue", "remainingItemCount"} & set(last["metadata"])
    selected = http.get(f"{path}?limit=1&labelSelector=n").json()
    assert "remainingItemCount" not in selected["metadata"]
    assert len(http.get(f"{path}?limit=-1").json()["items"]) == 3, "a limit below zero is none"


def test_one_object_is_watched_by_field_and_by_the_old_path(http: Raw, core: CoreV1Api, path: str) -> None:
    """Deprecated /watch/ paths still work: API concepts, `watch` as a prefix."""
    old = path.replace("/api/v1/", "/api/v1/watch/")
    for url in (f"{path}?watch=true&fieldSelector=metadata.name=b", f"{old}/b?", f"{old}?labelSelector=n%3Db"):
        assert told(events(http, f"{url}&timeoutSeconds=1")) == [("ADDED", "b")]
    refused = http.get(f"{old}/b?fieldSelector=metadata.name=c").json()
    assert refused["message"] == "fieldSelector metadata.name doesn't match requested name"


def test_watch_list_options(http: Raw, path: str) -> None:
    """KEP-3157: the state as ADDED events; the mark only for those who take bookmarks."""
    ask = f"{path}?watch=1&timeoutSeconds=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    added = [("ADDED", name) for name in "abc"]
    assert told(events(http, ask)) == added
    marked = events(http, f"{ask}&allowWatchBookmarks=true&resourceVersion=0")
    assert told(marked)[:4] == [*added, ("BOOKMARK", "")]
    assert marked[3]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert marked[3]["object"]["kind"] == "ConfigMap"
    none = ask.replace("sendInitialEvents=true", "sendInitialEvents=false")
    assert events(http, none) == []


def test_tables_and_metadata_are_watched_too(http: Raw, core: CoreV1Api, namespace: str) -> None:
    """Receiving resources as Tables, for watches: columns come with the first event alone."""
    core.create_namespaced_pod(namespace, pod("web"))
    core.create_namespaced_pod(namespace, pod("xeb"))
    ask = f"/api/v1/namespaces/{namespace}/pods?watch=1&timeoutSeconds=1"
    first, second = events(http, ask, accept="application/json;as=Table;g=meta.k8s.io;v=v1")
    assert first["object"]["kind"] == second["object"]["kind"] == "Table"
    assert first["object"]["columnDefinitions"][0]["name"] == "Name"
    assert not second["object"]["columnDefinitions"]
    assert second["object"]["rows"][0]["cells"][0] == "xeb"
    (one, _) = events(http, ask, accept="application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
    assert (one["object"]["kind"], one["object"]["metadata"]["name"]) == ("PartialObjectMetadata", "web")
    assert "spec" not in one["object"]


def test_a_watch_over_websocket_is_text_frames_of_events(apiserver: ApiServer, core: CoreV1Api, path: str) -> None:
    """API concepts: a GET with `Upgrade: websocket`; the JavaScript and browser clients use it."""
    config = apiserver.bearer("steward-token")
    url = f"{apiserver.url.replace('https', 'wss')}{path}?watch=true&timeoutSeconds=3&fieldSelector=metadata.name=a"
    headers = {"Authorization": f"Bearer {config.token}"}
    with connect(url, ssl=config.ssl_context(), additional_headers=headers) as socket:
        first = json.loads(socket.recv(timeout=5))
        assert told([first]) == [("ADDED", "a")]
        core.delete_namespaced_config_map("a", path.split("/")[4])
        frame = socket.recv(timeout=5)
        assert isinstance(frame, str)
        assert told([json.loads(frame)]) == [("DELETED", "a")]
        with pytest.raises(Exception, match="1000"):
            socket.recv(timeout=10)


def test_a_refused_websocket_watch_is_plain_http(apiserver: ApiServer, path: str) -> None:
    config = apiserver.bearer("visitor-token")
    url = f"{apiserver.url.replace('https', 'wss')}{path}?watch=true"
    headers = {"Authorization": f"Bearer {config.token}"}
    with pytest.raises(Exception, match="403"), connect(url, ssl=config.ssl_context(), additional_headers=headers):
        raise AssertionError("a visitor was let in")


@pytest.mark.parametrize("slash", ["", "/"])
def test_the_encodings_of_an_answer(http: Raw, path: str, slash: str) -> None:
    """API concepts, alternate representations; content negotiation of k8s.io/apiserver."""
    plain = http.get(f"{path}/a{slash}")
    assert plain.headers["content-type"] == "application/json"
    assert plain.json()["metadata"]["name"] == "a"
    assert "\n  " not in plain.text
    for pretty in (http.get(f"{path}/a?pretty=true"), http.get(f"{path}/a", user_agent="curl/8.0")):
        assert pretty.text.startswith('{\n  "')
        assert pretty.json() == plain.json()
    assert "\n  " not in http.get(f"{path}/a?pretty=0", user_agent="curl/8.0").text
    written = http.get(f"{path}/a", accept="application/yaml")
    assert written.headers["content-type"] == "application/yaml"
    assert written.text.startswith("apiVersion: v1\n")
    protobuf_first = http.get(f"{path}/a", accept="application/vnd.kubernetes.protobuf,application/json")
    assert protobuf_first.headers["content-type"] == "application/json"


def test_what_is_not_acceptable(http: Raw, path: str) -> None:
    for accept in ("application/cbor", "text/html", "application/json;as=Other;g=meta.k8s.io;v=v1"):
        status = http.get(path, accept=accept)
        assert (status.status_code, status.json()["reason"]) == (406, "NotAcceptable")
        assert status.json()["message"] == (
            "only the following media types are accepted: application/json, application/yaml, "
            "application/vnd.kubernetes.protobuf"
        )
    assert http.get(f"{path}?watch=1", accept="application/yaml").status_code == 406


def test_large_answers_are_compressed_for_those_who_say_so(http: Raw, core: CoreV1Api, namespace: str) -> None:
    """KEP-156: over 128 KiB, with `Accept-Encoding: gzip`."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    core.create_namespaced_config_map(namespace, config_map("small", {"k": "v"}))
    core.create_namespaced_config_map(namespace, config_map("large", {"k": "v" * 200_000}))
    headers: list[httpx.Headers] = [
        http.get(f"{path}/{name}", accept_encoding=encoding).headers
        for name, encoding in (("small", "gzip"), ("large", "gzip"), ("large", "identity"))
    ]
    assert [h.get("content-encoding") for h in headers] == [None, "gzip", None]
    assert int(headers[1]["content-length"]) < 5_000
    assert http.get(f"{path}/large", accept_encoding="gzip").json()["data"]["k"] == "v" * 200_000
