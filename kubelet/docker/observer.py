"""What runs on the node, kept current: Docker events say what changed, a relist makes up for lost ones.

The observer holds the last known state of each of our containers and tells a listener which pod changed. One
container is inspected once per change, never polled. (Upstream's name: pod lifecycle event generator.)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from client import log
from client.backoff import Backoff
from client.clock import Clock
from kubelet.docker import inspection
from kubelet.docker.inspection import Event
from kubelet.docker.runtime import DockerRuntime, Missing, RuntimeFailure, Unreachable
from kubelet.logs import reading
from kubelet.pods.model import Container, PodContainers

_log = log.get("pleg")
RELIST_SECONDS = 60.0
_RECONNECT_SECONDS = 1.0
_LONGEST_PAUSE = 5.0
_MESSAGE_BYTES = 4096
_LOG_LINES, _LOG_BYTES = 80, 2048
_REMEMBERED = 500


class Observer:
    def __init__(self, runtime: DockerRuntime, clock: Clock) -> None:
        self._runtime, self._clock = runtime, clock
        self._changed: Callable[[str], None] = lambda _: None
        self._containers: dict[str, Container] = {}
        self._by_pod: dict[str, set[str]] = {}
        self._busy: set[str] = set()
        self._exits: dict[str, asyncio.Event] = {}
        self._gone: deque[str] = deque(maxlen=_REMEMBERED)
        self._listed = asyncio.Event()

    def on_change(self, changed: Callable[[str], None]) -> None:
        """`changed(pod uid)` is called after the state it speaks of is in place. It must not block."""
        self._changed = changed

    async def wait_listed(self) -> None:
        await self._listed.wait()

    def of_pod(self, uid: str) -> PodContainers:
        return PodContainers.of(self._containers[i] for i in self._by_pod.get(uid, ()))

    def pods(self) -> list[str]:
        return [uid for uid, ids in self._by_pod.items() if ids]

    def sandboxes(self) -> list[Container]:
        return [container for container in self._containers.values() if container.is_sandbox]

    def get(self, container_id: str) -> Container | None:
        return self._containers.get(container_id)

    @contextlib.contextmanager
    def own_work(self, container_id: str) -> Iterator[None]:
        """While we start a container ourselves, its events tell us nothing new."""
        self._busy.add(container_id)
        try:
            yield
        finally:
            self._busy.discard(container_id)

    async def refresh(self, container_id: str) -> Container | None:
        """Look at one container now. None when it is gone."""
        try:
            found = await self._runtime.inspect(container_id)
        except Missing:
            self.forget(container_id)
            return None
        before = self._containers.get(container_id)
        if before is not None and before.exited and not found.running:
            found = _ended_as(found, before)
        elif found.exited:
            found = replace(found, message=await self._last_words(found))
        self._put(found)
        return found

    async def _last_words(self, ended: Container) -> str:
        """The termination message: what it wrote to its file, or the end of its log where it asked for that."""
        message = await asyncio.to_thread(_read_message, ended.termination_log)
        if message or not ended.message_from_logs or ended.exit_code == 0:
            return message
        return await reading.last_words(ended, _LOG_LINES, _LOG_BYTES)

    def forget(self, container_id: str) -> None:
        """It is removed. A look that was under way meanwhile no longer counts: ids are never used again."""
        self._gone.append(container_id)
        gone = self._containers.pop(container_id, None)
        if gone is None:
            return
        ids = self._by_pod.get(gone.pod_uid, set())
        ids.discard(container_id)
        if not ids:
            self._by_pod.pop(gone.pod_uid, None)
        self._signal_exit(container_id)
        self._changed(gone.pod_uid)

    async def wait_exited(self, container_id: str, seconds: float | None = None) -> bool:
        """True when it stops running, within that time if one is given."""
        current = self._containers.get(container_id)
        if current is None or not current.running:
            return True
        event = self._exits.setdefault(container_id, asyncio.Event())
        try:
            await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._relist_forever())
            group.create_task(self._follow_forever())

    async def _follow_forever(self) -> None:
        await self._listed.wait()
        since = self._clock.now().timestamp() - 5
        pause = Backoff(_RECONNECT_SECONDS, _LONGEST_PAUSE)
        while True:
            try:
                async for event in self._runtime.events(since):
                    pause.reset()
                    since = self._clock.now().timestamp()
                    await self._heard(event)
            except RuntimeFailure as error:
                _log.warning("events lost", why=str(error))
            await self._clock.sleep(pause.delay())
            await self._relist_quietly()

    async def _heard(self, event: Event) -> None:
        action, container_id = event.action, event.container_id
        if container_id in self._busy and action == "start":
            return
        if action == "destroy":
            self.forget(container_id)
            return
        known = self._containers.get(container_id)
        if known is not None and known.running == (action == "start") and known.state != "created":
            return
        try:
            await self.refresh(container_id)
        except RuntimeFailure as error:
            _log.warning("cannot look at a container", container=container_id, why=str(error))
            if action == "die" and event.exit_code is not None:
                await self._take_end(known or inspection.from_event(event), event.exit_code)

    async def _take_end(self, known: Container, exit_code: int) -> None:
        """All that is known of the end is what Docker told: a daemon that dies now may not have noted it."""
        now = self._clock.now()
        ended = replace(known, state="exited", exit_code=exit_code, finished_at=now, pid=0)
        ended = replace(ended, created_at=known.created_at or now, started_at=known.started_at or now)
        self._put(replace(ended, message=await self._last_words(ended)))

    async def _relist_forever(self) -> None:
        while True:
            listed = await self._relist_quietly()
            await self._clock.sleep(RELIST_SECONDS if listed else _RECONNECT_SECONDS)

    async def _relist_quietly(self) -> bool:
        try:
            await self.relist()
        except RuntimeFailure as error:
            _log.warning("cannot list containers", why=str(error))
            return False
        return True

    async def relist(self) -> None:
        """Compare with the daemon's own list; look only at what differs."""
        known = dict(self._containers)
        listed = await self._runtime.containers()
        for container_id in known.keys() - listed.keys():
            if container_id not in self._busy:
                self.forget(container_id)
        for container_id, state in listed.items():
            before = self._containers.get(container_id)
            ended = before is not None and before.exited and state == "created"  # see inspection.py
            if (before is None or before.state != state) and not ended and container_id not in self._busy:
                try:
                    await self.refresh(container_id)
                except Unreachable:
                    raise
                except RuntimeFailure as error:
                    _log.warning("cannot look at a container", container=container_id, why=str(error))
        self._listed.set()

    def _put(self, container: Container) -> None:
        if self._containers.get(container.id) == container or container.id in self._gone:
            return
        self._containers[container.id] = container
        self._by_pod.setdefault(container.pod_uid, set()).add(container.id)
        if not container.running:
            self._signal_exit(container.id)
        self._changed(container.pod_uid)

    def _signal_exit(self, container_id: str) -> None:
        event = self._exits.pop(container_id, None)
        if event is not None:
            event.set()


def _ended_as(found: Container, before: Container) -> Container:
    """A container ends once: what was seen of it then holds, whatever a later daemon remembers."""
    return replace(
        found, state="exited", exit_code=before.exit_code, finished_at=before.finished_at,
        oom_killed=before.oom_killed, start_failed=before.start_failed, message=before.message,
    )  # fmt: skip


def _read_message(path: str) -> str:
    if not path:
        return ""
    try:
        with Path(path).open("rb") as file:
            return file.read(_MESSAGE_BYTES).decode(errors="replace")
    except OSError:
        return ""
