"""What probes and lifecycle hooks do inside or against a container: exec, httpGet, tcpSocket, sleep.

Each raises HookFailure with upstream's wording when it does not succeed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp

from kubelet.docker.runtime import DockerRuntime
from kubelet.pods.model import Container, find_container

_OUTPUT_BYTES = 10 * 1024
_USER_AGENT = "kube-probe/1.35"


class HookFailure(Exception):
    pass


class Hooks:
    def __init__(self, runtime: DockerRuntime, host_ip: str) -> None:
        self._runtime, self._host_ip = runtime, host_ip
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def run(self, pod: Mapping[str, Any], container: Container, handler: Mapping[str, Any]) -> None:
        """One handler, without a time limit of its own."""
        if handler.get("exec") is not None:
            await self.exec(container, handler["exec"].get("command") or [])
        elif handler.get("httpGet") is not None:
            await self.http(pod, container, handler["httpGet"])
        elif handler.get("tcpSocket") is not None:
            await self.tcp(pod, container, handler["tcpSocket"])
        elif handler.get("sleep") is not None:
            await asyncio.sleep(int(handler["sleep"].get("seconds") or 0))
        else:
            raise HookFailure(f"handler {', '.join(handler)} is not supported on this node")

    async def exec(self, container: Container, command: list[str]) -> None:
        exec_id = await self._runtime.exec_create(
            container.id, command, stdin=False, stdout=True, stderr=True, tty=False
        )
        stream = await self._runtime.exec_start(exec_id, tty=False)
        output = b""
        try:
            async for _, data in stream.frames():
                output = (output + data)[:_OUTPUT_BYTES]
        finally:
            stream.close()
        code = await self._runtime.exec_exit_code(exec_id)
        if code:
            text = output.decode(errors="replace").strip()
            raise HookFailure(text or f"command terminated with exit code {code}")

    async def http(self, pod: Mapping[str, Any], container: Container, get: Mapping[str, Any]) -> None:
        scheme = (get.get("scheme") or "HTTP").lower()
        host = get.get("host") or self._address(pod)
        port = _port(pod, container, get.get("port"))
        path = get.get("path") or "/"
        url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{path if path[0] == '/' else '/' + path}"
        headers = {"User-Agent": _USER_AGENT, "Accept": "*/*"}
        for header in get.get("httpHeaders") or []:
            headers[header["name"]] = header.get("value") or ""
        try:
            async with self._http().get(url, headers=headers, ssl=False, allow_redirects=False) as answer:
                await answer.content.read(_OUTPUT_BYTES)
        except aiohttp.ClientConnectorError as error:
            why = (error.os_error.strerror or str(error)).lower()
            raise HookFailure(f'Get "{url}": dial tcp {host}:{port}: connect: {why}') from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise HookFailure(f'Get "{url}": {error or "EOF"}') from error
        if not 200 <= answer.status < 400:
            raise HookFailure(f"HTTP probe failed with statuscode: {answer.status}")

    async def tcp(self, pod: Mapping[str, Any], container: Container, socket: Mapping[str, Any]) -> None:
        host = socket.get("host") or self._address(pod)
        port = _port(pod, container, socket.get("port"))
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise HookFailure(f"dial tcp {host}:{port}: connect: {why}") from error
        writer.close()

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            # Each probe is a fresh connection: it asks whether one can be made.
            connector = aiohttp.TCPConnector(force_close=True, limit=0)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _address(self, pod: Mapping[str, Any]) -> str:
        if pod["spec"].get("hostNetwork"):
            return self._host_ip
        return str((pod.get("status") or {}).get("podIP") or "")


def _port(pod: Mapping[str, Any], container: Container, port: Any) -> int:
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    spec = find_container(pod, container.name) or {}
    for named in spec.get("ports") or []:
        if named.get("name") == port:
            return int(named["containerPort"])
    raise HookFailure(f"couldn't find port: {port}")
