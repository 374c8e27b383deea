"""One etcd and one apiserver per session; a fresh namespace per test; several clients to judge by."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import kubernetes
import pytest

from client.http import ApiClient
from tests.harness.apiserver import ApiServer
from tests.harness.daemon import daemon
from tests.harness.etcd import EtcdServer
from tests.harness.pki import Pki
from tests.harness.process import Process
from tests.harness.raw import Raw
from tests.harness.upstream import Kubectl

Start = Callable[..., Process]


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Set up first, so checked last."""
    yield
    assert Process.left_running() == []


@pytest.fixture(scope="session")
def etcd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdServer]:
    directory = tmp_path_factory.mktemp("etcd")
    server = EtcdServer(directory, Pki(directory / "pki"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def shared_apiserver(etcd_server: EtcdServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    server = ApiServer(tmp_path_factory.mktemp("apiserver"), etcd_server)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def apiserver(shared_apiserver: ApiServer, etcd_server: EtcdServer) -> ApiServer:
    """Running, whatever the test before did to it."""
    if not etcd_server.alive:
        etcd_server.start()
    if not shared_apiserver.alive:
        shared_apiserver.start()
    return shared_apiserver


@pytest.fixture(scope="session")
def admin_kubeconfig(shared_apiserver: ApiServer) -> Path:
    return shared_apiserver.kubeconfig(shared_apiserver.admin())


@pytest.fixture
def official(apiserver: ApiServer, admin_kubeconfig: Path) -> Iterator[kubernetes.client.ApiClient]:
    """The official Python client, as administrator."""
    client = kubernetes.config.new_client_from_config(str(admin_kubeconfig))
    yield client
    client.close()


@pytest.fixture
def core(official: kubernetes.client.ApiClient) -> kubernetes.client.CoreV1Api:
    return kubernetes.client.CoreV1Api(official)


@pytest.fixture
async def ours(apiserver: ApiServer) -> AsyncIterator[ApiClient]:
    """Our own client, as administrator."""
    client = ApiClient(apiserver.admin())
    yield client
    await client.close()


@pytest.fixture
def http(apiserver: ApiServer) -> Iterator[Raw]:
    """Plain HTTP, as administrator."""
    raw = Raw(apiserver.admin())
    yield raw
    raw.close()


@pytest.fixture
def namespace(request: pytest.FixtureRequest, core: kubernetes.client.CoreV1Api) -> str:
    """A namespace of the test's own, with its default service account. Nobody else's objects are in it."""
    stem = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:40].rstrip("-")
    name = f"{stem}-{time.monotonic_ns() % 10**9}"
    core.create_namespace({"metadata": {"name": name}})
    core.create_namespaced_service_account(name, {"metadata": {"name": "default"}})
    return name


@pytest.fixture
def kubectl(apiserver: ApiServer, admin_kubeconfig: Path, namespace: str) -> Kubectl:
    """The upstream kubectl, as administrator, in the test's namespace."""
    return Kubectl(admin_kubeconfig, namespace)


@pytest.fixture
def start_controller(apiserver: ApiServer, namespace: str) -> Iterator[Start]:
    """Starts a controller with the given flags. (After the namespace: that fixture makes the account itself.)"""
    started: list[Process] = []

    def start(*flags: str) -> Process:
        process = daemon("controller", "system:kube-controller-manager", apiserver, *flags)
        started.append(process)
        process.start()
        return process

    yield start
    for process in started:
        process.stop()


@pytest.fixture
def scheduler(apiserver: ApiServer, core: kubernetes.client.CoreV1Api) -> Iterator[Process]:
    """Pods that earlier tests left without a node are removed first: it would tell why each of them has none, no more
    than 50 in a second, before any other news."""
    left = core.list_pod_for_all_namespaces(field_selector="spec.nodeName=").items
    for namespace in {pod.metadata.namespace for pod in left}:
        core.delete_collection_namespaced_pod(namespace, grace_period_seconds=0, field_selector="spec.nodeName=")
    process = daemon("scheduler", "system:kube-scheduler", apiserver)
    try:
        process.start()
        yield process
    finally:
        process.stop()
