"""API servers behind ours, and proxies in front: a small real extension server, judged by the upstream kubectl.

Source: https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/,
https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/ and
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#authenticating-proxy.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from api import meta
from api.builtin import API_SERVICES, ENDPOINT_SLICES, SERVICES
from client.http import ApiClient
from deploy.certificates import Pair, Request, issue
from tests.harness.apiserver import ApiServer
from tests.harness.eventually import eventually
from tests.harness.upstream import Kubectl

GROUP, VERSION = "ext.example.com", "v1"
NAME = f"{VERSION}.{GROUP}"
ROOT = f"/apis/{GROUP}/{VERSION}"
WIDGETS = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/{VERSION}",
    "resources": [
        {"name": "widgets", "singularName": "widget", "namespaced": True, "kind": "Widget", "shortNames": ["wd"],
         "verbs": ["create", "get", "list", "watch"]},
    ],
}  # fmt: skip

KIND = {"group": GROUP, "version": VERSION, "kind": "Widget"}
INDEX = {"paths": {ROOT[1:]: {"serverRelativeURL": f"/openapi/v3{ROOT}?hash=1"}}}
OPENAPI = {
    "openapi": "3.0.0",
    "info": {"title": "ext", "version": "1"},
    "paths": {f"{ROOT}/widgets": {"get": {"responses": {}, "x-kubernetes-group-version-kind": KIND}}},
    "components": {"schemas": {"widget": {
        "type": "object", "description": "What boats are made of.", "x-kubernetes-group-version-kind": [KIND],
        "properties": {"size": {"type": "integer", "description": "In ells."}}}}},
}  # fmt: skip


def own_address() -> str:
    """An address of this machine that a pod could have: loopback is not allowed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


