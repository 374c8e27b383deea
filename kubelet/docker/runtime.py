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
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker.errors  # type: ignore[import-untyped]  # the package has no types
import requests.exceptions
from docker.api.client import APIClient  # type: ignore[import-untyped]  # the same

from kubelet.docker import streams as docker_streams
from kubelet.docker.labels import (
    CLUSTER_LABEL,
    CONTAINER_NAME,
    GRACE,
    IMAGE,
    NODE_LABEL,
    POD_IP,
    POD_NAME,
    POD_NAMESPACE,
    POD_UID,
    RESOURCES,
    RESTART_COUNT,
    SANDBOX_ID,
    SPEC_HASH,
    TERMINATION_LOG,
    TERMINATION_POLICY,
    USER,
)
from kubelet.docker.streams import Stream, StreamError
from kubelet.pods import resize_plan
from kubelet.pods.model import SANDBOX, Container

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


@dataclass(frozen=True, slots=True)
class Event:
    action: str
    container_id: str
    attributes: Mapping[str, str]


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
        return {c["Id"]: _state(c["State"]) for c in found}

    async def inspect(self, container_id: str) -> Container:
        """Missing when there is none of that id, or it is not ours."""
        found = await self._run(self._look, lambda c: c.inspect_container(container_id))
        labels = found["Config"].get("Labels") or {}
        if any(labels.get(k) != v for k, v in self.labels.items()):
            raise Missing(f"container {container_id} belongs to someone else")
        return _container(found)

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

    async def find(self, name: str) -> str:
        """The id of our container of that name, or ""."""
        try:
            return (await self.inspect(name)).id
        except Missing:
            return ""

    # Streams of a container.

    async def logs(self, container_id: str, params: Mapping[str, str]) -> Stream:
        return await self.stream("GET", f"/containers/{container_id}/logs", params)

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


def _state(word: str) -> str:
    if word in ("running", "paused", "restarting"):
        return "running"
    return "created" if word == "created" else "exited"


def parse_docker_time(text: str | None) -> datetime | None:
    """RFC 3339 with nanoseconds. Docker's zero time is None."""
    if not text or text.startswith("0001-"):
        return None
    main, _, rest = text.rstrip("Z").partition(".")
    micros = (rest[:6] if rest else "0").ljust(6, "0")
    return datetime.fromisoformat(f"{main}.{micros}").replace(tzinfo=UTC)


def _container(found: Mapping[str, Any]) -> Container:
    labels: Mapping[str, str] = found["Config"]["Labels"]
    state: Mapping[str, Any] = found["State"]
    host: Mapping[str, Any] = found.get("HostConfig") or {}
    kind, failed = _state(state["Status"]), False
    if kind == "created" and (state.get("Error") or state.get("ExitCode")):
        kind, failed = "exited", True
    created = parse_docker_time(found.get("Created"))
    networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
    own_address = labels.get(POD_IP, "")
    ips = (
        [own_address]
        if own_address and kind == "running"
        else [
            address
            for network in networks.values()
            for address in (network.get("IPAddress"), network.get("GlobalIPv6Address"))
            if address
        ]
    )
    return Container(
        id=found["Id"],
        pod_uid=labels.get(POD_UID, ""),
        pod_name=labels.get(POD_NAME, ""),
        pod_namespace=labels.get(POD_NAMESPACE, ""),
        name=labels.get(CONTAINER_NAME, SANDBOX),
        attempt=int(labels.get(RESTART_COUNT) or 0),
        state=kind,
        sandbox_id=labels.get(SANDBOX_ID, ""),
        created_at=created,
        started_at=created if failed else parse_docker_time(state.get("StartedAt")),
        finished_at=created if failed else parse_docker_time(state.get("FinishedAt")),
        exit_code=int(state.get("ExitCode") or 0) if kind == "exited" else 0,
        oom_killed=bool(state.get("OOMKilled")),
        start_failed=failed,
        error=str(state.get("Error") or ""),
        image=found["Config"].get("Image") or "",
        image_id=labels.get(IMAGE) or (f"docker://{found['Image']}" if found.get("Image") else ""),
        grace=int(labels.get(GRACE) or 30),
        ips=tuple(ips),
        own_address=own_address,
        pid=int(state.get("Pid") or 0),
        host_network=host.get("NetworkMode") == "host",
        termination_log=labels.get(TERMINATION_LOG, ""),
        message_from_logs=labels.get(TERMINATION_POLICY) == "FallbackToLogsOnError",
        spec_hash=labels.get(SPEC_HASH, ""),
        resources=labels.get(RESOURCES, ""),
        applied=resize_plan.applied(host),
        runtime=host.get("Runtime") or "",
        cgroup_parent=host.get("CgroupParent") or "",
        user=labels.get(USER, ""),
        stop_signal=found["Config"].get("StopSignal") or "SIGTERM",
        tty=bool(found["Config"].get("Tty")),
        open_stdin=bool(found["Config"].get("OpenStdin")),
        layer=((found.get("GraphDriver") or {}).get("Data") or {}).get("UpperDir") or "",
        log_path=found.get("LogPath") or "",
    )
