"""kill -9 of the apiserver and of etcd: acknowledged writes stay, watches go on, clients come back."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import ssl
import time
from pathlib import Path

import pytest
from kubernetes.client import ApiException, CoreV1Api

from api.builtin import CONFIG_MAPS
from api.errors import AlreadyExists, ApiError, ServiceUnavailable, Timeout
from apiserver.storage.etcd import Etcd
from client.http import ApiClient
from client.informer import Informer
from tests.harness.apiserver import ApiServer
from tests.harness.etcd import EtcdServer
from tests.harness.eventually import eventually, eventually_sync
from tests.harness.upstream import Kubectl
from tests.integration.manifests import config_map


async def write_until_acknowledged(client: ApiClient, namespace: str, name: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            await client.create(CONFIG_MAPS, config_map(name, namespace=namespace))
            return
        except AlreadyExists:
            return  # the answer that was lost was a success
        except (ServiceUnavailable, Timeout, ApiError) as error:
            assert error.code in (500, 503, 504), error.message
            assert time.monotonic() < deadline, f"no write for 30 s: {error.message}"
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("victim", ["apiserver", "etcd"])
async def test_a_kill_loses_no_acknowledged_write_and_no_event(
    victim: str, apiserver: ApiServer, etcd_server: EtcdServer, ours: ApiClient, namespace: str
) -> None:
    informer = Informer(ours, CONFIG_MAPS, namespace=namespace)
    following = asyncio.create_task(informer.run())
    acknowledged: list[str] = []

    async def write(writer: int) -> None:
        for i in range(40):
            name = f"w{writer}-{i}"
            await write_until_acknowledged(ours, namespace, name)
            acknowledged.append(name)

    async def kill() -> None:
        await eventually(lambda: len(acknowledged) >= 40, "writes are under way", pause=0.005)
        process = apiserver if victim == "apiserver" else etcd_server
        process.kill()
        process.start(wait=False)
        await asyncio.to_thread(process.wait_ready)

    try:
        await asyncio.wait_for(informer.wait_synced(), 10)
        await asyncio.gather(kill(), *(write(w) for w in range(3)))
        listed = await ours.list(CONFIG_MAPS, namespace)
        there = {item["metadata"]["name"] for item in listed["items"]}
        assert set(acknowledged) <= there
        await eventually(
            lambda: {o["metadata"]["name"] for o in informer.store.list()} == there, "the informer has all"
        )
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


async def test_without_etcd_the_server_says_so_quickly(
    apiserver: ApiServer, etcd_server: EtcdServer, ours: ApiClient, namespace: str
) -> None:
    await ours.create(CONFIG_MAPS, config_map("a", namespace=namespace))
    etcd_server.kill()
    try:
        began = time.monotonic()
        with pytest.raises((ServiceUnavailable, Timeout)):
            await ours.create(CONFIG_MAPS, config_map("b", namespace=namespace))
        with pytest.raises((ServiceUnavailable, Timeout)):
            await ours.list(CONFIG_MAPS, namespace)
        assert time.monotonic() - began < 20
        stale = await ours.list(CONFIG_MAPS, namespace, resource_version="0")
        assert "a" in [item["metadata"]["name"] for item in stale["items"]]
        await eventually(lambda: not apiserver.is_ready(), "readiness tells of it")
    finally:
        etcd_server.start(wait=False)
        await asyncio.to_thread(etcd_server.wait_ready)
    await eventually(apiserver.is_ready, "ready again", within=15)
    assert (await ours.get(CONFIG_MAPS, "a", namespace))["metadata"]["name"] == "a"


def test_a_server_that_has_read_nothing_yet_refuses_nobody_for_good(etcd_server: EtcdServer, tmp_path: Path) -> None:
    """Whose a token is and what he may do is not known before: neither 401 nor 403 would be true."""
    etcd = EtcdServer(tmp_path / "etcd", etcd_server.pki)
    server = ApiServer(tmp_path / "apiserver", etcd)

    def asked(token: str, method: str = "GET", path: str = "/api/v1/namespaces/default/pods", body: str = "") -> int:
        """The status of the answer, 0 when there is none."""
        context = ssl.create_default_context(cafile=server.pki.file("ca.crt"))
        connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=5)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            connection.request(method, path, body or None, headers)
            return connection.getresponse().status
        except ConnectionRefusedError:
            return 0
        finally:
            connection.close()

    server.start(wait=False)
    try:
        eventually_sync(lambda: asked("visitor-token"), "the server answers")
        tokens = ("visitor-token", "abcdef.0123456789abcdef", "")
        assert [asked(token) for token in tokens] == [503, 503, 503]
        review = json.dumps({"spec": {"user": "x", "nonResourceAttributes": {"path": "/version", "verb": "get"}}})
        reviews = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        assert asked("steward-token", "POST", reviews, review) == 503
        etcd.start()
        server.wait_ready()
        assert [asked(token) for token in tokens] == [403, 401, 403]
        assert asked("steward-token", "POST", reviews, review) == 201
    finally:
        server.stop()
        etcd.stop()


async def test_a_stopped_server_ends_by_itself_and_watches_end_well(
    apiserver: ApiServer, ours: ApiClient, namespace: str
) -> None:
    events = []

    async def follow() -> None:
        async for kind, _ in ours.watch(CONFIG_MAPS, namespace):
            events.append(kind)

    following = asyncio.create_task(follow())
    await ours.create(CONFIG_MAPS, config_map("a", namespace=namespace))
    await eventually(lambda: events == ["ADDED"], "the watch runs")
    began = time.monotonic()
    await asyncio.to_thread(apiserver.stop)
    assert time.monotonic() - began < 8
    done, _ = await asyncio.wait([following], timeout=5)
    assert done, "the watch did not end"
    apiserver.start(wait=False)
    await asyncio.to_thread(apiserver.wait_ready)


async def test_what_is_compacted_is_told_as_gone(
    apiserver: ApiServer, etcd_server: EtcdServer, core: CoreV1Api, kubectl: Kubectl, namespace: str
) -> None:
    """A server that starts after a compaction knows nothing from before, and says so in upstream's way."""
    for i in range(4):
        core.create_namespaced_config_map(namespace, config_map(f"c{i}"))
    page = core.list_namespaced_config_map(namespace, limit=2).metadata
    for i in range(3):
        core.patch_namespaced_config_map("c0", namespace, {"data": {"k": str(i)}})
    etcd = Etcd(
        [etcd_server.url],
        ca_file=etcd_server.ca_file, cert_file=etcd_server.cert_file, key_file=etcd_server.key_file,
    )  # fmt: skip
    await etcd.compact(await etcd.revision())
    await etcd.close()
    apiserver.kill()
    apiserver.start(wait=False)
    await asyncio.to_thread(apiserver.wait_ready)

    answer = core.list_namespaced_config_map(
        namespace, watch=True, resource_version=page.resource_version, timeout_seconds=5, _preload_content=False
    )
    (event,) = [json.loads(line) for line in answer.data.splitlines()]
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")
    assert event["object"]["message"].startswith(f"too old resource version: {page.resource_version} (")
    with pytest.raises(ApiException) as exact:
        core.list_namespaced_config_map(
            namespace, resource_version=page.resource_version, resource_version_match="Exact"
        )
    assert exact.value.status == 410
    with pytest.raises(ApiException) as next_page:
        core.list_namespaced_config_map(namespace, limit=2, _continue=page._continue)
    status = json.loads(next_page.value.body)
    assert (status["code"], status["reason"]) == (410, "Expired")
    rest = core.list_namespaced_config_map(namespace, _continue=status["metadata"]["continue"])
    assert [c.metadata.name for c in rest.items] == ["c2", "c3"]
    assert kubectl.run("get", "cm", "--chunk-size=1", "-o", "name").ok().lines == [f"configmap/c{i}" for i in range(4)]
