"""One sequential worker per pod: look, decide, act, report, sleep until something changes.

Woken by a new version of the pod, by a change of one of its containers, by a probe's verdict, by a finished pull
or by its own timer. Stops run beside the worker, so that a long grace period keeps nobody waiting and may be cut
short. A pod that is gone from the apiserver, or was never there (containers found after a crash), winds down the
same way without reporting to anyone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from api.builtin import PODS
from api.errors import ApiError, Conflict, NotFound
from api.meta import Obj, is_deleting
from client import log
from client.backoff import Backoff
from kubelet.docker.runtime import RuntimeFailure
from kubelet.pods import verdicts
from kubelet.pods.alarm import Alarm
from kubelet.pods.kills import Kills
from kubelet.pods.model import (
    Ending,
    PodContainers,
    field_path,
    is_terminal,
)
from kubelet.pods.orphans import as_deleted
from kubelet.pods.resizing import Resizing
from kubelet.pods.shared import Shared
from kubelet.pods.starting import Starting
from kubelet.pods.status import build as statuses
from kubelet.pods.status.conditions import merged
from kubelet.pods.sync import wind_down
from kubelet.pods.sync.decide import decide
from kubelet.pods.sync.plan import (
    Action,
    Finish,
    Kill,
    MakeSandbox,
    Memory,
    Plan,
    ReleaseVolumes,
    Remove,
    StartContainer,
    StopSandbox,
    Update,
)
from kubelet.probing.prober import Prober

_log = log.get("worker")
_RETRY_SECONDS = 2.0
_RESIZE_RETRY = 10.0


class PodWorker:
    def __init__(self, pod: Obj, shared: Shared, done: Callable[[PodWorker], None]) -> None:
        self.uid: str = pod["metadata"]["uid"]
        self.pod, self._shared, self._done = pod, shared, done
        self.gone = False
        """There is no such pod in the apiserver (any more)."""
        self.again = False
        """The same static pod is wanted once more: its containers are kept to be counted on."""
        self._status: Obj = {}
        self._memory = Memory(longest_delay=shared.runner.facts.configuration.longest_restart_delay_seconds)
        self.admitted = bool((pod.get("status") or {}).get("startTime"))
        """The node has taken it on: what it asks for is taken from the others."""
        self._kept: Ending | None = None
        self._begun = False
        self.resizing = Resizing(
            self._memory.resize, shared.judge, shared.recorder, shared.volumes.pod_directory(self.uid)
        )  # fmt: skip
        self._kills = Kills(shared.endings, self._memory, shared.clock, self.wake)
        self._news = asyncio.Event()
        self._news.set()
        self._alarm = Alarm(shared.clock, self.wake)
        self._starting = Starting(shared, self._memory, self._kills, self._alarm, self._news, lambda: self._is_leaving)
        self._prober = Prober(shared.probing, self.wake)
        self._told_back_off: dict[str, str] = {}
        self._errors = Backoff(_RETRY_SECONDS, 60.0)
        self._finished = False
        self._task = asyncio.create_task(self._run(), name=f"pod {pod['metadata']['name']}")

    def wake(self) -> None:
        self._news.set()

    def update(self, pod: Obj) -> None:
        self.pod = pod
        self.wake()

    def lose(self, pod: Obj) -> None:
        """The object is gone: end what runs, tell nobody. `pod` is its last version."""
        self.gone = True
        self.pod = as_deleted(pod, self._shared.clock)
        self._shared.statuses.forget(self.uid)
        self.wake()

    def retry_volumes(self) -> None:
        self._starting.retry_volumes()

    def end(self, ending: Ending) -> None:
        """The node ends this pod: it is wound down and Failed, whatever its restart policy. The first verdict counts;
        a later one may shorten the grace."""
        memory, graces = self._memory, [ending.grace]
        if memory.ending is not None:
            graces.append(memory.ending.grace)
            ending = memory.ending
        elif is_terminal(self.view):
            return
        memory.ending = replace(ending, grace=min((g for g in graces if g is not None), default=None))
        self.wake()

    @property
    def view(self) -> Obj:
        """The pod as the node has granted it, with the newest status: ours, unless another writer has ended the pod."""
        granted = self.resizing.view(self.pod)
        if not self._status or is_terminal(self.pod):
            return granted
        stored = (self.pod.get("status") or {}).get("conditions") or []
        return {**granted, "status": {**self._status, "conditions": merged(self._status["conditions"], stored)}}

    async def close(self) -> None:
        """Stop working; what runs goes on running."""
        self._prober.close()
        self._finished = True  # a cancellation that meets the end of a wait may be lost
        await self._kills.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while not self._finished:
            await self._news.wait()
            self._news.clear()
            self._alarm.clear()
            try:
                await self._sync()
                self._errors.reset()
            except RuntimeFailure as error:
                self._retry(str(error))
            except ApiError as error:
                self._retry(error.message)
            except Exception:  # one pod's trouble must not end its worker: it is logged and tried again
                _log.exception("sync failed", pod=self._name)
                self._alarm.set(self._errors.delay())
        self._prober.close()
        self._alarm.clear()
        self._done(self)

    def _retry(self, why: str) -> None:
        _log.warning("sync failed", pod=self._name, why=why)
        self._alarm.set(self._errors.delay())

    @property
    def _name(self) -> str:
        return f"{self.pod['metadata'].get('namespace', '')}/{self.pod['metadata']['name']}"

    async def _sync(self) -> None:
        clock = self._shared.clock
        observed = self._shared.observer.of_pod(self.uid)
        if not self._begun:
            await self._begin(observed)
        if not self._is_leaving and await self.resizing.consider(self.pod):
            self._shared.room()
        self._memory.renewals &= {container.id for container in observed.all()}
        pod, now = self.view, clock.now()
        if self._is_leaving:
            wind_down.begin(pod, self._memory, now)
        self._prober.sync(pod, observed, ending=self._memory.stopping_since is not None)
        self._memory.probes = self._prober.results
        plan = decide(pod, observed, self._memory, now)
        if plan.ending is not None:
            self._shared.recorder.event(self.pod, "Normal", plan.ending.reason, plan.ending.message)
            self.end(plan.ending)
        await self._keep_verdict()
        self._report(plan)
        acted = bool(plan.actions)
        for action in plan.actions:
            if not await self._carry_out(pod, action, plan):
                break
        if self._finished:
            return
        if acted:
            self._report(plan)
        self._sleep_until(plan)

    @property
    def _is_leaving(self) -> bool:
        return self.gone or is_deleting(self.pod) or self._memory.ending is not None or is_terminal(self.view)

    async def _begin(self, observed: PodContainers) -> None:
        """What an earlier kubelet began with may have been given a verdict; a new pod may be refused."""
        if (self.pod.get("status") or {}).get("startTime"):
            await self.resizing.resume(self.pod, observed)
            self._kept = await asyncio.to_thread(verdicts.kept, self._shared.volumes.pod_directory(self.uid))
            if self._kept is not None:
                self.end(self._kept)
        elif not (is_deleting(self.pod) or is_terminal(self.pod)):
            seen = bool(self._shared.observer.of_pod(self.uid).everything())
            rejection = None if seen else await self._shared.admit(self.pod)
            if rejection is not None:
                self._shared.recorder.event(self.pod, "Warning", rejection.reason, rejection.message)
                self.end(Ending(rejection.reason, f"Pod was rejected: {rejection.message}"))
        self.admitted = True
        self._begun = True

    async def _keep_verdict(self) -> None:
        ending = self._memory.ending
        if ending is None or ending == self._kept or self.gone:
            return
        try:
            await asyncio.to_thread(verdicts.keep, self._shared.volumes.pod_directory(self.uid), ending)
        except OSError as error:
            # It is carried out all the same: on a full disk, it may be what frees the disk.
            _log.warning("verdict not kept", pod=self._name, reason=ending.reason, why=error.strerror)
        else:
            self._kept = ending

    def _sleep_until(self, plan: Plan) -> None:
        now = self._shared.clock.now()
        wait = (plan.wake_at - now).total_seconds() if plan.wake_at is not None else None
        if wait is not None:
            self._alarm.set(wait)

    def _report(self, plan: Plan) -> None:
        """Build the status of what is there now, and hand it over for delivery."""
        for name, message in plan.waiting.items():
            if self._told_back_off.get(name) != message:
                meta = self.pod["metadata"]
                where = f"{meta['name']}_{meta['namespace']}({meta['uid']})"
                text = f"Back-off restarting failed container {name} in pod {where}"
                self._shared.recorder.event(self.pod, "Warning", "BackOff", text, field_path=field_path(self.pod, name))
        self._told_back_off = dict(plan.waiting)
        if self.gone:
            return
        observed = self._shared.observer.of_pod(self.uid)
        ending = self._memory.stopping_since is not None
        self._prober.sync(self.view, observed, ending=ending)  # of a container that has just started, too
        self._memory.probes = self._prober.results
        self.resizing.settle(self.view, observed)
        runner, ended = self._shared.runner, is_terminal(self.view)
        self._status = statuses.build(
            self.view, observed, self._memory, plan, runner.facts.host_ip, self._shared.clock.now()
        )
        self._shared.statuses.set(self.pod, self._status)
        if is_terminal(self.view) and not ended:
            self._shared.room()

    async def _carry_out(self, pod: Obj, action: Action, plan: Plan) -> bool:
        """False when the rest of the plan no longer holds: the worker is woken to decide again."""
        runner = self._shared.runner
        match action:
            case MakeSandbox():
                await self._starting.make_sandbox(pod, action)
                return False
            case StartContainer():
                return await self._starting.start(pod, action)
            case Update():
                await self._update(pod, action)
            case Kill():
                self._kills.start(pod, action)
            case StopSandbox():
                await runner.stop_sandbox(action.container)
            case Remove():
                await runner.remove(action.container)
            case ReleaseVolumes():
                await self._shared.volumes.release(self.uid)
            case Finish():
                await self._finish(plan)
        return True

    async def _update(self, pod: Obj, action: Update) -> None:
        why = await self._shared.runner.update(action.container, action.resources)
        if why:
            self._memory.resize.retry_at = self._shared.clock.now() + timedelta(seconds=_RESIZE_RETRY)
            self.resizing.failed(pod, why)
        self.wake()

    async def _finish(self, plan: Plan) -> None:
        """The last steps of a pod on this node, in an order that a crash between any two does not harm."""
        shared = self._shared
        everything = shared.observer.of_pod(self.uid).everything()
        if self.gone:
            await asyncio.gather(*(shared.runner.remove(c) for c in everything if c.is_sandbox or not self.again))
        else:
            self._report(plan)
            await asyncio.gather(shared.statuses.flush(self.uid), *(shared.runner.remove(c) for c in everything))
        await shared.volumes.tear_down(self.uid)
        if not self.gone:
            meta = self.pod["metadata"]
            try:
                await shared.client.delete(PODS, meta["name"], meta["namespace"], grace_period=0, uid=self.uid)
            except (NotFound, Conflict):
                _log.debug("already deleted", pod=self._name)
        shared.statuses.forget(self.uid)
        self._finished = True
