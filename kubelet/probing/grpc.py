"""The gRPC health check, one call on one connection: https://github.com/grpc/grpc/blob/master/doc/health-checking.md

A client of HTTP/2 (RFC 9113) that sends one request and reads until its status comes. Texts: pkg/probe/grpc/grpc.go.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import unquote

from hpack import Decoder, Encoder, HPACKError

from kubelet.probing.dial import authority

_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _CONTINUATION = 0, 1, 3, 4, 6, 7, 9
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
_LARGEST_FRAME = 16384
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SERVING = 1
_STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_CODES = (
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
    "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
    "Internal", "Unavailable", "DataLoss", "Unauthenticated",
)  # fmt: skip
_OF_HTTP = {"400": "Internal", "401": "Unauthenticated", "403": "PermissionDenied", "404": "Unimplemented",
            "429": "Unavailable", "502": "Unavailable", "503": "Unavailable", "504": "Unavailable"}  # fmt: skip
"""https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md"""


@dataclass(slots=True)
class _Reply:
    code: str = "Unavailable"
    message: str = ""
    status: int | None = None


class _NoHttp2(Exception):
    pass


async def check(host: str, port: int, service: str, seconds: int, agent: str) -> str:
    """ "" when the service is serving, else why not."""
    told, at = f"{seconds // 60}m{seconds % 60}s" if seconds >= 60 else f"{seconds}s", authority(host, port)
    writer: asyncio.StreamWriter | None = None
    connected = False
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(_request(at, service, agent))
            await _first_settings(reader, writer)
            connected = True
            reply = await _reply(reader, writer)
    except (TimeoutError, OSError, EOFError, _NoHttp2) as error:
        if not connected:
            return f'timeout: failed to connect service "{at}" within {told}: context deadline exceeded'
        if isinstance(error, TimeoutError):
            return f"timeout: health rpc did not complete within {told}"
        reply = _Reply(message=f"error reading from server: {str(error) or 'EOF'}")
    finally:
        if writer is not None:
            writer.close()
    return _verdict(reply)


def _verdict(reply: _Reply) -> str:
    if reply.code == "Unimplemented":
        return (
            f"error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {reply.message}"
        )
    if reply.code != "OK":
        return f"error: health rpc probe failed: rpc error: code = {reply.code} desc = {reply.message}"
    if reply.status == _SERVING:
        return ""
    status = reply.status or 0
    return f'service unhealthy (responded with "{_STATUSES[status] if status < len(_STATUSES) else status}")'


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return b"%b%c%c%b%b" % (len(payload).to_bytes(3, "big"), kind, flags, stream.to_bytes(4, "big"), payload)


def _request(at: str, service: str, agent: str) -> bytes:
    headers = Encoder().encode(
        [
            (":method", "POST"), (":scheme", "http"), (":path", "/grpc.health.v1.Health/Check"),
            (":authority", at), ("content-type", "application/grpc"), ("user-agent", agent),
            ("te", "trailers"),
        ],
        huffman=False,
    )  # fmt: skip
    name = service.encode()
    asked = b"\x0a" + _varint(len(name)) + name if name else b""
    message = b"\0" + len(asked).to_bytes(4, "big") + asked
    return (
        _PREFACE + _frame(_SETTINGS, 0, 0) + _frame(_HEADERS, _END_HEADERS, 1, headers)
        + _frame(_DATA, _END_STREAM, 1, message)
    )  # fmt: skip


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


async def _read(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    head = await reader.readexactly(9)
    size = int.from_bytes(head[:3], "big")
    if size > _LARGEST_FRAME:
        raise _NoHttp2("the answer is no HTTP/2")
    return head[3], head[4], await reader.readexactly(size)


async def _first_settings(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    kind, _, _ = await _read(reader)
    if kind != _SETTINGS:
        raise _NoHttp2("the answer is no HTTP/2")
    writer.write(_frame(_SETTINGS, _ACK, 0))


async def _reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Reply:
    decoder, block, data, ends = Decoder(), b"", b"", False
    reply = _Reply()
    while True:
        kind, flags, payload = await _read(reader)
        if kind in (_HEADERS, _CONTINUATION):
            if kind == _HEADERS:
                ends = bool(flags & _END_STREAM)
                payload = _unpadded(flags, payload)[5 if flags & _PRIORITY else 0 :]
                block = b""
            block += payload
            if flags & _END_HEADERS:
                try:
                    headers = {str(name): str(value) for name, value in decoder.decode(block)}
                except HPACKError as error:
                    raise _NoHttp2(str(error)) from error
                if ends:
                    return _ended(headers, data)
                if headers.get(":status", "200") != "200":
                    return _ended(headers, b"")
        elif kind == _DATA:
            data += _unpadded(flags, payload)
            if flags & _END_STREAM:
                reply.message = "server closed the stream without sending trailers"
                return reply
        elif kind == _SETTINGS and not flags & _ACK:
            writer.write(_frame(_SETTINGS, _ACK, 0))
        elif kind == _PING and not flags & _ACK:
            writer.write(_frame(_PING, _ACK, 0, payload))
        elif kind in (_RST, _GOAWAY):
            reply.message = "stream terminated by RST_STREAM" if kind == _RST else "closing transport due to GOAWAY"
            return reply


def _ended(headers: dict[str, str], data: bytes) -> _Reply:
    status = headers.get("grpc-status")
    if status is None:
        http = headers.get(":status", "")
        text = f"unexpected HTTP status code received from server: {http}"
        return _Reply(_OF_HTTP.get(http, "Unknown"), text)
    code = int(status) if status.isdigit() else 2
    named = _CODES[code] if code < len(_CODES) else f"Code({code})"
    return _Reply(named, unquote(headers.get("grpc-message", "")), _serving_status(data[5:]))


def _serving_status(message: bytes) -> int:
    """HealthCheckResponse has one field, a small enum; its zero is not sent."""
    return message[1] if len(message) >= 2 and message[0] == 0x08 else 0


def _unpadded(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & _PADDED else payload
