"""etcd over gRPC: the only module that speaks to it (its messages come from etcd_messages.py).

Natively asynchronous. Every unary call has a deadline; every failure is one of ServiceUnavailable
(etcd is away; a write may have happened), Timeout, EntityTooLarge, Compacted, FutureRevision. Of several endpoints
one is used until it fails, then the next.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from api.errors import ApiError, EntityTooLarge, ServiceUnavailable, Timeout
from apiserver.storage import etcd_messages as pb
from apiserver.storage.http2 import CANCELLED, DEADLINE_EXCEEDED, NOT_FOUND, OUT_OF_RANGE, RpcError
from apiserver.storage.rpc import Channel, NotConnected

# A member cut off from its leader refuses instead of serving a watch that never moves.
_METADATA = {"hasleader": "true"}
_RANGE, _TXN, _COMPACT = "etcdserverpb.KV/Range", "etcdserverpb.KV/Txn", "etcdserverpb.KV/Compact"
_GRANT, _WATCH = "etcdserverpb.Lease/LeaseGrant", "etcdserverpb.Watch/Watch"


class Compacted(Exception):
    """The revision is compacted away. `oldest` is the first one kept, 0 when etcd did not say."""

    def __init__(self, oldest: int = 0) -> None:
        super().__init__(f"compacted up to {oldest}")
        self.oldest = oldest


class FutureRevision(Exception):
    """The revision is not reached yet."""


class LeaseEnded(Exception):
    """The lease of a put is over. Nothing was written."""


class _NotConnected(ServiceUnavailable):
    """The request was never sent: it is safe to send it elsewhere."""


@dataclass(frozen=True, slots=True)
class KeyValue:
    key: str
    value: bytes
    revision: int  # of its last write
    version: int  # writes since it was created
    stale: bool = False  # encrypted otherwise than it would be now


@dataclass(frozen=True, slots=True)
class KeyEvent:
    """A key was written, or removed (value is None)."""

    key: str
    value: bytes | None
    revision: int


@dataclass(frozen=True, slots=True)
class Range:
    items: list[KeyValue]
    revision: int  # the store's, at the time of the answer
    count: int  # of all keys in the range, whatever the limit
    more: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a Txn. found holds the `otherwise` keys' state, None where absent; empty when it succeeded."""

    succeeded: bool
    revision: int
    found: dict[str, KeyValue | None]


@dataclass(frozen=True, slots=True)
class Txn:
    """Writes that happen together, if every condition holds. Revision 0 in `at` means: the key is absent."""

    at: dict[str, int]  # key → the revision of its last write
    put: dict[str, bytes]
    remove: Sequence[str] = ()
    lease: int = 0  # what is put goes when this lease ends; 0 = it stays


