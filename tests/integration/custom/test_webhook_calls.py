"""Calls to webhooks, on a real HTTPS server where a call is made."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from api.errors import ServiceUnavailable
from apiserver import webhooks
from apiserver.storage.store import Store
from apiserver.streaming.proxy import Proxy
from apiserver.webhooks import ANONYMOUS, Identity, WebhookFailed, Webhooks
from tests.harness.pki import Pki
from tests.harness.webhook import Webhook


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Webhook]:
    made = Webhook(Pki(Path(tmp_path_factory.mktemp("pki"))), lambda body: {"got": body}, "hook.ns.svc")
    yield made
    made.close()


async def call(config: dict[str, Any], timeout: float = 5, identity: Identity = ANONYMOUS) -> Any:  # noqa: ASYNC109
    proxy = Proxy()
    try:
        return await Webhooks(cast(Store, None), proxy).post(config, {"a": 1}, timeout=timeout, identity=identity)
    finally:
        await proxy.close()


async def test_a_url_is_called_and_trusted_by_its_bundle(server: Webhook) -> None:
    assert await call({"url": server.url, "caBundle": server.ca_bundle}) == {"got": {"a": 1}}
    unknown = "tls: failed to verify certificate: x509: certificate signed by unknown authority$"
    with pytest.raises(WebhookFailed, match=rf"^Post \"https://127.0.0.1:\d+/\?timeout=5s\": {unknown}"):
        await call({"url": server.url})


async def test_a_service_is_called_at_an_endpoint_under_its_own_name(
    server: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#service-reference"""
    asked: list[tuple[str, ...]] = []

    async def endpoint_of(_: Store, *of: str) -> tuple[str, int]:
        asked.append(of)
        return "127.0.0.1", int(server.url.rpartition(":")[2].rstrip("/"))

    monkeypatch.setattr(webhooks, "endpoint_of", endpoint_of)
    service = {"namespace": "ns", "name": "hook", "path": "/convert"}
    assert await call({"service": service, "caBundle": server.ca_bundle}) == {"got": {"a": 1}}
    assert asked == [("ns", "hook", "443")]
    with pytest.raises(WebhookFailed, match="Hostname mismatch"):
        await call({"service": {**service, "name": "other"}, "caBundle": server.ca_bundle})


async def test_what_cannot_be_reached_is_told(server: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nowhere(*_: Any) -> tuple[str, int]:
        raise ServiceUnavailable('no endpoints available for service "hook"')

    monkeypatch.setattr(webhooks, "endpoint_of", nowhere)
    with pytest.raises(
        WebhookFailed, match=r'^Post "https://hook.ns.svc:443/\?timeout=5s": no endpoints available for service "hook"$'
    ):
        await call({"service": {"namespace": "ns", "name": "hook"}, "caBundle": server.ca_bundle})
    with pytest.raises(WebhookFailed, match="dial tcp 127.0.0.1:1: connect: connection refused"):
        await call({"url": "https://127.0.0.1:1/", "caBundle": server.ca_bundle})
    with pytest.raises(WebhookFailed, match="unable to load root certificates"):
        await call({"url": server.url, "caBundle": "bm90IGEgY2VydA=="})


async def test_an_answer_in_time(server: Webhook) -> None:
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(body: Any) -> Any:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(10)
        return body

    answer, server.answer = server.answer, slow
    try:
        with pytest.raises(WebhookFailed, match="context deadline exceeded"):
            await call({"url": server.url, "caBundle": server.ca_bundle}, timeout=0.2)
    finally:
        server.answer = answer
        release.set()


async def test_a_webhook_may_want_to_know_who_calls(tmp_path: Path) -> None:
    """https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#authenticate-apiservers"""
    pki = Pki(tmp_path)
    server = Webhook(pki, lambda body: {"got": body}, knows=True)
    config = {"url": server.url, "caBundle": server.ca_bundle}
    pair = pki.client("the-apiserver")
    try:
        assert await call(config, identity=Identity("Bearer t", pair.certificate + pair.key)) == {"got": {"a": 1}}
        assert server.callers == ["Bearer t"]
        with pytest.raises(WebhookFailed):
            await call(config)
    finally:
        server.close()
