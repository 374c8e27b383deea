"""What a request asks for, read from its method and path alone, as upstream's RequestInfo does.

`parse` is pure. `Request` wraps the ASGI scope and reads headers, query and body on demand, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from api.errors import BadRequest, EntityTooLarge
from api.selectors import field_terms
from apiserver.auth.user import ANONYMOUS, User
from apiserver.flow.level import Ticket

if TYPE_CHECKING:
    from apiserver.audit.trail import Trail

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BEARER_PROTOCOL = "base64url.bearer.authorization.k8s.io."
"""What precedes a token among the protocols of a WebSocket."""
BODY_LIMIT = 3 * 1024 * 1024
_VERBS = {
    "GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete",
    "OPTIONS": "options",
}  # fmt: skip
IMPERSONATION = b"impersonate-"
"""What headers begin with that ask to act as someone else."""
_OF_NAMESPACE = ("status", "finalize")


@dataclass(slots=True)
class RequestInfo:
    """A path taken apart. For paths that name no resource `is_resource` is False and only verb and path count."""

    path: str
    verb: str  # get list watch create update patch delete deletecollection; else the lower-case method
    is_resource: bool = False
    group: str = ""
    version: str = ""
    resource: str = ""  # plural, as in the path
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""  # what follows the subresource (proxy paths)
    fields: str = ""  # the field selector of a list, watch or deletecollection


def parse(method: str, path: str, query: str = "") -> RequestInfo:
    """Every path has a reading; unknown groups and resources are for the caller to refuse."""
    parts = [part for part in path.split("/") if part]
    verb = _VERBS.get(method, method.lower())
    info = RequestInfo(path, method.lower())
    if len(parts) < 3 or parts[0] not in ("api", "apis"):
        return info
    if parts[0] == "api":
        group, version, parts = "", parts[1], parts[2:]
    else:
        group, version, parts = parts[1], parts[2], parts[3:]
    legacy_watch = bool(parts) and parts[0] == "watch"
    if legacy_watch:
        parts = parts[1:]
    if not parts:
        return info
    info.is_resource, info.verb, info.group, info.version = True, verb, group, version
    if parts[0] == "namespaces" and len(parts) > 1:
        info.namespace = parts[1]
        if len(parts) > 2 and not (len(parts) == 3 and parts[2] in _OF_NAMESPACE):
            parts = parts[2:]
    info.resource = parts[0]
    if len(parts) > 1:
        info.name = parts[1]
    if len(parts) > 2:
        info.subresource, info.rest = parts[2], "/".join(parts[3:])
    if legacy_watch and verb == "get":
        info.verb = "watch"
    elif not info.name:
        if verb == "get":
            info.verb = "watch" if _asks_to_watch(query) else "list"
        elif verb == "delete":
            info.verb = "deletecollection"
        if "fieldSelector" in query and info.verb in ("list", "watch", "deletecollection"):
            info.fields = dict(reversed(parse_qsl(query, keep_blank_values=True))).get("fieldSelector", "")
            info.name = selected_name(info.fields)
    return info


def _asks_to_watch(query: str) -> bool:
    if "watch" not in query:
        return False
    return any(k == "watch" and truth(v) for k, v in parse_qsl(query, keep_blank_values=True))


def selected_name(selector: str) -> str:
    """The one name that a field selector allows: who may see one object may select it."""
    named = (term for term in field_terms(selector) if term.startswith("metadata.name="))
    names = [term.partition("=")[2].lstrip("=") for term in named]
    return names[0] if names and "/" not in names[0] and "\\" not in names[0] else ""


def truth(value: str) -> bool:
    """A boolean query parameter; present without a value means true, as in Go's conversion."""
    return value.lower() not in ("false", "0")


