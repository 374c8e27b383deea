"""Docker, as the kubelet needs it. The only module that uses the docker package.

The package is synchronous: calls run in two small pools of threads, one for work (create, start, kill, remove;
its size bounds what the daemon is asked to do at once) and one for looking, so that looking never queues behind
work. Streams are read on the event loop by docker_streams. Only containers with this cluster's and this node's
labels are seen, and no other is ever touched.

Every failure leaves as one of: Missing (no such container, image or network), Refused (the daemon said no),
Unreachable (it is away or hangs: nothing is known of the outcome).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker.errors  # type: ignore[import-untyped]  # the package has no types
import requests.exceptions
from docker.api.client import APIClient  # type: ignore[import-untyped]  # the same

from kubelet.docker import inspection
from kubelet.docker import streams as docker_streams
from kubelet.docker.inspection import Event
from kubelet.docker.labels import CLUSTER_LABEL, NODE_LABEL
from kubelet.docker.streams import Stream, StreamError
from kubelet.pods.model import Container

_CALL_SECONDS = 120
_WORKERS, _LOOKERS = 6, 3


class RuntimeFailure(Exception):
    """Docker could not do what was asked."""


class Missing(RuntimeFailure):
    pass


class Refused(RuntimeFailure):
    pass


class Unreachable(RuntimeFailure):
    pass


class DockerRuntime:
    def __init__(self, host: str, cluster: str, node: str) -> None:
        self.host, self.cluster, self.node = host, cluster, node
        self._client: APIClient | None = None
        self._work = ThreadPoolExecutor(_WORKERS, "docker-work")
        self._look = ThreadPoolExecutor(_LOOKERS, "docker-look")

    @property
    def labels(self) -> dict[str, str]:
        return {CLUSTER_LABEL: self.cluster, NODE_LABEL: self.node}

    def close(self) -> None:
        for pool in (self._work, self._look):
            pool.shutdown(wait=False, cancel_futures=True)
        if self._client is not None:
            self._client.close()

    # The daemon.

    async def info(self) -> dict[str, Any]:
        return dict(await self._run(self._look, lambda c: c.info()))

    async def ping(self) -> None:
        await self._run(self._look, lambda c: c.ping())

    async def events(self, since: float) -> AsyncIterator[Event]:
        """Starts, ends and removals of our containers from `since` (Unix time) on, until the connection
        breaks. Unreachable when it cannot be opened."""
        filters = {
            "type": ["container"],
            "event": ["start", "die", "destroy"],
            "label": [f"{k}={v}" for k, v in self.labels.items()],
        }
        params = {"filters": json.dumps(filters), "since": f"{since:.9f}"}
        stream = await self.stream("GET", "/events", params)
        try:
            async for line in stream.lines():
                actor = line.get("Actor") or {}
                yield Event(line.get("Action", ""), actor.get("ID", ""), actor.get("Attributes") or {})
        except (OSError, ValueError) as error:
            raise Unreachable(f"the stream of Docker events broke: {error}") from error
        finally:
            stream.close()

    # Containers.

    async def containers(self) -> dict[str, str]:
        """Our containers: id → created, running or exited, as the daemon's list says."""
        filters = {"label": [f"{k}={v}" for k, v in self.labels.items()]}
        found = await self._run(self._look, lambda c: c.containers(all=True, filters=filters))
        return {c["Id"]: inspection.state(c["State"]) for c in found}

    async def inspect(self, container_id: str) -> Container:
        """Missing when there is none of that id, or it is not ours."""
        found = await self._run(self._look, lambda c: c.inspect_container(container_id))
        labels = found["Config"].get("Labels") or {}
        if any(labels.get(k) != v for k, v in self.labels.items()):
            raise Missing(f"container {container_id} belongs to someone else")
        return inspection.container(found)

    async def create(self, name: str, config: Mapping[str, Any]) -> str:
        created = await self._run(self._work, lambda c: c.create_container_from_config(dict(config), name=name))
        return str(created["Id"])

    async def start(self, container_id: str) -> None:
        await self._run(self._work, lambda c: c.start(container_id))

    async def kill(self, container_id: str, signal: str) -> None:
        """Quietly does nothing when it does not run."""
        try:
            await self._run(self._work, lambda c: c.kill(container_id, signal))
        except Missing:
            return
        except Refused as error:
            if "is not running" not in str(error):
                raise

    async def update(self, container_id: str, resources: Mapping[str, int]) -> None:
        """Hold a container that runs to other bounds: fields of HostConfig."""

        def change(client: APIClient) -> None:
            url = client._url("/containers/{0}/update", container_id)
            client._raise_for_status(client._post_json(url, data=dict(resources)))

        await self._run(self._work, change)

    async def remove(self, container_id: str) -> None:
        """By force, with its anonymous volumes. Quiet when it is gone or going."""
        try:
            await self._run(self._work, lambda c: c.remove_container(container_id, v=True, force=True))
        except Missing:
            return
        except Refused as error:
            if "is already in progress" not in str(error):
                raise

    async def knows(self, container_id: str) -> bool:
        """Whether there is a container whose id begins so, ours or not."""
        try:
            await self._run(self._look, lambda c: c.inspect_container(container_id))
        except Missing:
            return False
        return True

    async def find(self, name: str) -> Container | None:
        """Our container of that name."""
        try:
            return await self.inspect(name)
        except Missing:
            return None

    # Streams of a container.

    async def attach(self, container_id: str, params: Mapping[str, str]) -> Stream:
        return await self.stream("POST", f"/containers/{container_id}/attach", params, upgrade=True)

    async def exec_create(
        self, container_id: str, command: list[str], *, stdin: bool, stdout: bool, stderr: bool, tty: bool
    ) -> str:
        made = await self._run(
            self._look,
            lambda c: c.exec_create(container_id, command, stdin=stdin, stdout=stdout, stderr=stderr, tty=tty),
        )
        return str(made["Id"])

    async def exec_start(self, exec_id: str, *, tty: bool) -> Stream:
        body = {"Detach": False, "Tty": tty}
        return await self.stream("POST", f"/exec/{exec_id}/start", None, body, upgrade=True)

    async def exec_exit_code(self, exec_id: str) -> int | None:
        found = await self._run(self._look, lambda c: c.exec_inspect(exec_id))
        return None if found.get("Running") else int(found.get("ExitCode") or 0)

    async def exec_hang_up(self, exec_id: str, container_id: str) -> None:
        """Tell what still runs that its terminal is gone. Docker itself would let it run on for ever."""
        await self.exec_signal(exec_id, container_id, signal.SIGHUP)

    async def exec_signal(self, exec_id: str, container_id: str, number: signal.Signals) -> bool:
        """Signal a command and what it started. True when it was told, or has ended."""
        found = await self._run(self._look, lambda c: c.exec_inspect(exec_id))
        pid = int(found.get("Pid") or 0)
        if not found.get("Running"):
            return pid != 0  # else it may be about to start
        return pid != 0 and await asyncio.to_thread(_signal, pid, container_id, number)

    async def exec_resize(self, exec_id: str, width: int, height: int) -> None:
        await self._run(self._look, lambda c: c.exec_resize(exec_id, height=height, width=width))

    async def resize(self, container_id: str, width: int, height: int) -> None:
        await self._run(self._look, lambda c: c.resize(container_id, height=height, width=width))

    # The network.

    async def network(self, name: str) -> dict[str, Any] | None:
        try:
            return dict(await self._run(self._look, lambda c: c.inspect_network(name)))
        except Missing:
            return None

    async def make_network(self, body: Mapping[str, Any]) -> None:
        def make(client: APIClient) -> None:
            answer = client._post_json(client._url("/networks/create"), data=dict(body))
            client._raise_for_status(answer)

        await self._run(self._work, make)

    async def remove_network(self, name: str) -> None:
        await self._run(self._work, lambda c: c.remove_network(name))

    async def engine_version(self) -> tuple[int, ...]:
        found = await self._run(self._look, lambda c: c.version(False))
        digits = str(found.get("Version", "0")).split("+")[0].split("-")[0].split(".")
        return tuple(int(part) for part in digits if part.isdigit())

    # How it is asked; kubelet/docker/images.py asks in the same ways.

    async def look(self, call: Callable[[APIClient], Any]) -> Any:
        return await self._run(self._look, call)

    async def work(self, call: Callable[[APIClient], Any]) -> Any:
        return await self._run(self._work, call)

    def _connected(self) -> APIClient:
        if self._client is None:
            self._client = APIClient(base_url=self.host, version="auto", timeout=_CALL_SECONDS)
        return self._client

    async def _run(self, pool: ThreadPoolExecutor, call: Callable[[APIClient], Any]) -> Any:
        def guarded() -> Any:
            try:
                return call(self._connected())
            except docker.errors.NotFound as error:
                raise Missing(_explain(error)) from error
            except docker.errors.APIError as error:
                raise Refused(_explain(error)) from error
            except (docker.errors.DockerException, requests.exceptions.RequestException, OSError) as error:
                raise Unreachable(f"Docker at {self.host} does not answer: {error}") from error

        return await asyncio.get_running_loop().run_in_executor(pool, guarded)

    async def stream(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        upgrade: bool = False,
        headers: Mapping[str, str] | None = None,
        patience: float = docker_streams.HEAD_SECONDS,
    ) -> Stream:
        """`patience`: how many seconds the daemon may take to begin its answer."""
        version = self._client._version if self._client is not None else "1.41"
        try:
            return await docker_streams.open_stream(
                self.host, method, f"/v{version}{path}", params, body, upgrade=upgrade, headers=headers,
                patience=patience,
            )  # fmt: skip
        except StreamError as error:
            kind = {0: Unreachable, 404: Missing}.get(error.status, Refused)
            raise kind(str(error)) from error


def _signal(pid: int, container_id: str, number: signal.Signals) -> bool:
    """Only if the process is still one of the container's. It leads a session of its own: runc makes it so."""
    with contextlib.suppress(OSError):
        if container_id in Path(f"/proc/{pid}/cgroup").read_text():
            group = os.getpgid(pid)
            os.killpg(group, number) if group == pid else os.kill(pid, number)
    return True


def _explain(error: docker.errors.APIError) -> str:
    return str(error.explanation or error)
