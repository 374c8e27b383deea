"""One line of the audit log: an Event of audit.k8s.io/v1 about one stage of one request.

https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/#audit-k8s-io-v1-Event. What a request leaves is
gathered at once; the line is made of it later, when it is written.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from api.errors import ApiError
from api.meta import Obj
from apiserver import decode
from apiserver.audit.policy import LEVELS, METADATA, REQUEST, REQUEST_RESPONSE
from apiserver.auth.user import User
from apiserver.request import Request
from apiserver.response import JSON, Reply

_STATUS = b'{"kind":"Status"'
_OF_STATUS = ("metadata", "status", "message", "reason", "details", "code")
_LONGEST_AGENT = 1024
_OF_BODY = "patch.webhook.admission.k8s.io/"
_TOKEN = re.compile(rb"((?:^|&)access_token=)[^&]*")


class Asked(NamedTuple):
    """What is the same at every stage of a request."""

    id: str
    level: int
    lean: bool
    request: Request
    user: User | None
    received: float  # seconds since 1970


class Record(NamedTuple):
    asked: Asked
    stage: str
    at: float
    code: int  # 0: nothing is answered yet
    reply: Reply | None
    message: str  # of a request of nobody's, in place of what the reply says
    acts_as: User | None
    annotations: dict[str, str]

    def line(self) -> bytes:
        asked = self.asked
        request, info = asked.request, asked.request.info
        event: Obj = {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": LEVELS[asked.level],
            "auditID": asked.id,
            "stage": self.stage,
            "requestURI": _uri(request),
            "verb": info.verb,
            "user": _user(asked.user) if asked.user is not None else {},
        }
        if self.acts_as is not None:
            event["impersonatedUser"] = _user(self.acts_as)
        event["sourceIPs"] = source_ips(request)
        agent = request.header(b"user-agent")
        if agent:
            event["userAgent"] = agent if len(agent) <= _LONGEST_AGENT else agent[:_LONGEST_AGENT] + "...TRUNCATED"
        sent = self._sent()
        if info.is_resource:
            event["objectRef"] = _reference(request, sent)
        if self.code:
            event["responseStatus"] = self._status()
        if asked.level >= REQUEST and sent is not None:
            event["requestObject"] = _lean(sent) if asked.lean else sent
        if asked.level >= REQUEST_RESPONSE and self.reply is not None and self.reply.content_type is JSON:
            event["responseObject"] = self._answered()
        event["requestReceivedTimestamp"] = _time(asked.received)
        event["stageTimestamp"] = _time(self.at)
        annotations = self.annotations
        if asked.level < REQUEST:  # a webhook's patch says as much as the body
            annotations = {k: v for k, v in annotations.items() if not k.startswith(_OF_BODY)}
        if annotations:
            event["annotations"] = annotations
        return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE)

    def _sent(self) -> Any:
        """The body as it came. Of creations always, since only it has the name."""
        request = self.asked.request
        if not self.code or not request.body_read or request.info.verb == "get":
            return None
        if self.asked.level == METADATA and request.info.verb != "create":
            return None
        media = request.header(b"content-type")
        try:
            return decode.raw(request.body_read, "" if decode.media_type(media).endswith("+json") else media)
        except (ApiError, ValueError):
            return None  # nobody could read it: the answer says so

    def _answered(self) -> Any:
        assert self.reply is not None, "only of what is answered"
        whole = self.reply.between.join(self.reply.pieces)
        return _lean(orjson.loads(whole)) if self.asked.lean else orjson.Fragment(whole)

    def _status(self) -> Obj:
        reply = self.reply
        if self.message:
            told = {"status": "Failure", "message": self.message, "reason": "Unauthorized", "code": self.code}
            return {"metadata": {}, **told}
        if reply is not None and reply.content_type is JSON and reply.pieces and reply.pieces[0].startswith(_STATUS):
            status = orjson.loads(reply.between.join(reply.pieces))
            return {**{field: status[field] for field in _OF_STATUS if field in status}, "code": self.code}
        return {"metadata": {}, "code": self.code}


def source_ips(request: Request) -> list[str]:
    """Whom proxies say they speak for, then who speaks to us, which nobody can make up."""
    found: list[str] = []
    forwarded = request.header(b"x-forwarded-for")
    for text in forwarded.split(",") if forwarded else ():
        found += _address(text)
    found += [ip for ip in _address(request.header(b"x-real-ip")) if ip not in found]
    client = request.scope.get("client")
    found += [ip for ip in (_address(client[0]) if client else ()) if found[-1:] != [ip]]
    return found


@lru_cache(maxsize=1024)
def _address(text: str) -> tuple[str, ...]:
    text = text.strip()
    try:
        return (str(ipaddress.ip_address(text)),) if text else ()
    except ValueError:
        return ()


def _uri(request: Request) -> str:
    path: bytes = request.scope.get("raw_path") or request.path.encode()
    query: bytes = request.scope["query_string"]
    if b"access_token" in query:
        query = _TOKEN.sub(rb"\1REDACTED", query)
    return (path + b"?" + query if query else path).decode("latin-1")


def _user(user: User) -> Obj:
    told = {"username": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra}
    return {field: value for field, value in told.items() if value}


def _reference(request: Request, sent: Any) -> Obj:
    info = request.info
    metadata = sent.get("metadata") if isinstance(sent, dict) and info.verb in ("create", "update") else None
    own: Obj = metadata if isinstance(metadata, dict) else {}
    told = {
        "resource": info.resource,
        "namespace": info.namespace or own.get("namespace"),
        "name": info.name or own.get("name"),
        "uid": own.get("uid"),
        "apiGroup": info.group,
        "apiVersion": info.version,
        "resourceVersion": own.get("resourceVersion"),
        "subresource": info.subresource,
    }
    return {field: value for field, value in told.items() if value}


def _lean(data: Any) -> Any:
    """`data`, an object, list or table, without managed fields."""
    if isinstance(data, dict):
        rows = [row.get("object") for row in _dicts(data.get("rows"))]
        for each in _dicts([data, *_dicts(data.get("items")), *rows]):
            if isinstance(each.get("metadata"), dict):
                each["metadata"].pop("managedFields", None)
    return data


def _dicts(data: Any) -> list[Obj]:
    return [each for each in data if isinstance(each, dict)] if isinstance(data, list) else []


def _time(seconds: float) -> str:
    whole = int(seconds)
    return f"{_second(whole)}.{int((seconds - whole) * 1e6):06d}Z"


@lru_cache(maxsize=64)
def _second(whole: int) -> str:
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
