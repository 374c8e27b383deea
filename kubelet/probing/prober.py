"""Startup, liveness and readiness probes of one pod's running containers.

One task per probe. Results are kept per container id, so that a restarted container starts afresh. `changed` is
called when the pod's worker should look again. Rules: pkg/kubelet/prober/worker.go and prober.go.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from api.meta import Obj
from client import log
from client.clock import Clock
from client.events import EventRecorder
from kubelet.docker.runtime import RuntimeFailure, Unreachable
from kubelet.pods.model import Container, PodContainers, Probes, field_path, find_container
from kubelet.probing.checks import Checks, Outcome
from kubelet.probing.counts import Counts
from kubelet.probing.target import Target, Trouble, address_of

_log = log.get("probes")
KINDS = ("startup", "liveness", "readiness")
_TRIES = 3
"""How often a probe is tried at once that could not be carried out."""


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


class Probing:
    """What the probers of all pods share."""

    def __init__(
        self,
        checks: Checks,
        recorder: EventRecorder,
        clock: Clock,
        host_ip: str,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.checks, self.recorder, self.clock, self.host_ip, self.jitter = checks, recorder, clock, host_ip, jitter
        self.counts = Counts()
        self._began = clock.now()

    def wait(self, settings: Settings, container: Container) -> float:
        """Seconds to the first probe. What ran before this kubelet is not probed all at once when it starts."""
        started = container.started_at or self.clock.now()
        spread = self.jitter() * settings.period if started < self._began else 0.0
        return max(settings.delay - (self.clock.now() - started).total_seconds(), 0.0) + spread


class Prober:
    def __init__(self, probing: Probing, changed: Callable[[], None]) -> None:
        self._probing, self._clock, self._changed = probing, probing.clock, changed
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._started: dict[str, asyncio.Event] = {}
        self.results: dict[str, Probes] = {}
        self._pod: Obj = {}
        self._address = ""

    def sync(self, pod: Obj, observed: PodContainers, *, ending: bool) -> None:
        """Probe what runs and no longer what does not. A pod on its way out keeps only readiness."""
        kinds = KINDS[-1:] if ending else KINDS
        self._pod, self._address = pod, address_of(pod, observed, self._probing.host_ip)
        running = {c.id: c for c in observed.running()}
        for key, task in list(self._tasks.items()):
            if key[0] not in running or key[1] not in kinds:
                task.cancel()
                del self._tasks[key]
        for container_id in [i for i in self.results if i not in running]:
            del self.results[container_id], self._started[container_id]
        for container in running.values():
            if container.id not in self.results:
                self._begin(pod, container, kinds)

    def _begin(self, pod: Obj, container: Container, kinds: Iterable[str]) -> None:
        spec = find_container(pod, container.name) or {}
        told = _told(pod, container)
        result = Probes(
            container.id,
            ready=bool(told.get("ready")) or not spec.get("readinessProbe"),
            started=bool(told.get("started")) or not spec.get("startupProbe"),
        )
        self.results[container.id] = result
        self._started[container.id] = asyncio.Event()
        if result.started:
            self._started[container.id].set()
        for kind in kinds:
            probe = spec.get(f"{kind}Probe")
            if probe and not (kind == "startup" and result.started):
                work = self._probe(kind, probe, spec, container)
                self._tasks[container.id, kind] = asyncio.create_task(work, name=f"probe {kind} {container.name}")

    async def _probe(self, kind: str, probe: Mapping[str, Any], spec: Mapping[str, Any], container: Container) -> None:
        settings = Settings.of(probe)
        streak = Streak(settings)
        await self._clock.sleep(self._probing.wait(settings, container))
        if kind != "startup":
            await self._started[container.id].wait()
        due = self._clock.monotonic()
        while True:
            target = Target(container.id, spec, self._address)
            success = await self._once(kind, probe, settings, target)
            verdict = streak.add(success) if success is not None else None
            if verdict is not None and self._judge(kind, verdict, settings, container.id):
                return
            now = self._clock.monotonic()
            due = max(due + settings.period, now)
            await self._clock.sleep(due - now)

    def _judge(self, kind: str, verdict: bool, settings: Settings, container_id: str) -> bool:
        """Store a verdict. True when this probe has nothing more to say."""
        before = after = self.results[container_id]
        if kind == "readiness":
            after = replace(before, ready=verdict)
        elif not verdict:
            after = replace(before, failed=kind, grace=settings.grace)
        elif kind == "startup":
            after = replace(before, started=True)
            self._started[container_id].set()
        if after != before:
            self.results[container_id] = after
            self._changed()
        return kind == "startup" or bool(after.failed and kind == "liveness")

    async def _once(self, kind: str, probe: Mapping[str, Any], settings: Settings, target: Target) -> bool | None:
        """None when it could not be tried: that is not held against the container."""
        began = self._clock.monotonic()
        outcome = await self._tried(kind, probe, settings, target)
        if outcome is None:
            return None
        seconds = self._clock.monotonic() - began
        self._probing.counts.note(kind, self._pod, target.spec["name"], outcome.success, seconds)
        if outcome.warning:
            self._say(target, "ProbeWarning", f"{kind.capitalize()} probe warning: {outcome.text}")
        elif not outcome.success:
            self._say(target, "Unhealthy", f"{kind.capitalize()} probe failed: {outcome.text}")
        return outcome.success

    async def _tried(self, kind: str, probe: Mapping[str, Any], settings: Settings, target: Target) -> Outcome | None:
        error: Exception = Trouble("")
        for _ in range(_TRIES):
            try:
                return await self._probing.checks.run(probe, target, settings.timeout)
            except Unreachable as away:
                _log.warning("probe not run", kind=kind, container=target.spec["name"], why=str(away))
                return None
            except (RuntimeFailure, Trouble) as trouble:
                error = trouble
            except Exception:  # one odd answer must not end the probe: it is logged, and looked at again
                _log.exception("probe broke", kind=kind, container=target.spec["name"])
                return None
        state = getattr(error, "state", "unknown")
        self._say(target, "Unhealthy", f"{kind.capitalize()} probe errored and resulted in {state} state: {error}")
        return None

    def _say(self, target: Target, reason: str, message: str) -> None:
        path = field_path(self._pod, target.spec["name"])
        self._probing.recorder.event(self._pod, "Warning", reason, message, field_path=path)

    def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()
        if self._pod:
            self._probing.counts.forget(self._pod["metadata"]["uid"])


def _told(pod: Mapping[str, Any], container: Container) -> Mapping[str, Any]:
    """What the stored status says of this very container: a restarted kubelet goes on from there."""
    status = pod.get("status") or {}
    for told in [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]:
        if told.get("containerID") == f"docker://{container.id}" and "running" in (told.get("state") or {}):
            return dict(told)
    return {}