class Request:
    """One HTTP or WebSocket request."""

    __slots__ = (
        "_body",
        "_body_read",
        "_headers",
        "_query",
        "annotations",
        "answer_headers",
        "audit_id",
        "info",
        "method",
        "path",
        "receive",
        "scope",
        "streaming",
        "ticket",
        "trail",
        "user",
        "warnings",
    )

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.method: str = scope.get("method", "GET")
        self.path: str = scope["path"]
        query: bytes = scope["query_string"]
        self.info = parse(self.method, self.path, query.decode("latin-1") if query else "")
        self.user: User = ANONYMOUS
        self.warnings: list[str] = []
        self.annotations: dict[str, str] = {}  # for the audit log
        self.audit_id = ""
        self.trail: Trail | None = None  # in the audit log, if it is to leave one
        self.answer_headers: tuple[tuple[bytes, bytes], ...] = ()  # of every answer, whatever it is: add with +=
        self.ticket: Ticket | None = None  # for the seat it has
        self.streaming = False  # and counted as such
        self.receive = receive
        self._headers: dict[bytes, bytes] | None = None
        self._query: dict[str, list[str]] | None = None
        self._body: bytes | None = None
        self._body_read: asyncio.Event | None = None

    def header(self, name: bytes) -> str:
        """The last header of that (lower-case) name, or ""."""
        if self._headers is None:
            self._headers = dict(self.scope["headers"])
        return self._headers.get(name, b"").decode("latin-1")

    @property
    def impersonates(self) -> bool:
        if self._headers is None:
            self._headers = dict(self.scope["headers"])
        return IMPERSONATION in b"\n".join(self._headers)

    @property
    def queries(self) -> dict[str, list[str]]:
        if self._query is None:
            self._query = {}
            raw: bytes = self.scope["query_string"]
            if raw:
                for key, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True):
                    self._query.setdefault(key, []).append(value)
        return self._query

    def query(self, name: str) -> str:
        values = self.queries.get(name)
        return values[0] if values else ""

    def flag(self, name: str) -> bool:
        values = self.queries.get(name)
        return values is not None and truth(values[0])

    def integer(self, name: str) -> int | None:
        """An int64 parameter; None when it is not given."""
        text = self.query(name)
        if not text:
            return None
        try:
            number = int(text)
        except ValueError:
            raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
        if not -(1 << 63) <= number < 1 << 63:
            raise BadRequest(f'strconv.ParseInt: parsing "{text}": value out of range')
        return number

    @property
    def dry_run(self) -> bool:
        values = self.queries.get("dryRun")
        if not values:
            return False
        check_dry_run(values)
        return True

    async def body(self) -> bytes:
        """The whole body. EntityTooLarge over 3 MB, before reading it all."""
        if self._body is None:
            self._body = await self._read()
        return self._body

    @property
    def body_read(self) -> bytes:
        """What `body` has given, without reading any more."""
        return self._body or b""

    async def _read(self) -> bytes:
        length = self.header(b"content-length")
        if length.isdigit() and int(length) > BODY_LIMIT:
            raise _too_large()
        message = await self.receive()
        body: bytes = message.get("body", b"")
        if not message.get("more_body"):
            return body
        pieces, size = [body], len(body)
        while message.get("more_body"):
            message = await self.receive()
            piece: bytes = message.get("body", b"")
            pieces.append(piece)
            size += len(piece)
            if size > BODY_LIMIT:
                raise _too_large()
        return b"".join(pieces)

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes, of any size. ConnectionResetError when the client leaves before its end."""
        self._body_read = asyncio.Event()
        return self._pieces(self._body_read)

    async def _pieces(self, read: asyncio.Event) -> AsyncIterator[bytes]:
        try:
            more = True
            while more:
                message = await self.receive()
                if message["type"] == "http.disconnect":
                    raise ConnectionResetError("the client has gone away")
                more = bool(message.get("more_body"))
                if message.get("body"):
                    yield message["body"]
        finally:
            read.set()

    def abort(self) -> None:
        """Break the connection: the answer that was begun cannot be ended properly."""
        abort = self.scope.get("sampan.abort")
        if abort is not None:
            abort()

    @property
    def is_abandoned(self) -> bool:
        """The client has gone away already."""
        gone = self.scope.get("sampan.gone")
        return gone is not None and gone()

    async def disconnected(self) -> None:
        """Returns when the client has gone away. Call it only after the body was read or is not wanted."""
        if self._body_read is not None:
            await self._body_read.wait()
        while (await self.receive())["type"] != "http.disconnect":
            pass


def check_dry_run(values: list[str]) -> None:
    for value in values:
        if value != "All":
            raise BadRequest(f'dryRun: Unsupported value: "{value}": supported values: "All"')


def _too_large() -> EntityTooLarge:
    return EntityTooLarge(f"Request entity too large: limit is {BODY_LIMIT}")
