"""What an operator sees: health, metrics, limits, and how a server ends."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator

import pytest
from kubernetes.client import CoreV1Api
from prometheus_client.parser import text_string_to_metric_families

from tests.harness.apiserver import ApiServer
from tests.harness.etcd import EtcdServer
from tests.harness.eventually import eventually_sync
from tests.harness.raw import Raw
from tests.integration.manifests import config_map


@pytest.fixture(scope="module")
def second(etcd_server: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """Another server on the same etcd."""
    server = ApiServer(tmp_path_factory.mktemp("second"), etcd_server)
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("door", ["livez", "readyz", "healthz"])
def test_health_is_told_as_upstream_tells_it(http: Raw, door: str) -> None:
    """https://kubernetes.io/docs/reference/using-api/health-checks/"""
    brief = http.get(f"/{door}")
    assert (brief.status_code, brief.text) == (200, "ok")
    assert brief.headers["content-type"] == "text/plain; charset=utf-8"
    verbose = http.get(f"/{door}?verbose").text.splitlines()
    assert verbose[:3] == ["[+]ping ok", "[+]log ok", "[+]etcd ok"]
    assert verbose[-1] == f"{door} check passed"
    excluded = http.get(f"/{door}?verbose&exclude=etcd&exclude=nonsense").text.splitlines()
    assert "[+]etcd excluded: ok" in excluded
    assert excluded[-2] == 'warn: some health checks cannot be excluded: no matches for "nonsense"'
    for line in verbose[:-1]:
        name = line.removeprefix("[+]").removesuffix(" ok")
        assert http.get(f"/{door}/{name}").text == "ok", name
    assert http.get(f"/{door}/nonsense").status_code == 404
    assert ("[+]informer-sync ok" in verbose) == ("[+]shutdown ok" in verbose) == (door == "readyz")


def test_metrics_have_upstreams_names(http: Raw, core: CoreV1Api, namespace: str) -> None:
    """https://kubernetes.io/docs/reference/instrumentation/metrics/"""
    core.create_namespaced_config_map(namespace, config_map("a"))
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    with http.lines(f"{path}?watch=1&timeoutSeconds=5") as lines:
        next(lines)
        families = list(text_string_to_metric_families(http.get("/metrics").text))
    samples = [sample for family in families for sample in family.samples]
    of_kind = {"group": "", "version": "v1", "resource": "configmaps", "subresource": "", "component": "apiserver"}
    for name, labels in (
        ("apiserver_request_total", {**of_kind, "verb": "POST", "scope": "resource", "code": "201", "dry_run": ""}),
        ("apiserver_request_duration_seconds_bucket", {**of_kind, "verb": "POST", "scope": "resource", "le": "+Inf"}),
        ("apiserver_longrunning_requests", {**of_kind, "verb": "WATCH", "scope": "namespace"}),
        ("apiserver_current_inflight_requests", {"request_kind": "readOnly"}),
        ("apiserver_response_sizes_bucket", {"verb": "GET", "le": "1000"}),
        ("apiserver_watch_events_total", {"group": "", "version": "v1", "resource": "configmaps"}),
        ("apiserver_init_events_total", {"group": "", "resource": "configmaps"}),
        ("apiserver_storage_objects", {"resource": "leases.coordination.k8s.io"}),
        ("apiserver_resource_objects", {"group": "coordination.k8s.io", "resource": "leases"}),
        ("etcd_request_duration_seconds_count", {"operation": "create", "group": "", "resource": "configmaps"}),
        ("process_resident_memory_bytes", {}),
        ("process_cpu_seconds_total", {}),
        ("kubernetes_build_info", {"major": "1", "minor": "35"}),
    ):
        found = [s for s in samples if s.name == name and labels.items() <= s.labels.items()]
        assert found, (name, labels)
        assert found[0].value > 0 or name == "apiserver_response_sizes_bucket", found


def test_a_request_may_say_how_long_it_waits(http: Raw, namespace: str) -> None:
    """?timeout= as k8s.io/apiserver/pkg/endpoints/filters/request_deadline.go reads it."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    bad = http.get(f"{path}?timeout=soon").json()
    assert bad["code"] == 400
    assert bad["message"] == 'invalid timeout specified in the request URL - time: invalid duration "soon"'
    late = http.get(f"{path}?timeout=1ns").json()
    assert (late["code"], late["reason"]) == (504, "Timeout")
    assert late["message"] == "Timeout: request did not complete within the allotted timeout"
    assert http.get(f"{path}?timeout=10s").status_code == http.get(f"{path}?timeout=0").status_code == 200


def test_a_body_has_a_limit(http: Raw, namespace: str) -> None:
    """3 MiB, k8s.io/apiserver's MaxRequestBodyBytes; told of by length and by counting."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    body = json.dumps(config_map("big", {"k": "x" * (3 << 20)})).encode()
    told = http.send("POST", path, body)

    def pieces() -> Iterator[bytes]:
        for at in range(0, len(body), 65536):
            yield body[at : at + 65536]

    counted = http.http.post(path, content=pieces(), headers={"Content-Type": "application/json"})
    for answer in (told, counted):
        assert (answer.status_code, answer.json()["reason"]) == (413, "RequestEntityTooLarge")
        assert answer.json()["message"] == "Request entity too large: limit is 3145728"


async def test_a_server_that_ends_finishes_what_it_began_and_takes_its_address_away(
    apiserver: ApiServer, etcd_server: EtcdServer, second: ApiServer, core: CoreV1Api, namespace: str
) -> None:
    """Termination of k8s.io/apiserver: not ready, no address in the `kubernetes` Service, requests drained,
    `Connection: close`."""

    def ports() -> set[int]:
        found = core.read_namespaced_endpoints("kubernetes", "default")
        return {port.port for subset in found.subsets for port in subset.ports}

    def has_both() -> bool:
        return {apiserver.port, second.port} <= ports()

    await asyncio.to_thread(eventually_sync, has_both, "both servers are listed", within=15)
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    raw = Raw(second.admin())
    begun, go = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield json.dumps(config_map("last"))[:-1].encode()
        begun.set()
        assert go.wait(10)
        yield b"}"

    sending = asyncio.create_task(
        asyncio.to_thread(raw.http.post, path, content=slowly(), headers={"Content-Type": "application/json"})
    )
    assert await asyncio.to_thread(begun.wait, 10)
    await asyncio.sleep(0.1)
    stopping = asyncio.create_task(asyncio.to_thread(second.stop))
    await asyncio.sleep(0.3)
    go.set()
    answer = await sending
    assert answer.status_code == 201
    assert answer.headers["connection"] == "close"
    began = time.monotonic()
    await stopping
    assert time.monotonic() - began < 8
    assert second.port not in ports()
    assert apiserver.port in ports()
    raw.close()