def prefix_end(prefix: str) -> str:
    """The first key after every key that starts with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


class Etcd:
    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        ca_file: str = "",
        cert_file: str = "",
        key_file: str = "",
        deadline: float = 5.0,
    ) -> None:
        if not endpoints:
            raise ValueError("no etcd endpoint given")
        self._targets = [_target(e) for e in endpoints]
        self._files = (ca_file, cert_file, key_file)
        self._deadline = deadline
        self._current = 0
        self._channel: Channel | None = None
        self.unreadable: dict[str, str] = {}  # keys whose values cannot be decrypted → why

    def _connected(self) -> Channel:
        if self._channel is None:
            address, secure = self._targets[self._current]
            self._channel = Channel(address, self._tls() if secure else None, _METADATA)
        return self._channel

    def _tls(self) -> ssl.SSLContext:
        ca, cert, key = self._files
        context = ssl.create_default_context(cafile=ca or None)
        context.set_alpn_protocols(["h2"])
        if cert:
            context.load_cert_chain(cert, key or None)
        return context

    async def close(self) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def _failover(self, channel: Channel) -> None:
        """Leave an endpoint that failed, when there is another and nobody left it before us. Calls under way get
        some time to finish."""
        if len(self._targets) > 1 and channel is self._channel:
            self._current = (self._current + 1) % len(self._targets)
            self._channel = None
            channel.retire(self._deadline)

    async def _call(self, method: str, request: Any, answer: Any, *, deadline: float = 0) -> Any:
        message = request.SerializeToString()
        for _ in self._targets[1:]:
            try:
                return answer.FromString(await self._attempt(method, message, deadline))
            except _NotConnected:
                continue
        return answer.FromString(await self._attempt(method, message, deadline))

    async def _attempt(self, method: str, message: bytes, deadline: float) -> bytes:
        channel = self._connected()
        try:
            return await channel.unary(method, message, deadline or self._deadline)
        except RpcError as error:
            translated = _translate(error)
            if isinstance(translated, ServiceUnavailable | Timeout):
                self._failover(channel)
            raise translated from error

    async def revision(self) -> int:
        """The store's revision now, agreed with the quorum."""
        answer = await self._call(_RANGE, pb.RangeRequest(key=b"\0", count_only=True), pb.RangeResponse)
        return int(answer.header.revision)

    async def get(self, key: str) -> tuple[KeyValue | None, int]:
        """(the key now or None, the store's revision), agreed with the quorum."""
        answer = await self._call(_RANGE, pb.RangeRequest(key=key.encode()), pb.RangeResponse)
        return (_key_value(answer.kvs[0]) if answer.kvs else None), int(answer.header.revision)

    async def range(self, start: str, end: str, *, revision: int = 0, limit: int = 0) -> Range:
        """Keys in [start, end), ascending, as they are now or were at `revision`. Compacted; FutureRevision."""
        request = pb.RangeRequest(key=start.encode(), range_end=end.encode(), revision=revision, limit=limit)
        answer = await self._call(_RANGE, request, pb.RangeResponse, deadline=max(30.0, self._deadline))
        return Range(
            [_key_value(kv) for kv in answer.kvs], int(answer.header.revision), int(answer.count), bool(answer.more)
        )

    async def txn(self, txn: Txn) -> Outcome:
        """When it does not succeed, `found` tells what every key in `txn.at` is like now."""
        request = pb.TxnRequest()
        for key, revision in txn.at.items():
            request.compare.append(_mod_revision_is(key, revision))
            request.failure.append(pb.RequestOp(request_range=pb.RangeRequest(key=key.encode())))
        for key, value in txn.put.items():
            put = pb.PutRequest(key=key.encode(), value=value, lease=txn.lease)
            request.success.append(pb.RequestOp(request_put=put))
        for key in txn.remove:
            delete = pb.DeleteRangeRequest(key=key.encode())
            request.success.append(pb.RequestOp(request_delete_range=delete))
        answer = await self._call(_TXN, request, pb.TxnResponse)
        revision = int(answer.header.revision)
        if answer.succeeded:
            return Outcome(True, revision, {})
        found = {}
        for key, response in zip(txn.at, answer.responses, strict=True):
            kvs = response.response_range.kvs
            found[key] = _key_value(kvs[0]) if kvs else None
        return Outcome(False, revision, found)

    async def grant(self, ttl: int) -> int:
        """A lease that ends after `ttl` seconds. Never renewed."""
        answer = await self._call(_GRANT, pb.LeaseGrantRequest(TTL=ttl), pb.LeaseGrantResponse)
        return int(answer.ID)

    async def compact(self, revision: int) -> None:
        """Forget history before `revision`. Compacted when somebody already did."""
        await self._call(_COMPACT, pb.CompactionRequest(revision=revision), pb.CompactionResponse)

    async def oldest_revision(self, prefix: str) -> int:
        """The oldest revision that is not compacted; to be asked only when something is."""

        async def ignore(_: int) -> None: ...

        try:
            async for _ in self.watch(prefix, 1, opened=ignore):
                return 1
        except Compacted as error:
            return error.oldest
        return 1

    async def watch(
        self, prefix: str, start: int, *, opened: Callable[[int], Awaitable[None]]
    ) -> AsyncGenerator[list[KeyEvent], None]:
        """Every event under `prefix` from revision `start` on, in order, whole revisions at a time.

        `opened` is awaited once with the store's revision when etcd has accepted the watch. Never ends by itself:
        raises Compacted when `start` is gone, ServiceUnavailable when the stream breaks.
        """
        channel = self._connected()
        create = pb.WatchCreateRequest(key=prefix.encode(), range_end=prefix_end(prefix).encode(), start_revision=start)
        request = pb.WatchRequest(create_request=create).SerializeToString()
        try:
            async with aclosing(channel.stream(_WATCH, request)) as answers:
                async for message in answers:
                    answer = pb.WatchResponse.FromString(message)
                    if answer.canceled:
                        if answer.compact_revision:
                            raise Compacted(int(answer.compact_revision))
                        raise ServiceUnavailable(f"etcd canceled the watch: {answer.cancel_reason}")
                    if answer.created:
                        await opened(int(answer.header.revision))
                    if answer.events:
                        yield [_key_event(e) for e in answer.events]
            raise ServiceUnavailable("etcd ended the watch")
        except RpcError as error:
            self._failover(channel)
            raise _translate(error) from error


def _target(endpoint: str) -> tuple[str, bool]:
    """(host:port, whether it speaks TLS). A bare host:port does."""
    scheme, separator, address = endpoint.strip().rstrip("/").rpartition("://")
    if separator and scheme not in ("http", "https"):
        raise ValueError(f"etcd endpoint {endpoint!r}: the scheme must be http or https")
    return address, scheme != "http"


def _mod_revision_is(key: str, revision: int) -> Any:
    compare = pb.Compare
    return compare(key=key.encode(), result=compare.EQUAL, target=compare.MOD, mod_revision=revision)


def _key_value(kv: Any) -> KeyValue:
    return KeyValue(kv.key.decode(), kv.value, kv.mod_revision, kv.version)


def _key_event(event: Any) -> KeyEvent:
    kv = event.kv
    return KeyEvent(kv.key.decode(), None if event.type == pb.Event.DELETE else kv.value, kv.mod_revision)


def _translate(error: RpcError) -> ApiError | Compacted | FutureRevision | LeaseEnded:
    code, text = error.code, error.message
    if code == OUT_OF_RANGE and "compacted" in text:
        return Compacted()
    if code == OUT_OF_RANGE and "future revision" in text:
        return FutureRevision(text)
    if code == NOT_FOUND and "lease not found" in text:
        return LeaseEnded(text)
    if "too large" in text or "larger than max" in text:
        return EntityTooLarge(f"etcd refused the object: {text}")
    if code in (DEADLINE_EXCEEDED, CANCELLED) or "request timed out" in text:
        return Timeout(f"Timeout: etcd gave no answer in time ({text})", {"retryAfterSeconds": 1})
    kind = _NotConnected if isinstance(error, NotConnected) else ServiceUnavailable
    return kind(f"etcd is not available: {text or code}", {"retryAfterSeconds": 1})
