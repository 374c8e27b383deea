"""Making a pod's sandbox and starting its containers, one after the other, with their postStart hooks.

What failed is remembered with the time of the next try. Nothing is started any more once the pod is to go, and a hook
that takes its time does not keep it from going. Rules: kuberuntime_container.go startContainer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from api.meta import Obj
from client.backoff import Backoff
from kubelet.images.puller import Pulling
from kubelet.pods.alarm import Alarm
from kubelet.pods.kills import Kills
from kubelet.pods.model import Container, Failure, find_container, grace_period, spec_hash
from kubelet.pods.runner import TryFailed
from kubelet.pods.shared import Shared
from kubelet.pods.sync.plan import Kill, MakeSandbox, Memory, StartContainer
from kubelet.pods.sync.restarts import restarts


class Starting:
    def __init__(
        self,
        shared: Shared,
        memory: Memory,
        kills: Kills,
        alarm: Alarm,
        news: asyncio.Event,
        is_leaving: Callable[[], bool],
    ) -> None:
        """`news` wakes the pod's worker; `is_leaving` says whether the pod is to go."""
        self._shared, self._memory, self._kills, self._alarm = shared, memory, kills, alarm
        self._news, self._is_leaving = news, is_leaving
        self._volumes = Backoff(0.5, 122.0, 2.0)  # pkg/volume/util/nestedpendingoperations

    async def make_sandbox(self, pod: Obj, action: MakeSandbox) -> None:
        if not self._shared.ready(pod) and not pod["spec"].get("hostNetwork"):
            self._alarm.set(1.0)
            return
        if action.attempt:
            text = "Pod sandbox changed, it will be killed and re-created."
            self._shared.recorder.event(pod, "Normal", "SandboxChanged", text)
        try:
            await self._shared.runner.make_sandbox(pod, action.attempt, self._volumes)
        except TryFailed as error:
            self._memory.sandbox_failure = error.failure
        else:
            self._memory.sandbox_failure = None
        self._news.set()

    def retry_volumes(self) -> None:
        """What they are made from has changed: if they could not be set up, that is tried again now."""
        if self._memory.sandbox_failure is not None:
            self._memory.sandbox_failure = None
            self._volumes.reset()
            self._news.set()

    async def start(self, pod: Obj, action: StartContainer) -> bool:
        """False when the rest of the plan no longer holds."""
        sandbox = self._shared.observer.of_pod(pod["metadata"]["uid"]).live_sandbox
        if sandbox is None or self._is_leaving():
            self._news.set()
            return False
        name = action.name
        try:
            made = await self._shared.runner.start_container(pod, name, action.attempt, sandbox, self._news.set)
        except Pulling:
            return True  # after a failed pull, that is shown until this one is through
        except TryFailed as error:
            wanted = find_container(pod, name) or {"name": name}
            self._memory.failures[name] = replace(error.failure, spec_hash=spec_hash(wanted))
            if error.failure.reason == "RunContainerError" and action.back_off is not None:
                self._memory.back_offs[name] = action.back_off
            self._news.set()
            return True
        self._memory.failures.pop(name, None)
        if action.back_off is not None:
            self._memory.back_offs[name] = action.back_off
        self._news.set()
        container = self._shared.observer.get(made)
        return container is None or await self._post_start(pod, container, action)

    async def _post_start(self, pod: Obj, container: Container, action: StartContainer) -> bool:
        """Nothing else is done for the pod before the hook has returned, and until its container is gone if it failed;
        unless the pod is to go."""
        spec = find_container(pod, container.name) or {}
        if not spec.get("lifecycle"):
            return True
        hook = asyncio.create_task(self._shared.endings.hooks.run("PostStart", pod, container))
        if not await self._unless_leaving(hook):
            return False
        why = hook.result()
        if not why:
            return True
        now: Container | None = container
        while now is not None and now.running:
            self._kills.start(pod, Kill(container, grace_period(pod), "FailedPostStartHook"))
            if not await self._unless_leaving(asyncio.create_task(self._kills.wait(container.id))):
                return False
            now = self._shared.observer.get(container.id)
        if now is not None and restarts(pod, spec, now.exit_code):
            failure = Failure("PostStartHookError", why, action.attempt, self._shared.clock.now(), spec_hash(spec))
            self._memory.failures[action.name] = failure
        return True

    async def _unless_leaving(self, work: asyncio.Task[Any]) -> bool:
        """True when it is done; it is cancelled as soon as the pod is to go."""
        try:
            while not (work.done() or self._is_leaving()):
                self._news.clear()
                news = asyncio.create_task(self._news.wait())
                try:
                    await asyncio.wait((work, news), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    news.cancel()
            return work.done()
        finally:
            work.cancel()
            self._news.set()
