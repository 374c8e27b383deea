"""The apiserver alone: create, get, list and memory, each beside bare etcd doing the same.

Bare etcd is the same etcd, asked through its own gRPC API from this process with as many in flight; answers are
not even read.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc.aio

from apiserver.storage import etcd_messages as pb
from tests.bench import load, memory
from tests.bench.report import Report
from tests.harness.apiserver import ApiServer
from tests.harness.etcd import EtcdServer
from tests.harness.pki import Pki

CONNECTIONS = 16
PODS = 19_000
_PATH = "/api/v1/namespaces/default/pods"


def pod(number: int) -> bytes:
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"pod-{number}", "labels": {"app": "bench", "slot": str(number % 100)}},
            "spec": {
                "schedulerName": "nobody",
                "containers": [
                    {
                        "name": "main",
                        "image": "registry.example/app:1",
                        "ports": [{"containerPort": 8080}],
                        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}},
                    }
                ],
            },
        }
    ).encode()


@asynccontextmanager
async def bare_etcd(etcd: EtcdServer) -> AsyncIterator[grpc.aio.Channel]:
    files = await asyncio.to_thread(
        lambda: [Path(f).read_bytes() for f in (etcd.ca_file, etcd.key_file, etcd.cert_file)]
    )
    credentials = grpc.ssl_channel_credentials(*files)
    options = [("grpc.max_receive_message_length", -1)]
    async with grpc.aio.secure_channel(f"127.0.0.1:{etcd.port}", credentials, options) as channel:
        yield channel


def _put(key: bytes, value: bytes) -> object:
    return pb.TxnRequest(success=[pb.RequestOp(request_put=pb.PutRequest(key=key, value=value))])


async def _rate(calls: int, call: object) -> float:
    """Calls per second with CONNECTIONS in flight."""
    numbers = iter(range(calls))

    async def worker() -> None:
        for number in numbers:
            await call(number)  # type: ignore[operator]  # any coroutine function of a number

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
    return calls / (time.perf_counter() - began)


async def measure(report: Report, directory: Path) -> None:
    pki = Pki(directory / "pki")
    etcd = EtcdServer(directory / "etcd", pki)
    server = load.as_up_has_it(directory, etcd)
    etcd.start()
    try:
        server.start()
        try:
            await _measure(report, etcd, server)
        finally:
            server.stop()
    finally:
        etcd.stop()


async def _measure(report: Report, etcd: EtcdServer, server: ApiServer) -> None:
    context = load.client_context(server)
    await load.make_account(server)
    host = f"127.0.0.1:{server.port}"
    idle = memory.rss(server.pid)

    async def send(name: str, path: str, count: int, expect: int = 200) -> load.Result:
        data = load.request("GET", path, host)
        result = await load.run(server.port, context, lambda _: data, requests=count, expect=expect)
        print(f"    {name}: p50 {result.percentile(0.5) * 1000:.1f} ms, p99 {result.percentile(0.99) * 1000:.1f} ms")
        return result

    async with bare_etcd(etcd) as channel:
        put = channel.unary_unary("/etcdserverpb.KV/Txn", pb.TxnRequest.SerializeToString)
        read = channel.unary_unary("/etcdserverpb.KV/Range", pb.RangeRequest.SerializeToString)
        value = pod(0) * 3  # as large as a stored pod with its defaults
        puts = await _rate(3000, lambda n: put(_put(b"/bench/%d" % n, value)))
        gets = await _rate(3000, lambda n: read(pb.RangeRequest(key=b"/bench/%d" % n)))

        used = memory.cpu([server.pid])
        created = await load.run(
            server.port, context, lambda n: load.request("POST", _PATH, host, pod(n)), requests=PODS, expect=201
        )
        used = memory.cpu([server.pid]) - used
        report.add(
            f"create pods, {CONNECTIONS} connections, TLS",
            f"{created.per_second:,.0f} /s, {used / PODS * 1000:.2f} ms CPU each",
            bare=f"{puts:,.0f} puts/s", ratio=created.per_second / puts, goal="≥ 1,000 /s",
        )  # fmt: skip
        got = await send("GET", f"{_PATH}/pod-7", 20_000)
        report.add(
            f"GET one pod, {CONNECTIONS} connections", f"{got.per_second:,.0f} /s",
            bare=f"{gets:,.0f} ranges/s", ratio=got.per_second / gets, goal="≥ 5,000 /s",
        )  # fmt: skip

        end = b"/registry/core/pods0"
        page = await _rate(100, lambda _: read(pb.RangeRequest(key=b"/registry/core/pods/", range_end=end, limit=500)))
        some = await send("LIST 500", f"{_PATH}?limit=500", 1500)
        report.add(
            f"LIST 500 of {PODS:,} pods", f"{some.per_second:,.0f} /s",
            bare=f"{page:,.0f} /s", ratio=some.per_second / page, goal="≥ 500 /s",
        )  # fmt: skip
        whole = await _rate(10, lambda _: read(pb.RangeRequest(key=b"/registry/core/pods/", range_end=end)))
        everything = await send("LIST all", _PATH, 60)
        report.add(
            f"LIST {PODS:,} pods", f"{everything.per_second:,.1f} /s",
            bare=f"{whole:,.1f} /s", ratio=everything.per_second / whole, goal="≥ 15 /s",
        )  # fmt: skip
    report.add(
        f"apiserver RSS idle / after {PODS:,} pods",
        f"{memory.mb(idle)} / {memory.mb(memory.rss(server.pid))}", goal="≤ 110 MB / ≤ 350 MB",
    )  # fmt: skip