def widget(name: str, namespace: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": "2026-01-02T03:04:05Z"}
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Widget", "metadata": metadata}


class Extension:
    """Serves widgets, and remembers who asked."""

    def __init__(self) -> None:
        self.broken = False
        self.asked: list[tuple[str, list[str], str]] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        certificate: Any = request.transport.get_extra_info("peercert") if request.transport else {}
        common_name = dict(pair for part in certificate["subject"] for pair in part)["commonName"]
        who = request.headers.get("X-Remote-User", "")
        self.asked.append((who, request.headers.getall("X-Remote-Group", []), common_name))
        if self.broken:
            return web.Response(status=500)
        if request.path == ROOT:
            return web.json_response(WIDGETS)
        if request.path.startswith("/openapi/v3"):
            return web.json_response(OPENAPI if request.path.endswith(VERSION) else INDEX)
        namespace = request.path.split("/")[5]
        if request.method == "POST":
            return web.json_response({**await request.json(), "echo": True}, status=201)
        if request.query.get("watch"):
            return await self._watch(request, namespace)
        items = [widget("one", namespace), widget("two", namespace)]
        return web.json_response(
            {"apiVersion": f"{GROUP}/{VERSION}", "kind": "WidgetList", "metadata": {}, "items": items}
        )

    async def _watch(self, request: web.Request, namespace: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        for name in ("one", "two"):
            await response.write(json.dumps({"type": "ADDED", "object": widget(name, namespace)}).encode() + b"\n")
            await asyncio.sleep(0.05)
        return response


@contextlib.asynccontextmanager
async def serving(extension: Extension, apiserver: ApiServer, server_name: str, directory: Path) -> AsyncIterator[int]:
    pair = issue(apiserver.pki.pair("ca"), Request("ext", names=(server_name,), server=True), datetime.now(UTC))
    (directory / "ext.pem").write_bytes(pair.certificate + pair.key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(directory / "ext.pem")
    tls.load_verify_locations(apiserver.pki.file("front-proxy-ca.crt"))
    tls.verify_mode = ssl.CERT_REQUIRED
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", extension.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 0, ssl_context=tls).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def api_service(namespace: str, ca: bytes) -> dict[str, Any]:
    spec = {
        "group": GROUP,
        "version": VERSION,
        "groupPriorityMinimum": 100,
        "versionPriority": 10,
        "caBundle": base64.b64encode(ca).decode(),
        "service": {"namespace": namespace, "name": "ext"},
    }
    return {"metadata": {"name": NAME}, "spec": spec}


async def _becomes(ours: ApiClient, status: str, reason: str) -> str:
    async def so() -> str:
        found = await ours.get(API_SERVICES, NAME)
        condition = meta.get_condition(found, "Available") or {}
        assert (condition.get("status"), condition.get("reason")) == (status, reason), condition
        return str(condition["message"])

    return await eventually(so, f"{NAME} is {status} for {reason}", within=20)


async def test_an_extension_server_is_found_asked_and_missed(
    ours: ApiClient, kubectl: Kubectl, apiserver: ApiServer, namespace: str, tmp_path: Path
) -> None:
    extension = Extension()
    ca = apiserver.pki.pair("ca").certificate

    async def run(*arguments: str, stdin: Any = "") -> Any:
        return await asyncio.to_thread(kubectl.run, *arguments, stdin=stdin)

    await ours.create(API_SERVICES, api_service(namespace, ca))
    try:
        assert await _becomes(ours, "False", "ServiceNotFound") == f'service/ext in "{namespace}" is not present'
        shown = (await run("get", "apiservice", NAME)).ok().lines[1].split("  ")
        assert [c.strip() for c in shown if c][1:3] == [f"{namespace}/ext", "False (ServiceNotFound)"]
        refused = (await run("get", "--raw", ROOT)).failed()
        assert "the server is currently unable to handle the request" in refused.stderr

        port = {"name": "https", "port": 443, "protocol": "TCP"}
        await ours.create(SERVICES, {"metadata": {"name": "ext"}, "spec": {"ports": [port]}}, namespace=namespace)
        await _becomes(ours, "False", "EndpointsNotFound")
        async with serving(extension, apiserver, f"ext.{namespace}.svc", tmp_path) as number:
            endpoints = {
                "metadata": {"name": "ext", "labels": {"kubernetes.io/service-name": "ext"}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [own_address()], "conditions": {"ready": False}}],
                "ports": [{"name": "https", "port": number}],
            }
            made = await ours.create(ENDPOINT_SLICES, endpoints, namespace=namespace)
            assert "have no addresses with port name" in await _becomes(ours, "False", "MissingEndpoints")
            made["endpoints"][0]["conditions"]["ready"] = True
            await ours.update(ENDPOINT_SLICES, made)
            assert await _becomes(ours, "True", "Passed") == "all checks passed"

            resources = (await run("api-resources", f"--api-group={GROUP}", "--no-headers")).ok().stdout.split()
            assert resources == ["widgets", "wd", f"{GROUP}/{VERSION}", "true", "Widget"]
            assert (await run("get", "wd", "-o", "name")).ok().lines == [
                f"widget.{GROUP}/one", f"widget.{GROUP}/two",
            ]  # fmt: skip
            who, groups, proxy = extension.asked[-1]
            assert (who, proxy) == ("kubernetes-admin", "front-proxy-client")
            assert set(groups) == {"system:masters", "system:authenticated"}
            made_one = widget("three", namespace)
            raw = f"{ROOT}/namespaces/{namespace}/widgets"
            created = (await run("create", "--raw", raw, "-f", "-", stdin=made_one)).ok().json
            assert created == {**made_one, "echo": True}
            watched = (await run("get", "--raw", f"{raw}?watch=true")).ok().lines
            assert [json.loads(line)["object"]["metadata"]["name"] for line in watched] == ["one", "two"]

            explained = (await run("explain", "widgets.size")).ok().stdout
            assert "In ells." in explained

            extension.broken = True
            assert "bad status from" in await _becomes(ours, "False", "FailedDiscoveryCheck")
    finally:
        await ours.delete(API_SERVICES, NAME)

    async def gone() -> bool:
        return "the server could not find the requested resource" in (await run("get", "--raw", ROOT)).failed().stderr

    assert await eventually(gone, f"{ROOT} is nobody's")


async def test_a_custom_group_has_an_api_service_while_it_is_served(kubectl: Kubectl) -> None:
    """Upstream's autoregister controllers: custom groups have priority 1000 and 100."""
    group = "boats.example.com"
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"oars.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "oars", "singular": "oar", "kind": "Oar"},
            "versions": [{"name": "v1", "served": True, "storage": True,
                          "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    }  # fmt: skip
    kubectl.run("create", "-f", "-", stdin=definition).ok()
    kubectl.run("wait", "--for=create", f"apiservice/v1.{group}", "--timeout=10s").ok()
    kubectl.run("wait", "--for=condition=Available", f"apiservice/v1.{group}", "--timeout=10s").ok()
    spec = kubectl.run("get", "apiservice", f"v1.{group}", "-o", "json").ok().json["spec"]
    assert spec == {"group": group, "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 100}
    kubectl.run("delete", "crd", f"oars.{group}").ok()
    kubectl.run("wait", "--for=delete", f"apiservice/v1.{group}", "--timeout=10s").ok()


def test_servers_behind_are_told_whom_to_believe(kubectl: Kubectl) -> None:
    held = kubectl.run("get", "configmap", "-n", "kube-system", "extension-apiserver-authentication", "-o", "json")
    data = held.ok().json["data"]
    assert data["requestheader-allowed-names"] == '["front-proxy-client"]'
    assert data["requestheader-username-headers"] == '["X-Remote-User"]'
    assert data["client-ca-file"].startswith("-----BEGIN CERTIFICATE-----")
    assert data["requestheader-client-ca-file"] != data["client-ca-file"]


async def _who(apiserver: ApiServer, pair: Pair | None, directory: Path, headers: dict[str, str]) -> tuple[int, Any]:
    tls = ssl.create_default_context(cafile=apiserver.pki.file("ca.crt"))
    if pair is not None:
        (directory / "who.pem").write_bytes(pair.certificate + pair.key)
        tls.load_cert_chain(directory / "who.pem")
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    url = f"{apiserver.url}/apis/authentication.k8s.io/v1/selfsubjectreviews"
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session,
        session.post(url, json=review, headers=headers) as response,
    ):
        answer = await response.json()
        return response.status, (answer.get("status") or {}).get("userInfo") if response.status == 201 else answer


@pytest.mark.parametrize(
    ("common_name", "organization", "refusal"),
    [("front-proxy-client", "", 0), ("mallory", "system:masters", 401), ("", "", 403)],
)
async def test_only_an_allowed_proxy_says_who_asks(
    apiserver: ApiServer, tmp_path: Path, common_name: str, organization: str, refusal: int
) -> None:
    """Who has a certificate that is not believed is nobody; who has none is anonymous."""
    pair = None
    if common_name:
        wanted = Request(common_name, organization, client=True)
        pair = issue(apiserver.pki.pair("front-proxy-ca"), wanted, datetime.now(UTC))
    headers = {"X-Remote-User": "anna", "X-Remote-Group": "crew", "X-Remote-Extra-Boat%2fName": "sampan"}
    status, told = await _who(apiserver, pair, tmp_path, headers)
    if not refusal:
        assert (status, told["username"]) == (201, "anna")
        assert told["groups"] == ["crew", "system:authenticated"]
        assert told["extra"] == {"boat/name": ["sampan"]}
    else:
        words = {401: "Unauthorized", 403: "selfsubjectreviews.authentication.k8s.io is forbidden"}
        assert (status, told["message"].partition(":")[0]) == (refusal, words[refusal])
    nobody, _ = await _who(apiserver, pair, tmp_path, {})
    assert nobody == (refusal or 403)


async def test_a_clients_certificate_is_its_own_whatever_its_headers_say(apiserver: ApiServer, tmp_path: Path) -> None:
    pair = apiserver.pki.client("jane", "devs")
    status, told = await _who(apiserver, pair, tmp_path, {"X-Remote-User": "anna", "X-Remote-Group": "system:masters"})
    assert (status, told["username"]) == (201, "jane")
    assert "system:masters" not in told["groups"]
