"""The DNS server of a node: answers the cluster's zone from memory, hands the rest to the upstream resolvers.

It listens on the cluster DNS address itself, which is an address of lo on every node: a pod's query is answered
by its own node, needs no translation, and no other node's failure touches it. (DNAT to a port of the node's
address would need conntrack for every query, and would be open to the neighbours.)
Never blocks: an upstream that is silent costs one query its time-out, no other query anything.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from client import log, metrics
from proxy.dns import NXDOMAIN, Answer, Record, Zone

PORT = 53
UPSTREAM_SECONDS = 2.0
MAX_PENDING = 1000
_MAX_CHAIN = 8  # CNAMEs that are followed
_log = log.get("dns")


class Responder:
    """Wire query → wire response."""

    def __init__(
        self, zone: Zone, upstreams: Callable[[], list[str]], ready: Callable[[], bool] = lambda: True
    ) -> None:
        """`upstreams` is asked for each query: resolv.conf changes with the network a laptop is in."""
        self._zone = zone
        self._upstreams = upstreams
        self._ready = ready
        self._pending = 0

    async def answer(self, wire: bytes, *, tcp: bool = False) -> bytes | None:
        """None when `wire` is too broken to answer."""
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return _format_error(wire)
        if query.flags & dns.flags.QR:
            return None
        if query.opcode() != dns.opcode.QUERY or len(query.question) != 1:
            return self._wire(_failure(query, dns.rcode.NOTIMP), query, tcp)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        type_ = dns.rdatatype.to_text(question.rdtype)
        if question.rdclass == dns.rdataclass.IN:
            found = self._zone.lookup(name, type_)
            if found is not None:
                metrics.count("sampan_dns_queries", kind="cluster")
                if not self._ready():
                    return self._wire(_failure(query, dns.rcode.SERVFAIL), query, tcp)
                return self._wire(await self._respond(query, found, type_), query, tcp)
        metrics.count("sampan_dns_queries", kind="upstream")
        forwarded = await self._forward(wire, tcp=tcp)
        return forwarded or self._wire(_failure(query, dns.rcode.SERVFAIL), query, tcp)

    async def _respond(self, query: dns.message.Message, found: Answer, type_: str) -> dns.message.Message:
        response = dns.message.make_response(query, recursion_available=True)
        response.flags |= dns.flags.AA
        response.set_rcode(dns.rcode.Rcode(found.code))
        records = list(found.records)
        random.shuffle(records)  # clients take the first
        _add(response.answer, records)
        _add(response.additional, found.additional)
        if found.cname and type_ != "CNAME":
            await self._follow(response, found.cname, type_)
        elif not records:
            _add(response.authority, [self._zone.soa()])
        return response

    async def _follow(self, response: dns.message.Message, target: str, type_: str) -> None:
        """What a CNAME points to, from our zone or from upstream; when nobody knows, the CNAME alone."""
        for _ in range(_MAX_CHAIN):
            found = self._zone.lookup(target, type_)
            if found is None:
                query = dns.message.make_query(target, type_)
                wire = await self._forward(query.to_wire(), tcp=False)
                with suppress(dns.exception.DNSException):
                    if wire:
                        response.answer.extend(dns.message.from_wire(wire).answer)
                return
            _add(response.answer, found.records)
            if not found.cname:
                if found.code == NXDOMAIN:
                    response.set_rcode(dns.rcode.NXDOMAIN)
                return
            target = found.cname

    def _wire(self, response: dns.message.Message, query: dns.message.Message, tcp: bool) -> bytes:
        """Cut to what the client takes over UDP, with the flag that tells it to ask again over TCP."""
        size = 65535 if tcp else max(512, min(query.payload or 512, 4096))
        return bytes(response.to_wire(max_size=size, prefer_truncation=True))

    # -- upstream ---------------------------------------------------------------------------------------

    async def _forward(self, wire: bytes, *, tcp: bool) -> bytes | None:
        """The first upstream's answer; each has its time-out. None when none answers."""
        if self._pending >= MAX_PENDING:
            return None
        self._pending += 1
        try:
            for server in self._upstreams():
                with suppress(OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                    async with asyncio.timeout(UPSTREAM_SECONDS):
                        return await (_ask_tcp(server, wire) if tcp else _ask_udp(server, wire))
                metrics.count("sampan_dns_upstream_failures", server=server)
            return None
        finally:
            self._pending -= 1


def _failure(query: dns.message.Message, code: int) -> dns.message.Message:
    response = dns.message.make_response(query, recursion_available=True)
    response.set_rcode(dns.rcode.Rcode(code))
    return response


def _format_error(wire: bytes) -> bytes | None:
    """A header with the query's id, QR and FORMERR; nothing to an unreadable header or to a response."""
    if len(wire) < 12 or wire[2] & 0x80:
        return None
    return wire[:2] + bytes((0x80, dns.rcode.FORMERR)) + bytes(8)


def _add(section: list[dns.rrset.RRset], records: list[Record]) -> None:
    by_name: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        by_name.setdefault((record.name, record.type), []).append(record)
    for (name, type_), group in by_name.items():
        section.append(dns.rrset.from_text(f"{name}.", group[0].ttl, "IN", type_, *(r.data for r in group)))


async def _ask_udp(server: str, wire: bytes) -> bytes:
    """Over a socket of its own, connected: a fresh source port, and answers from that server alone."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as connection:
        connection.setblocking(False)
        connection.connect((server, PORT))
        await loop.sock_sendall(connection, wire)
        while True:
            answer = await loop.sock_recv(connection, 65535)
            if answer[:2] == wire[:2]:
                return answer


async def _ask_tcp(server: str, wire: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(server, PORT)
    try:
        writer.write(struct.pack("!H", len(wire)) + wire)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        return await reader.readexactly(length)
    finally:
        writer.close()


# -- listening ------------------------------------------------------------------------------------------


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, responder: Responder) -> None:
        self._responder = responder
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # uvloop's is no subclass of it

    def datagram_received(self, data: bytes, peer: tuple[str | object, int]) -> None:
        task = asyncio.get_running_loop().create_task(self._reply(data, peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reply(self, data: bytes, peer: tuple[str | object, int]) -> None:
        answer = await _guarded(self._responder, data, tcp=False)
        if answer and not self._transport.is_closing():
            self._transport.sendto(answer, peer)


async def _guarded(responder: Responder, data: bytes, *, tcp: bool) -> bytes | None:
    try:
        return await responder.answer(data, tcp=tcp)
    except Exception:  # one odd query must not end the service of all others
        metrics.count("sampan_dns_errors")
        _log.exception("query failed")
        return None


async def serve(responder: Responder, address: str, port: int = PORT) -> None:
    """UDP and TCP, until cancelled. OSError when the address is taken."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.TimeoutError):
            while True:
                async with asyncio.timeout(10):
                    (length,) = struct.unpack("!H", await reader.readexactly(2))
                    data = await reader.readexactly(length)
                answer = await _guarded(responder, data, tcp=True)
                if answer is None:
                    break
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(connection, address, port)
    try:
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(responder), local_addr=(address, port))
        try:
            await asyncio.Event().wait()
        finally:
            transport.close()
    finally:
        server.close()
