"""Secrets at rest: what lies in etcd, seen with etcd's own eyes.

https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/: turning it on for a cluster that is there, reading
through two servers, changing keys while both run, with upstream's `get … | replace`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.builtin import NAMESPACES, SECRETS
from api.errors import AlreadyExists, ApiError, InternalError
from apiserver.storage.etcd import Etcd
from client.http import ApiClient
from tests.harness.apiserver import ApiServer
from tests.harness.etcd import EtcdServer
from tests.harness.eventually import eventually
from tests.harness.pki import Pki
from tests.harness.upstream import Kubectl

PASSWORD = "correct-horse-battery-staple"
IDENTITY: dict[str, Any] = {"identity": {}}


def key(number: int) -> dict[str, Any]:
    secret = base64.b64encode(bytes([number]) * 32).decode()
    return {"aesgcm": {"keys": [{"name": f"key{number}", "secret": secret}]}}


def configure(path: Path, *providers: dict[str, Any]) -> Path:
    resources = [{"resources": ["secrets"], "providers": list(providers)}]
    kind = {"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration"}
    path.write_text(yaml.safe_dump({**kind, "resources": resources}))
    return path


def secret(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "vault"},
        "stringData": {"password": PASSWORD},
    }


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[EtcdServer]:
    server = EtcdServer(tmp_path / "etcd", Pki(tmp_path / "pki"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def running(etcd: EtcdServer, tmp_path: Path) -> Iterator[Callable[..., ApiServer]]:
    servers = []

    def start(name: str, configuration: Path | None = None) -> ApiServer:
        flags = ["--encryption-provider-config", str(configuration), "--encryption-provider-config-automatic-reload"]
        server = ApiServer(tmp_path / name, etcd, *(flags if configuration else ()))
        servers.append(server)
        server.start()
        return server

    try:
        yield start
    finally:
        for server in servers:
            server.stop()


@contextlib.asynccontextmanager
async def client(server: ApiServer) -> AsyncIterator[ApiClient]:
    made = ApiClient(server.admin())
    yield made
    await made.close()


async def test_a_cluster_goes_from_plain_text_to_keys_and_from_key_to_key(
    etcd: EtcdServer, running: Callable[..., ApiServer], tmp_path: Path
) -> None:
    raw = Etcd([etcd.url], ca_file=etcd.ca_file, cert_file=etcd.cert_file, key_file=etcd.key_file)

    async def lies(name: str) -> bytes:
        found, _ = await raw.get(f"/registry/core/secrets/vault/{name}")
        assert found is not None
        return found.value

    async def password(through: ApiClient, name: str) -> str:
        found = await through.get(SECRETS, name, "vault")
        return base64.b64decode(found["data"]["password"]).decode()

    plain = running("plain")
    async with client(plain) as api:
        await api.create(NAMESPACES, {"metadata": {"name": "vault"}})
        await api.create(SECRETS, secret("old"))
    assert base64.b64encode(PASSWORD.encode()) in await lies("old")
    plain.stop()

    files = [configure(tmp_path / f"{name}.yaml", key(1), IDENTITY) for name in "ab"]
    first, second = running("a", files[0]), running("b", files[1])
    kubectl = Kubectl(first.kubeconfig(first.admin()), "vault")
    async with client(first) as one, client(second) as other:
        await one.create(SECRETS, secret("new"))
        assert (await lies("new")).startswith(b"k8s:enc:aesgcm:v1:key1:")
        assert [await password(each, name) for each in (one, other) for name in ("old", "new")] == [PASSWORD] * 4

        def rewrite() -> None:
            kubectl.run("replace", "-f", "-", stdin=kubectl.run("get", "secrets", "-o", "json").ok().stdout).ok()

        async def encrypted() -> bool:
            return (await lies("old")).startswith(b"k8s:enc:aesgcm:v1:key1:")

        await eventually(encrypted, "what lay open is encrypted by itself")
        at = (await one.get(SECRETS, "old", "vault"))["metadata"]["resourceVersion"]
        rewrite()
        assert (await one.get(SECRETS, "old", "vault"))["metadata"]["resourceVersion"] == at, "nothing left to do"

        # One server has the new key before the other knows it: that one cannot read what is written, then can.
        configure(files[0], key(2), key(1), IDENTITY)

        async def written_by_new_key() -> bool:
            await one.delete(SECRETS, "new", "vault")
            await one.create(SECRETS, secret("new"))
            return (await lies("new")).startswith(b"k8s:enc:aesgcm:v1:key2:")

        await eventually(written_by_new_key, "the new key is taken up", within=10, pause=0.3)
        for refused in (other.get(SECRETS, "new", "vault"), other.delete(SECRETS, "new", "vault"),
                        other.list(SECRETS), other.list(SECRETS, "vault")):  # fmt: skip
            with pytest.raises(InternalError, match="unable to transform key .*/vault/new.*k8s:enc:aesgcm:v1:key2"):
                await refused
        assert (await other.get(SECRETS, "old", "vault"))["data"]
        await other.list(SECRETS, "default")
        with pytest.raises(AlreadyExists):
            await other.create(SECRETS, secret("new"))
        configure(files[1], key(2), key(1), IDENTITY)

        async def read_again() -> bool:
            with contextlib.suppress(ApiError):
                return await password(other, "new") == PASSWORD
            return False

        await eventually(read_again, "the other server reads it", within=10)
        assert await encrypted(), "but from key to key only when it is written"
        rewrite()
        assert (await lies("old")).startswith(b"k8s:enc:aesgcm:v1:key2:"), "even if nothing in it changes"

        files[0].write_text("no: configuration")
        await eventually(lambda: "is not taken up" in first.log.read_text(), "a wrong file is told of", within=10)
        second.kill()
        configure(files[1], key(2))
        second.start(wait=False)
        await asyncio.to_thread(second.wait_ready)
        assert [await password(each, name) for each in (one, other) for name in ("old", "new")] == [PASSWORD] * 4
    await raw.close()
    for server in (plain, first, second):
        written = server.log.read_text()
        assert PASSWORD not in written and base64.b64encode(PASSWORD.encode()).decode() not in written
        assert not any(key(n)["aesgcm"]["keys"][0]["secret"] in written for n in (1, 2))


def test_a_server_with_a_configuration_that_is_wrong_does_not_start(
    etcd: EtcdServer, running: Callable[..., ApiServer], tmp_path: Path
) -> None:
    wrong = configure(tmp_path / "wrong.yaml", {"aesgcm": {"keys": [{"name": "k", "secret": "bm90IDE2IGJ5dGVz"}]}})
    with pytest.raises(RuntimeError, match="not of the expected length") as caught:
        running("wrong", wrong)
    assert "bm90IDE2IGJ5dGVz" not in str(caught.value)
