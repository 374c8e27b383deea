"""Keep a sink in step with what the server holds: list once, then watch from that revision on.

- The first list may be served from any cache ("0"); a later one is never older than what we have seen.
- A watch that ends or breaks is resumed from the last revision seen, bookmarks included: nothing is missed.
- 410 Expired means the server no longer has our past: list again, and the sink works out what changed.
- A server that is away is tried again after 0.2 s, then ever more slowly up to 2 s, so that all heals within
  two seconds of its return.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import Protocol

from api.errors import ApiError, Expired, Timeout
from api.meta import Obj
from api.registry import Resource
from client import log, metrics
from client.backoff import Backoff
from client.clock import Clock, RealClock
from client.http import ApiClient

_log = log.get("reflector")
_LOG_EVERY = 30
_HEALTHY_SECONDS = 5.0  # a watch that lived so long proves the server is well


class Sink(Protocol):
    def replace(self, items: list[Obj]) -> None:
        """These are all there are now."""
        ...

    def apply(self, type_: str, obj: Obj) -> None:
        """ADDED, MODIFIED or DELETED."""
        ...


class Reflector:
    def __init__(
        self,
        client: ApiClient,
        res: Resource,
        sink: Sink,
        *,
        namespace: str = "",
        labels: str = "",
        fields: str = "",
        clock: Clock | None = None,
        backoff: Backoff | None = None,
        metadata_only: bool = False,
    ) -> None:
        self._client, self._res, self._sink = client, res, sink
        self._namespace, self._labels, self._fields = namespace, labels, fields
        self._metadata_only = metadata_only
        self._clock = clock or RealClock()
        self._backoff = backoff or Backoff()
        self._list_from = "0"
        self._failures = 0
        self.revision = ""
        """The revision the sink is at; "" when a list is due."""

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                if not self.revision:
                    await self._list()
                await self._watch()
            except Expired as error:
                # The revision we list from may itself be compacted away: then ask for the newest.
                self._list_from = self.revision
                self.revision = ""
                _log.info("relist", resource=self._res.qualified, why=error.message)
                await self._clock.sleep(self._backoff.delay())
            except ApiError as error:
                metrics.count("sampan_reflector_errors", resource=self._res.qualified, reason=error.reason)
                if isinstance(error, Timeout) and not self.revision:
                    self._list_from = ""  # "too large resource version": the server's past was replaced
                self._failures += 1
                if self._failures % _LOG_EVERY == 1:
                    _log.info("retry", resource=self._res.qualified, code=error.code, why=error.message)
                await self._clock.sleep(self._backoff.delay())

    async def _list(self) -> None:
        found = await self._client.list(
            self._res,
            self._namespace,
            labels=self._labels,
            fields=self._fields,
            resource_version=self._list_from,
            metadata_only=self._metadata_only,
        )
        metrics.count("sampan_reflector_lists", resource=self._res.qualified)
        items: list[Obj] = found["items"]
        for item in items:
            self._tidy(item)
        self._sink.replace(items)
        self.revision = self._list_from = found["metadata"]["resourceVersion"]

    async def _watch(self) -> None:
        started = self._clock.monotonic()
        seen = False
        events = self._client.watch(
            self._res,
            self._namespace,
            labels=self._labels,
            fields=self._fields,
            resource_version=self.revision,
            metadata_only=self._metadata_only,
        )
        try:
            async with aclosing(events) as stream:
                async for type_, obj in stream:
                    if type_ != "BOOKMARK":
                        self._tidy(obj)
                        self._sink.apply(type_, obj)
                    self.revision = obj["metadata"]["resourceVersion"]
                    if not seen:
                        seen = True
                        self._healthy()
        finally:
            if self._clock.monotonic() - started >= _HEALTHY_SECONDS:
                self._healthy()
        if not seen and self._clock.monotonic() - started < 1:
            await self._clock.sleep(self._backoff.delay())  # a server that ends watches at once

    def _healthy(self) -> None:
        self._backoff.reset()
        self._failures = 0

    def _tidy(self, obj: Obj) -> None:
        """Without managedFields, which take memory and which the server keeps all the same. Items of a List may
        leave out what the List says for all."""
        obj["metadata"].pop("managedFields", None)
        if "kind" not in obj:
            obj["apiVersion"], obj["kind"] = self._res.api_version, self._res.kind
