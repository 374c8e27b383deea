"""API servers behind ours: an APIService with a Service sends `/apis/GROUP/VERSION` there.

`find` says whose a path is, `relay` sends it there. Who asks is told in X-Remote-User, -Group and -Extra-* headers,
which the other server believes because of our certificate (--proxy-client-cert-file). The table is kept by
availability.py. As k8s.io/kube-aggregator/pkg/apiserver/handler_proxy.go.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote

from api import meta
from api.builtin import SERVICES
from api.errors import ApiError, Timeout
from api.meta import Obj
from apiserver.auth.user import User
from apiserver.discovery import Remote
from apiserver.request import Request
from apiserver.response import Answer, Header, Reply
from apiserver.services import endpoint_of
from apiserver.storage.store import Store
from apiserver.streaming.proxy import Proxy

OPENAPI = "/openapi/v3"
_DEADLINE = 60.0  # until its answer begins
UNAVAILABLE = Reply(b"service unavailable\n", 503, b"text/plain; charset=utf-8")


class Unavailable(Exception):
    """Why an API server is not available: a reason and a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(slots=True)
class RemoteApi:
    """One APIService with a Service. `resources` are what its server told last, `openapi` where the document of its
    version is."""

    name: str
    spec: Obj
    available: bool
    resources: list[Obj] = field(default_factory=list)
    openapi: str = ""
    said: Obj = field(default_factory=dict)
    """The Available condition as it stands."""

    @property
    def path(self) -> str:
        return f"/apis/{self.spec['group']}/{self.spec['version']}"

    @property
    def service(self) -> tuple[str, str, int]:
        """(namespace, name, port)"""
        service = self.spec["service"]
        return service["namespace"], service["name"], int(service.get("port") or 443)

    @property
    def server_name(self) -> str:
        namespace, name, _ = self.service
        return f"{name}.{namespace}.svc"


class Aggregation:
    def __init__(self, store: Store, proxy: Proxy, *, cert_file: str, key_file: str) -> None:
        self._store = store
        self._proxy = proxy
        self._files = (cert_file, key_file)
        self._apis: dict[str, RemoteApi] = {}  # by path
        self._trust: dict[tuple[str, bool], ssl.SSLContext] = {}

    def find(self, path: str) -> RemoteApi | None:
        """Whose `path` is, when it is not ours."""
        if not self._apis:
            return None
        path = path.removeprefix(OPENAPI)
        return self._apis.get("/".join(path.rstrip("/").split("/", 4)[:4]))

    def take(self, api_services: Iterable[Obj]) -> list[RemoteApi]:
        """These are all there are. What is known of those that stay is kept."""
        before, self._apis = self._apis, {}
        for obj in api_services:
            api = RemoteApi(meta.name(obj), obj["spec"], meta.is_condition_true(obj, "Available"))
            api.said = meta.get_condition(obj, "Available") or {}
            known = before.get(api.path)
            if known is not None:
                api.resources, api.openapi = known.resources, known.openapi
            self._apis[api.path] = api
        return list(self._apis.values())

    def remotes(self) -> list[Remote]:
        """For discovery."""
        return [
            Remote(
                api.spec["group"],
                api.spec["version"],
                api.spec["groupPriorityMinimum"],
                api.spec["versionPriority"],
                api.resources,
                api.available,
            )
            for api in self._apis.values()
        ]

    def documents(self) -> dict[str, str]:
        """`apis/GROUP/VERSION` → where its OpenAPI document is."""
        return {api.path[1:]: api.openapi for api in self._apis.values() if api.available and api.openapi}

    async def relay(self, request: Request, api: RemoteApi) -> Answer:
        if not api.available:
            return UNAVAILABLE
        try:
            host = await self.host(api)
            tls = self.tls(api)
        except (ApiError, Unavailable):
            return UNAVAILABLE
        query = request.scope["query_string"].decode("latin-1")
        url = f"https://{host}{request.scope['raw_path'].decode('latin-1')}" + (f"?{query}" if query else "")
        try:
            async with asyncio.timeout(None if request.info.verb == "watch" else _DEADLINE):
                return await self._proxy.relay(
                    request, url, tls=tls, server_name=api.server_name, headers=identity(request.user),
                    host=api.server_name,
                )  # fmt: skip
        except TimeoutError as error:
            raise Timeout("Timeout: request did not complete within the allotted timeout") from error

    async def host(self, api: RemoteApi) -> str:
        """`address:port` of a ready endpoint."""
        namespace, name, port = api.service
        spec = (await self._store.get(SERVICES, namespace, name, resource_version="0")).obj()["spec"]
        if spec.get("type") == "ExternalName":
            return f"{spec['externalName']}:{port}"
        address, number = await endpoint_of(self._store, namespace, name, str(port))
        return f"[{address}]:{number}" if ":" in address else f"{address}:{number}"

    def tls(self, api: RemoteApi) -> ssl.SSLContext:
        bundle, insecure = api.spec.get("caBundle") or "", bool(api.spec.get("insecureSkipTLSVerify"))
        found = self._trust.get((bundle, insecure))
        if found is None:
            try:
                found = ssl.create_default_context(cadata=base64.b64decode(bundle).decode() if bundle else None)
            except (ssl.SSLError, ValueError, binascii.Error) as error:
                raise Unavailable("FailedDiscoveryCheck", f"unable to load root certificates: {error}") from error
            if insecure:
                found.check_hostname = False
                found.verify_mode = ssl.CERT_NONE
            if self._files[0]:
                found.load_cert_chain(*self._files)
            self._trust = {**dict(list(self._trust.items())[-63:]), (bundle, insecure): found}
        return found


def identity(user: User) -> list[Header]:
    """The headers that say who asks (k8s.io/client-go/transport SetAuthProxyHeaders)."""
    headers = [(b"x-remote-user", user.name.encode())]
    headers += [(b"x-remote-uid", user.uid.encode())] if user.uid else []
    headers += [(b"x-remote-group", group.encode()) for group in user.groups]
    for key, values in user.extra.items():
        name = b"x-remote-extra-" + quote(key, safe="!#$&'*+-.^_`|~").lower().encode()
        headers += [(name, value.encode()) for value in values]
    return headers
