"""`kubectl port-forward`: local ports that lead into a pod.

All connections share one to the apiserver, which speaks SPDY: two streams per connection, data and error. A client
that ends its half of a connection ends the pod's half.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

import typer

from api.builtin import PODS
from api.meta import Obj
from client.spdy import CANCEL, Data, Framing, Pinged, Reset
from kubectl import options as opt
from kubectl.failures import CliError
from kubectl.pods import named, pod_of
from kubectl.raw import spdy
from kubectl.session import Session, run, say

_CHUNK = 32 * 1024


def command(
    arguments: opt.Arguments = None,
    address: Annotated[str, typer.Option("--address", help="Addresses to listen on, comma separated")] = "localhost",
) -> None:
    words = arguments or []
    if len(words) < 2:
        raise CliError("TYPE/NAME and list of ports are required for port-forward")
    run(lambda session: _forward(session, words[0], words[1:], address.split(",")))


async def _forward(session: Session, target: str, wanted: list[str], addresses: list[str]) -> int:
    resource, name = await named(session, [target])
    pod = await pod_of(session, [target], announce=False)
    phase = (pod.get("status") or {}).get("phase")
    if phase != "Running":
        raise CliError(f"unable to forward port because pod is not running. Current status={phase}")
    service = await session.get(resource, name, session.namespace) if resource.kind == "Service" else None
    ports = [split(text, pod, service) for text in wanted]
    path = PODS.path(pod["metadata"]["namespace"], pod["metadata"]["name"], "portforward")
    tunnel = _Tunnel(*await spdy(session, path, "portforward.k8s.io"))
    servers = [s for local, remote in ports for s in await tunnel.listen(addresses, local, remote)]
    try:
        await tunnel.run()
    finally:
        for server in servers:
            server.close()
    raise CliError("lost connection to pod")


def split(text: str, pod: Obj, service: Obj | None) -> tuple[int, int]:
    """(local, the pod's) of `8080`, `80:8080`, `:8080` or `80:http`; a service's port stands for its target."""
    local, colon, remote = text.rpartition(":")
    if local and not local.isdigit():
        raise CliError(f"error parsing local port '{local}': strconv.ParseUint: parsing \"{local}\": invalid syntax")
    of_service = remote
    if service is not None:
        ports = service["spec"].get("ports") or []
        found = next((p for p in ports if remote in (str(p["port"]), p.get("name"))), None)
        if found is None:
            raise CliError(f"Service {service['metadata']['name']} does not have a service port {remote}")
        of_service = str(found["port"])
        remote = str(found.get("targetPort") or found["port"])
        if service["spec"].get("clusterIP") == "None":
            remote = of_service
    number = int(remote) if remote.isdigit() else _named_port(pod, remote)
    if colon:
        return int(local or 0), number
    return (int(of_service) if of_service.isdigit() else number), number


def _named_port(pod: Obj, name: str) -> int:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or []:
            if port.get("name") == name:
                return int(port["containerPort"])
    raise CliError(f"Pod '{pod['metadata']['name']}' does not have a named port '{name}'")


@dataclass(slots=True)
class _Connection:
    writer: asyncio.StreamWriter
    failure: bytearray = field(default_factory=bytearray)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class _Tunnel:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer, self._framing = reader, writer, Framing(client=True)
        self._data: dict[int, _Connection] = {}
        self._errors: dict[int, _Connection] = {}
        self._ids = itertools.count()

    async def listen(self, addresses: list[str], local: int, remote: int) -> list[asyncio.Server]:
        """`localhost` is both loopbacks, of which one is enough."""
        servers: list[asyncio.Server] = []
        failure = OSError("no address to listen on")
        for address in itertools.chain.from_iterable(
            ("127.0.0.1", "::1") if a == "localhost" else (a,) for a in addresses
        ):
            try:
                server = await asyncio.start_server(partial(self._connect, remote), address, local)
            except OSError as error:
                failure = error
                continue
            local = server.sockets[0].getsockname()[1]
            shown = f"[{address}]" if ":" in address else address
            print(f"Forwarding from {shown}:{local} -> {remote}", flush=True)
            servers.append(server)
        if not servers:
            raise CliError(f"unable to listen on any of the requested ports: [{local} {remote}]: {failure}")
        return servers

    async def run(self) -> None:
        """Until the other side closes."""
        with contextlib.suppress(OSError):
            while data := await self._reader.read(_CHUNK):
                for event in self._framing.feed(data):
                    match event:
                        case Data(stream, piece, fin) if stream in self._data:
                            await _write(self._data[stream], piece, fin)
                        case Data(stream, piece) if stream in self._errors:
                            self._errors[stream].failure += piece
                        case Reset(stream, _) if stream in self._data:
                            await _write(self._data[stream], b"", True)
                        case Pinged(answer) if answer:
                            await self._out(answer)

    async def _out(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def _connect(self, remote: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        local = writer.get_extra_info("sockname")[1]
        print(f"Handling connection for {local}", flush=True)
        connection = _Connection(writer)
        headers = {"port": str(remote), "requestid": str(next(self._ids))}
        with contextlib.suppress(OSError):
            error, opening = self._framing.open({**headers, "streamtype": "error"})
            stream, more = self._framing.open({**headers, "streamtype": "data"})
            self._errors[error], self._data[stream] = connection, connection
            await self._out(opening + more + self._framing.data(error, b"", fin=True))
            sending = asyncio.create_task(self._send(stream, reader))
            await connection.ended.wait()
            sending.cancel()
            await self._out(self._framing.reset(stream, CANCEL))
            del self._errors[error], self._data[stream]
        if connection.failure:
            say(f"an error occurred forwarding {local} -> {remote}: {connection.failure.decode(errors='replace')}")
        writer.close()

    async def _send(self, stream: int, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                await self._out(self._framing.data(stream, data))
        await self._out(self._framing.data(stream, b"", fin=True))


async def _write(connection: _Connection, data: bytes, fin: bool) -> None:
    try:
        connection.writer.write(data)
        await connection.writer.drain()
    except OSError:
        fin = True  # the local client has gone
    if fin:
        connection.ended.set()
