"""Many watchers of one resource, and what a large list costs: what a cluster of many agents asks of the server."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import time
from pathlib import Path
from typing import Any

from tests.bench import api, load, memory
from tests.bench.report import Report
from tests.harness.apiserver import ApiServer
from tests.harness.etcd import EtcdServer
from tests.harness.eventually import NeverHappened, eventually
from tests.harness.pki import Pki

WATCHERS, PER_SECOND, SECONDS = 1000, 100, 10
TIMED = 100  # of the watchers, evenly among them
WRITERS = 32  # more than ever wait for an answer at once, so that the events come when they should
_GROUPS = 30  # in which the others read by turns
PODS = 50_000
_MAPS = "/api/v1/namespaces/default/configmaps"
_ADDED = b'{"type":"ADDED"'
_SENT = re.compile(rb'"sent":"([0-9.]+)"')


async def measure(report: Report, directory: Path) -> None:
    etcd = EtcdServer(directory / "etcd", Pki(directory / "pki"))
    server = load.as_up_has_it(directory, etcd)
    etcd.start()
    try:
        server.start()
        try:
            await _watchers(report, server)
            await _large_list(report, server)
        finally:
            server.stop()
    finally:
        etcd.stop()


class Listener(asyncio.Protocol):
    """Counts the events of a watch. If `timed`, it reads as they come and notes how late each was; the others let their
    socket collect for a while, until `_drain` calls, for a thousand of them reading each record would take more of the
    machine than the server does."""

    def __init__(self, request: bytes, *, timed: bool) -> None:
        self.events = 0
        self.late: list[float] = []
        self.timed = timed
        self._request = request
        self._rest = b""
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_read_buffer_limits(high=1, low=0)  # paused means that the socket collects
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        text = self._rest + data
        if self.timed:
            now, end = time.perf_counter(), text.rfind(b"\n") + 1
            self.late += [now - float(sent) for sent in _SENT.findall(text, 0, end)]
            self.events, self._rest = len(self.late), text[end:]
        else:
            self.events += text.count(_ADDED)
            self._rest = text[1 - len(_ADDED) :]

    def pause(self) -> None:
        self._transport.pause_reading()

    def resume(self) -> None:
        self._transport.resume_reading()


async def _drain(listeners: list[Listener]) -> None:
    """Let each read what has come once in a second, some of them at a time."""
    step = len(listeners) // _GROUPS
    for listener in listeners:
        listener.pause()
    while True:
        for start in range(0, len(listeners), step):
            for listener in listeners[start : start + step]:
                listener.resume()
            await asyncio.sleep(1 / _GROUPS)
            for listener in listeners[start : start + step]:
                listener.pause()


async def _watchers(report: Report, server: ApiServer) -> None:
    context, host = load.client_context(server), f"127.0.0.1:{server.port}"
    watch = load.request("GET", f"{_MAPS}?watch=1&sendInitialEvents=false&resourceVersionMatch=NotOlderThan", host)
    listeners = [Listener(watch, timed=n % (WATCHERS // TIMED) == 0) for n in range(WATCHERS)]
    before = memory.rss(server.pid)
    transports = [await _connect(server.port, context, listener) for listener in listeners]
    writers = [await load.Connection.open(server.port, context) for _ in range(WRITERS)]
    await asyncio.sleep(2)
    each = (memory.rss(server.pid) - before) / WATCHERS
    draining = asyncio.create_task(_drain([listener for listener in listeners if not listener.timed]))
    numbers = iter(range(PER_SECOND * SECONDS))
    used, own, began = memory.cpu([server.pid]), time.process_time(), time.perf_counter()

    async def write(connection: load.Connection) -> None:
        for number in numbers:
            await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.perf_counter()))
            data = {"metadata": {"name": f"e-{number}"}, "data": {"sent": f"{time.perf_counter():.6f}"}}
            code, body = await connection.send(load.request("POST", _MAPS, host, json.dumps(data).encode()))
            if code != 201:
                raise RuntimeError(f"a write was answered {code}: {body[:200]!r}")

    await asyncio.gather(*(write(connection) for connection in writers))
    seconds = time.perf_counter() - began
    total = WATCHERS * PER_SECOND * SECONDS
    with contextlib.suppress(NeverHappened):
        await eventually(lambda: sum(li.events for li in listeners) >= total, "all have heard all", pause=0.1)
    used, own = memory.cpu([server.pid]) - used, time.process_time() - own
    draining.cancel()
    late = sorted(second for listener in listeners for second in listener.late)
    lost = total - sum(listener.events for listener in listeners)
    report.add(
        f"{WATCHERS:,} watchers, {PER_SECOND} events/s each",
        f"{total / WATCHERS / seconds:.0f} events/s, p50 {late[len(late) // 2] * 1000:.0f} ms, p99 {late[int(len(late) * 0.99)] * 1000:.0f} ms, {lost} missing, "
        f"{used / seconds * 100:.0f} % CPU (the generator {own / seconds * 100:.0f} %), {each / 1000:.0f} kB each",
        goal="p99 ≤ 250 ms",
    )  # fmt: skip
    for transport in transports:
        transport.abort()
    for connection in writers:
        connection.close()


async def _connect(port: int, context: ssl.SSLContext, listener: Listener) -> asyncio.Transport:
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(lambda: listener, "127.0.0.1", port, ssl=context))[0]


async def _large_list(report: Report, server: ApiServer) -> None:
    context, host = load.client_context(server), f"127.0.0.1:{server.port}"
    path = "/api/v1/namespaces/default/pods"
    await load.make_account(server)
    await load.run(
        server.port, context, lambda n: load.request("POST", path, host, api.pod(n)), requests=PODS, expect=201
    )
    await asyncio.sleep(2)
    before = memory.rss(server.pid)
    highest = before

    async def look() -> None:
        nonlocal highest
        while True:
            highest = max(highest, memory.rss(server.pid))
            await asyncio.sleep(0.01)

    looking = asyncio.create_task(look())
    data = load.request("GET", path, host)
    result = await load.run(server.port, context, lambda _: data, requests=3, connections=1)
    looking.cancel()
    report.add(
        f"RSS while LISTing {PODS:,} pods", f"+{memory.mb(highest - before)} on {memory.mb(before)}, "
        f"{result.bytes / result.seconds / 1e6:.0f} MB/s", goal="≤ +50 MB",
    )  # fmt: skip
