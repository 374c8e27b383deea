"""Telling people what happened to an object, as core/v1 Events.

`event` never blocks and never fails: it queues. Repeats of the same news about the same object become one
Event whose count grows. At most 50 a second are written (100 at once), so that a burst of news does not slow
the work it tells of, and of one object 25 and then one each 5 minutes. While the server is away they wait in a
bounded queue. What is too much is dropped and counted. Shape, naming and rates are those of client-go's
recorder and of the components' defaults.
"""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from api.builtin import EVENTS
from api.errors import ApiError, NotFound, ServiceUnavailable, Timeout, TooManyRequests
from api.meta import Obj, rfc3339
from client import log, metrics
from client.clock import Clock, RealClock
from client.http import ApiClient

_log = log.get("events")
_QUEUE, _REMEMBERED, _ATTEMPTS = 4096, 4096, 12
_RATE, _BURST = 50.0, 100.0  # writes a second, and saved up
_OBJECT_SECONDS, _OBJECT_BURST = 300.0, 25.0

_Key = tuple[str, str, str, str, str]  # object uid or name, field path, type, reason, message


@dataclass(slots=True)
class _Written:
    name: str
    namespace: str
    count: int


class _Bucket:
    """Tokens that come at an even pace, up to a burst that is there from the start."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst, self._tokens, self._at = rate, burst, burst, now

    def take(self, now: float) -> float:
        """Takes one; returns for how long the taker is ahead of the pace, 0 when not."""
        self._tokens = min(self._tokens + (now - self._at) * self._rate, self._burst) - 1
        self._at = now
        return max(-self._tokens / self._rate, 0.0)

    def try_take(self, now: float) -> bool:
        """Takes one if there is one."""
        if min(self._tokens + (now - self._at) * self._rate, self._burst) < 1:
            return False
        self.take(now)
        return True


class EventRecorder:
    def __init__(self, client: ApiClient, component: str, *, host: str = "", clock: Clock | None = None) -> None:
        self._client, self._component, self._host = client, component, host
        self._clock = clock or RealClock()
        self._pending: OrderedDict[_Key, Obj] = OrderedDict()
        self._written: OrderedDict[_Key, _Written] = OrderedDict()
        self._news = asyncio.Event()
        self._last_name = 0
        self._pace = _Bucket(_RATE, _BURST, self._clock.monotonic())
        self._objects: OrderedDict[str, _Bucket] = OrderedDict()
        self.dropped = 0

    def event(
        self, obj: Obj, type_: str, reason: str, message: str, *,
        field_path: str = "", annotations: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """`type_` is Normal or Warning; `field_path` names a part, such as `spec.containers{web}`."""
        metadata = obj["metadata"]
        key = (str(metadata.get("uid") or metadata["name"]), field_path, type_, reason, message)
        if not self._may_speak_of(key[0]):
            self._drop()
            return
        now = self._clock.now()
        waiting = self._pending.get(key)
        if waiting is not None:
            waiting["count"] += 1
            waiting["lastTimestamp"] = rfc3339(now)
            return
        if len(self._pending) >= _QUEUE:
            self._drop()
            return
        involved = {
            "kind": obj.get("kind", ""),
            "namespace": metadata.get("namespace", ""),
            "name": metadata["name"],
            "uid": metadata.get("uid", ""),
            "apiVersion": obj.get("apiVersion", ""),
            "resourceVersion": metadata.get("resourceVersion", ""),
            "fieldPath": field_path,
        }
        self._last_name = max(self._last_name + 1, int(now.timestamp() * 1_000_000) * 1000)
        self._pending[key] = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{metadata['name']}.{self._last_name:x}",
                "namespace": metadata.get("namespace") or "default",
                **({"annotations": dict(annotations)} if annotations else {}),
            },
            "involvedObject": {k: v for k, v in involved.items() if v},
            "reason": reason,
            "message": message[:1024],
            "source": {"component": self._component, **({"host": self._host} if self._host else {})},
            "firstTimestamp": rfc3339(now),
            "lastTimestamp": rfc3339(now),
            "count": 1,
            "type": type_,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._host or socket.gethostname(),
        }
        self._news.set()

    def _may_speak_of(self, object_id: str) -> bool:
        now = self._clock.monotonic()
        bucket = self._objects.pop(object_id, None) or _Bucket(1 / _OBJECT_SECONDS, _OBJECT_BURST, now)
        self._objects[object_id] = bucket
        if len(self._objects) > _REMEMBERED:
            self._objects.popitem(last=False)
        return bucket.try_take(now)

    async def run(self) -> None:
        """Write what is queued, until cancelled."""
        while True:
            while self._pending:
                ahead = self._pace.take(self._clock.monotonic())
                if ahead:
                    await self._clock.sleep(ahead)
                key, event = self._pending.popitem(last=False)
                await self._deliver(key, event)
            self._news.clear()
            await self._news.wait()

    async def _deliver(self, key: _Key, event: Obj) -> None:
        for _ in range(_ATTEMPTS):
            try:
                await self._write(key, event)
                return
            except (ServiceUnavailable, Timeout, TooManyRequests):
                await self._clock.sleep(1)
            except ApiError as error:  # a namespace that is going away takes its events with it
                _log.debug("event refused", reason=event["reason"], why=error.message)
                break
        self._drop()

    async def _write(self, key: _Key, event: Obj) -> None:
        known = self._written.get(key)
        if known is not None:
            count = known.count + event["count"]
            patch = {"count": count, "lastTimestamp": event["lastTimestamp"]}
            try:
                await self._client.patch(EVENTS, known.name, patch, namespace=known.namespace)
            except NotFound:  # it expired: begin a new one
                del self._written[key]
            else:
                known.count = count
                self._written.move_to_end(key)
                return
        await self._client.create(EVENTS, event)
        self._written[key] = _Written(event["metadata"]["name"], event["metadata"]["namespace"], event["count"])
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    def _drop(self) -> None:
        self.dropped += 1
        metrics.count("sampan_events_dropped", component=self._component)
