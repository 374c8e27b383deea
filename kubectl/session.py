"""One command's conversation with one apiserver: configuration, requests, discovery.

`run` is how every verb that needs a server starts.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import orjson

from api.errors import ApiError, BadRequest, NotFound
from api.meta import Obj
from api.registry import Resource
from client.connection import lines
from client.http import PATCH_TYPES, ApiClient
from client.kubeconfig import RestConfig
from kubectl.catalog import Catalog
from kubectl.configuration import rest_config
from kubectl.discovery import Discovery
from kubectl.failures import CliError, Silent
from kubectl.flags import GlobalFlags, duration

flags = GlobalFlags()
"""The global flags of this process; set once by the command line before a verb runs."""


class Session:
    def __init__(self, given: GlobalFlags, config: RestConfig) -> None:
        self.config = config
        self.flags = given
        self.namespace = given.namespace or config.namespace
        self.namespace_given = bool(given.namespace)
        self.client = ApiClient(config, user_agent="kubectl/sampan")
        self._discovery = Discovery(self.discover, config.server, given.cache_dir)
        self._timeout = duration(given.request_timeout) or None
        self._warned: set[str] = set()
        self._catalog: Catalog | None = None

    @property
    def host(self) -> str:
        return urlsplit(self.config.server).netloc

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, Any] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Obj:
        """One request; the answer decoded. The server's warnings go to stderr, each once."""
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
        content = None if body is None else orjson.dumps(body)
        started = time.monotonic()
        request = self.client.request(method, path, params=params, content=content, headers=headers)
        try:
            response = await asyncio.wait_for(request, self._timeout)
        except TimeoutError as error:
            raise CliError(
                "Unable to connect to the server: net/http: request canceled (Client.Timeout exceeded "
                "while awaiting headers)",
                bare=True,
            ) from error
        if self.flags.verbosity >= 6:
            spent = round((time.monotonic() - started) * 1000)
            say(f"{method} {response.url} {response.status_code} in {spent} milliseconds")
        for warning in response.headers.get_list("Warning"):
            self._warn(warning)
        answer: Obj = orjson.loads(response.content)
        return answer

    def _warn(self, header: str) -> None:
        code, _, rest = header.partition(" ")
        text = rest.partition(" ")[2].strip().removeprefix('"').removesuffix('"').replace('\\"', '"')
        if code == "299" and text not in self._warned:
            self._warned.add(text)
            say(f"Warning: {text}")

    async def get(self, res: Resource, name: str, namespace: str = "", subresource: str = "") -> Obj:
        return await self.call("GET", res.path(namespace, name, subresource))

    async def list(self, res: Resource, namespace: str = "", *, labels: str = "", fields: str = "") -> list[Obj]:
        """Every item, page by page, each with its apiVersion and kind."""
        items: list[Obj] = []
        async for page in self.pages(res, namespace, labels=labels, fields=fields):
            for item in page.get("items") or []:
                items.append({"apiVersion": res.api_version, "kind": res.kind, **item})
        return items

    async def pages(
        self,
        res: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        accept: str = "application/json",
        limit: int = 500,
        extra: dict[str, Any] | None = None,
    ) -> AsyncIterator[Obj]:
        params: dict[str, Any] = {"limit": limit} if limit else {}
        params |= {k: v for k, v in (("labelSelector", labels), ("fieldSelector", fields)) if v}
        params |= extra or {}
        while True:
            try:
                page = await self.call("GET", res.path(namespace), params=params, accept=accept)
            except (BadRequest, NotFound) as error:
                raise _list_failure(error, res, labels, fields) from error
            yield page
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return
            params["continue"] = token

    async def patch(
        self,
        res: Resource,
        namespace: str,
        name: str,
        patch: Any,
        kind: str,
        *,
        params: dict[str, Any] | None = None,
        subresource: str = "",
    ) -> Obj:
        path = res.path(namespace, name, subresource)
        return await self.call("PATCH", path, params=params, body=patch, content_type=PATCH_TYPES[kind])

    @asynccontextmanager
    async def events(
        self,
        res: Resource,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        resource_version: str = "",
        accept: str = "application/json",
        extra: dict[str, Any] | None = None,
    ) -> AsyncIterator[AsyncIterator[tuple[str, Obj]]]:
        """A watch: (type, object) until the server ends it."""
        params: dict[str, Any] = {"watch": "true", **(extra or {})}
        params |= {
            k: v
            for k, v in (
                ("labelSelector", labels),
                ("fieldSelector", fields),
                ("resourceVersion", resource_version),
            )
            if v
        }
        if self.flags.verbosity >= 6:
            say(f"GET {self.config.server}{res.path(namespace)} watch")
        async with self.client.stream(
            "GET", res.path(namespace), params=params, headers={"Accept": accept}
        ) as response:

            async def decoded() -> AsyncIterator[tuple[str, Obj]]:
                async for line in lines(response):
                    event = orjson.loads(line)
                    yield event["type"], event["object"]

            yield decoded()

    async def discover(self, path: str, accept: str) -> Obj:
        return await self.call("GET", path, accept=accept)

    async def catalog(self) -> Catalog:
        if self._catalog is None:
            self._catalog = await self._discovery.catalog()
        return self._catalog

    async def refreshed(self) -> Catalog | None:
        """A catalog fetched now, or None when the present one was: for a name that is not in it."""
        if self._discovery.fresh:
            return None
        self._catalog = await self._discovery.refresh()
        return self._catalog

    async def resource(self, name: str) -> Resource:
        """The resource people call `name`. CliError when the server has none."""
        found = (await self.catalog()).find(name)
        if found is None:
            fresh = await self.refreshed()
            found = fresh.find(name) if fresh else None
        if found is None:
            raise CliError(f'the server doesn\'t have a resource type "{name}"')
        return found

    async def resource_of(self, obj: Obj) -> Resource | None:
        found = (await self.catalog()).of(obj)
        if found is None:
            fresh = await self.refreshed()
            found = fresh.of(obj) if fresh else None
        return found


def _list_failure(error: ApiError, res: Resource, labels: str, fields: str) -> ApiError:
    what = f'"{res.group}/{res.version}, Resource={res.plural}"'
    doing = f"Unable to list {what}"
    if labels or fields:
        doing = f'Unable to find {what} that match label selector "{labels}", field selector "{fields}"'
    return type(error)(f"{doing}: {error.message}", error.details)


def say(text: str) -> None:
    """A line on stderr."""
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)


def run(verb: Callable[[Session], Awaitable[int | None]]) -> None:
    """Open a session, run `verb` in it and exit with its code."""

    async def main() -> int | None:
        session = Session(flags, rest_config(flags))
        try:
            return await verb(session)
        finally:
            await session.client.close()

    code = asyncio.run(main())
    if code:
        raise Silent(code)
