"""Startup, liveness and readiness probes of one pod's running containers.

One task per probe. Results are kept per container id, so that a restarted container starts afresh. `changed` is
called when the pod's worker should look again. Rules: pkg/kubelet/prober/worker.go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from api.meta import Obj, is_deleting
from client import log
from client.clock import Clock
from client.events import EventRecorder
from kubelet.docker.runtime import RuntimeFailure
from kubelet.pods.model import Container, PodContainers, Probes, field_path, find_container
from kubelet.probing.handlers import HookFailure, Hooks

_log = log.get("probes")
KINDS = ("startup", "liveness", "readiness")


@dataclass(frozen=True, slots=True)
class Settings:
    """A probe's numbers, with upstream's defaults."""

    delay: int
    period: int
    timeout: int
    successes: int
    failures: int
    grace: int | None

    @classmethod
    def of(cls, probe: Mapping[str, Any]) -> Settings:
        return cls(
            int(probe.get("initialDelaySeconds") or 0),
            int(probe.get("periodSeconds") or 10),
            int(probe.get("timeoutSeconds") or 1),
            int(probe.get("successThreshold") or 1),
            int(probe.get("failureThreshold") or 3),
            probe.get("terminationGracePeriodSeconds"),
        )


@dataclass(slots=True)
class Streak:
    """Counts equal results in a row. `add` returns the verdict once the threshold is reached, else None."""

    settings: Settings
    _last: bool | None = None
    _run: int = 0

    def add(self, success: bool) -> bool | None:
        self._run = self._run + 1 if success == self._last else 1
        self._last = success
        needed = self.settings.successes if success else self.settings.failures
        return success if self._run >= needed else None


class Prober:
    def __init__(self, hooks: Hooks, recorder: EventRecorder, clock: Clock, changed: Callable[[], None]) -> None:
        self._hooks, self._recorder, self._clock, self._changed = hooks, recorder, clock, changed
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self.results: dict[str, Probes] = {}
        self._pod: Obj = {}

    def sync(self, pod: Obj, observed: PodContainers) -> None:
        """Probe what runs and no longer what does not. A pod on its way out keeps only readiness."""
        self._pod = pod
        running = {c.id: c for c in observed.running()}
        for key, task in list(self._tasks.items()):
            if key[0] not in running or (is_deleting(pod) and key[1] != "readiness"):
                task.cancel()
                del self._tasks[key]
        for container_id in [i for i in self.results if i not in running]:
            del self.results[container_id]
        for container in running.values():
            if container.id not in self.results:
                self._begin(pod, container)

    def _begin(self, pod: Obj, container: Container) -> None:
        spec = find_container(pod, container.name) or {}
        told = _told(pod, container)
        self.results[container.id] = Probes(
            container.id,
            ready=bool(told.get("ready")) or not spec.get("readinessProbe"),
            started=bool(told.get("started")) or not spec.get("startupProbe"),
        )
        for kind in KINDS:
            probe = spec.get(f"{kind}Probe")
            if not probe or (is_deleting(pod) and kind != "readiness"):
                continue
            if kind == "startup" and self.results[container.id].started:
                continue
            work = self._probe(kind, probe, container)
            self._tasks[container.id, kind] = asyncio.create_task(work, name=f"probe {kind} {container.name}")

    async def _probe(self, kind: str, probe: Mapping[str, Any], container: Container) -> None:
        settings = Settings.of(probe)
        streak = Streak(settings)
        age = (self._clock.now() - container.started_at).total_seconds() if container.started_at else 0.0
        await self._clock.sleep(max(settings.delay - age, 0))
        while True:
            if kind != "startup" and not self.results[container.id].started:
                await self._clock.sleep(0.1 if settings.period == 1 else 0.5)
                continue
            success = await self._once(kind, probe, settings, container)
            verdict = streak.add(success) if success is not None else None
            if verdict is not None and self._judge(kind, verdict, settings, container.id):
                return
            await self._clock.sleep(settings.period)

    def _judge(self, kind: str, verdict: bool, settings: Settings, container_id: str) -> bool:
        """Store a verdict. True when this probe has nothing more to say."""
        before = self.results[container_id]
        match kind:
            case "readiness":
                after = replace(before, ready=verdict)
            case "startup" if verdict:
                after = replace(before, started=True)
            case _ if not verdict:
                after = replace(before, failed=kind, grace=settings.grace)
            case _:
                after = before
        if after != before:
            self.results[container_id] = after
            self._changed()
        return kind == "startup" or bool(after.failed and kind == "liveness")

    async def _once(self, kind: str, probe: Mapping[str, Any], settings: Settings, container: Container) -> bool | None:
        """None when it could not be tried: Docker\'s trouble is not the container\'s."""
        try:
            async with asyncio.timeout(settings.timeout):
                await self._hooks.run(self._pod, container, probe)
            return True
        except RuntimeFailure as error:
            _log.warning("probe not run", kind=kind, container=container.name, why=str(error))
            return None
        except HookFailure as error:
            why = str(error)
        except TimeoutError:
            why = _timed_out(probe, settings)
        message = f"{kind.capitalize()} probe failed: {why}"
        self._recorder.event(
            self._pod, "Warning", "Unhealthy", message, field_path=field_path(self._pod, container.name)
        )
        return False

    def hook(self, container_id: str, *, running: bool, failed: bool = False) -> None:
        """The postStart hook of a container began, ended or failed."""
        before = self.results.get(container_id) or Probes(container_id)
        self.results[container_id] = replace(
            before, hook_running=running, failed="postStart" if failed else before.failed
        )
        self._changed()

    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()


def _told(pod: Mapping[str, Any], container: Container) -> Mapping[str, Any]:
    """What the stored status says of this very container: a restarted kubelet goes on from there."""
    status = pod.get("status") or {}
    for told in [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]:
        if told.get("containerID") == f"docker://{container.id}" and (told.get("state") or {}).get("running"):
            return dict(told)
    return {}


def _timed_out(probe: Mapping[str, Any], settings: Settings) -> str:
    if probe.get("exec") is not None:
        command = " ".join(probe["exec"].get("command") or [])
        return f'command timed out: "{command}" timed out after {settings.timeout}s'
    return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
