"""Carrying out what sync.py decides: sandboxes and containers made, started, stopped and removed.

Each step may be interrupted anywhere, by a crash of ours or of Docker: what it leaves behind is found by the
next look at the node and put right by the next decision.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from api.errors import ApiError
from api.meta import Obj
from client import log
from client.backoff import Backoff
from client.clock import Clock
from client.events import EventRecorder
from kubelet.docker import strays
from kubelet.docker.config import container as container_config
from kubelet.docker.config import sandbox as sandbox_config
from kubelet.docker.config.parts import Surroundings, container_name
from kubelet.docker.images import Image
from kubelet.docker.observer import Observer
from kubelet.docker.runtime import DockerRuntime, Missing, Refused, RuntimeFailure, Unreachable
from kubelet.docker.sandbox_image import IMAGE
from kubelet.images.puller import ImageFailure, Images, Pulling, pull_policy
from kubelet.network.pod_network import PodNetwork
from kubelet.pods.environment import ConfigError
from kubelet.pods.facts import Facts
from kubelet.pods.lookup import Lookup
from kubelet.pods.model import SANDBOX, Container, Failure, field_path, find_container
from kubelet.pods.preparing import Preparing
from kubelet.stats.cgroups import Hierarchy
from kubelet.volumes.base import VolumeError
from kubelet.volumes.manager import Volumes

_log = log.get("runner")
_CONFIG_RETRY = 5.0
_CLAIM_RETRY = 10.0
_CREATE_RETRY = 10.0
_OOM_DENIED = ("oom_score_adj", "can't get final child's PID from pipe")
"""How runc says that it may not lower oom_score_adj; the second when its first stage fails without a word."""


class TryFailed(Exception):
    """A container or sandbox was not made. `failure` is what status shows meanwhile."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class MadeBefore(RuntimeFailure):
    """It was made and started by a call whose answer was lost; the observer knows of it now."""


class Runner:
    def __init__(
        self,
        runtime: DockerRuntime,
        observer: Observer,
        images: Images,
        volumes: Volumes,
        lookup: Lookup,
        network: PodNetwork,
        services: Callable[[], Iterable[Obj]],
        recorder: EventRecorder,
        facts: Facts,
        clock: Clock,
    ) -> None:
        self.facts = facts
        self._runtime, self._observer, self._images, self._volumes = runtime, observer, images, volumes
        self._recorder = recorder
        self._preparing = Preparing(runtime, observer, volumes, lookup, services, recorder, facts)
        self._network = network
        self._clock = clock

    # Sandboxes.

    async def make_sandbox(self, pod: Obj, attempt: int, volumes: Backoff) -> None:
        """TryFailed when a volume cannot be had, which `volumes` says when to try again, or Docker refuses."""
        try:
            await self._volumes.set_up(pod, lambda text: self._recorder.event(pod, "Warning", "FailedMount", text))
        except VolumeError as error:
            wait = min(volumes.delay(), _CLAIM_RETRY) if error.soon else volumes.delay()
            raise self._failed("ContainerCreating", str(error), attempt, wait) from error
        volumes.reset()
        try:
            await self._images.ensure_sandbox_image()
            sandbox = await self._make_sandbox(pod, attempt)
        except (Unreachable, MadeBefore):
            raise
        except (RuntimeFailure, ConfigError, ApiError, OSError) as error:
            self._images.forget(IMAGE)
            text = f"Failed to create pod sandbox: {error}"
            self._recorder.event(pod, "Warning", "FailedCreatePodSandBox", text)
            raise self._failed("ContainerCreating", text, attempt, _CREATE_RETRY) from error
        if sandbox is not None:
            await self._preparing.write_names(pod, sandbox.ips)
            if attempt == 0:
                self._preparing.tell_without_effect(pod)

    async def _complete(self, pod: Obj, sandbox: Container) -> None:
        """What a sandbox lacks whose maker, or its Docker Engine, died while it was made."""
        try:
            await self._network.connect(sandbox)
            await self._preparing.write_names(pod, sandbox.ips)
        except OSError as error:
            raise RuntimeFailure(f"the pod's sandbox cannot be completed: {error}") from error

    async def _make_sandbox(self, pod: Obj, attempt: int) -> Container | None:
        around = await self._preparing.sandbox(pod, IMAGE)
        with self._network.lease(pod) as address:
            sandbox_id = await self._create_and_start(
                container_name(SANDBOX, pod, attempt),
                lambda: sandbox_config.body(pod, attempt, around, address),
                around,
            )
            sandbox = await self._observer.refresh(sandbox_id)
            if sandbox is not None:
                try:
                    await self._network.connect(sandbox)
                except OSError:
                    await self._runtime.remove(sandbox_id)
                    self._observer.forget(sandbox_id)
                    raise
            return sandbox

    # Containers.

    async def start_container(
        self, pod: Obj, name: str, attempt: int, sandbox: Container, wake: Callable[[], None]
    ) -> str:
        """The new container's id. TryFailed or images.Pulling when it is not running afterwards."""
        spec = find_container(pod, name)
        if spec is None:
            raise ValueError(f"pod {pod['metadata']['name']} has no container {name}")
        await self._complete(pod, sandbox)
        await self._show_images(pod, spec, attempt, wake)
        image = await self._image(pod, spec, attempt, wake)
        try:
            around = await self._preparing.container(pod, spec, attempt, sandbox, image)
            container_config.body(spec, pod, attempt, around)
        except (ConfigError, ApiError, OSError, VolumeError) as error:
            self._say(pod, name, "Warning", "Failed", f"Error: {error}")
            reason = error.reason if isinstance(error, ConfigError) else "CreateContainerConfigError"
            raise self._failed(reason, str(error), attempt, _CONFIG_RETRY) from error

        container_id = ""

        def created(made: str) -> None:
            nonlocal container_id
            container_id = made
            self._say(pod, name, "Normal", "Created", "Container created")

        try:
            await self._create_and_start(
                container_name(name, pod, attempt),
                lambda: container_config.body(spec, pod, attempt, around), around, created,
            )  # fmt: skip
        except (Unreachable, MadeBefore):
            raise
        except RuntimeFailure as error:
            await self._not_started(pod, spec, attempt, container_id, error)
        await self._observer.refresh(container_id)
        self._say(pod, name, "Normal", "Started", "Container started")
        return container_id

    async def _not_started(
        self, pod: Obj, spec: Mapping[str, Any], attempt: int, container_id: str, error: RuntimeFailure
    ) -> None:
        self._images.forget(spec["image"])
        if container_id:
            await self._observer.refresh(container_id)
            text = f'failed to start container "{spec["name"]}": Error response from daemon: {error}'
            self._say(pod, spec["name"], "Warning", "Failed", f"Error: {text}")
            raise self._failed("RunContainerError", text, attempt, 0) from error
        text = f"Error response from daemon: {error}"
        self._say(pod, spec["name"], "Warning", "Failed", f"Error: {text}")
        raise self._failed("CreateContainerError", text, attempt, _CREATE_RETRY) from error

    async def _show_images(self, pod: Obj, spec: Mapping[str, Any], attempt: int, wake: Callable[[], None]) -> None:
        """Those that are volumes of the container."""
        for volume in self._volumes.missing_images(pod, spec):
            source = volume["image"]
            wanted = {"image": source.get("reference", ""), "imagePullPolicy": source.get("pullPolicy")}
            ask = partial(self._image, pod, {"name": spec["name"], **wanted}, attempt, wake, f"volume {volume['name']}")
            try:
                shown = await self._volumes.show_image(pod, volume, ask, wake)
            except (RuntimeFailure, OSError) as error:
                text = f"failed to mount image volume {volume['name']}: {error}"
                self._say(pod, spec["name"], "Warning", "Failed", f"Error: {text}")
                raise self._failed("CreateContainerError", text, attempt, _CREATE_RETRY) from error
            if not shown:
                raise Pulling

    async def _image(
        self, pod: Obj, spec: Mapping[str, Any], attempt: int, wake: Callable[[], None], whose: str = ""
    ) -> Image:
        asker = f"{pod['metadata']['uid']}/{whose or spec['name']}/{attempt}"

        def say(type_: str, reason: str, message: str) -> None:
            self._say(pod, spec["name"], type_, reason, message)

        try:
            return await self._images.want(pod, spec["image"], pull_policy(spec), asker, say, wake)
        except ImageFailure as error:
            failure = Failure(error.reason, str(error), attempt, error.retry_at)
            raise TryFailed(failure) from error

    async def _create_and_start(
        self, name: str, config: Callable[[], Obj], around: Surroundings,
        created: Callable[[str], None] = lambda _: None,
    ) -> str:  # fmt: skip
        """A left-over of the same name, from a call whose answer was lost, is replaced; MadeBefore if it has run."""
        for again in (True, False):
            lowered = around.lower_oom_score = self.facts.lower_oom_score  # another pod may learn meanwhile that not
            try:
                container_id = await self._runtime.create(name, config())
            except Refused as error:
                left_over = await self._runtime.find(name) if "already in use" in str(error) else None
                if left_over is None or not again:
                    raise
                if left_over.state != "created":
                    await self._observer.refresh(left_over.id)
                    raise MadeBefore(f"container {name} is there and has run") from error
                await self.remove(left_over)
                continue
            created(container_id)
            try:
                with self._observer.own_work(container_id):
                    await self._runtime.start(container_id)
            except Refused as error:
                # Without CAP_SYS_RESOURCE runc dies of it early; which of its processes tells differs.
                denied = any(word in str(error) for word in ("oom_score_adj", "can't get final child's PID"))
                if not denied or not lowered:
                    raise
                _log.warning("this machine does not let containers be protected from the OOM killer")
                self.facts.lower_oom_score = False
                await self._runtime.remove(container_id)
                continue
            return container_id
        raise Refused(f"container {name} could not be made")

    async def update(self, container: Container, resources: dict[str, int]) -> str:
        """Hold a container that runs to other bounds. Why that cannot be; "" when it is so, or it is gone."""
        limit, before = resources.get("Memory", 0), dict(container.applied or ()).get("Memory", 0)
        if limit and (not before or limit < before):
            used = await asyncio.to_thread(_memory, container)
            if used > limit:  # the kernel would not take it, or kill
                what = f'container "{container.name}" memory limits ({limit})'
                return f"attempting to set {what} below current usage ({used})"
        try:
            await self._runtime.update(container.id, resources)
        except Missing:
            return ""
        except Refused as error:
            return f"Error response from daemon: {error}"
        await self._observer.refresh(container.id)
        return ""

    # Ends.

    async def stop_sandbox(self, sandbox: Container) -> None:
        await self._runtime.kill(sandbox.id, "SIGKILL")
        if not await self._observer.wait_exited(sandbox.id, 2.0):
            await self._observer.refresh(sandbox.id)

    async def remove(self, container: Container) -> None:
        if container.state == "created" and (count := await asyncio.to_thread(strays.end, container.id)):
            _log.warning("ended processes that Docker did not know of", container=container.id, count=count)
        await self._runtime.remove(container.id)
        self._observer.forget(container.id)

    def _say(self, pod: Obj, name: str, type_: str, reason: str, message: str) -> None:
        self._recorder.event(pod, type_, reason, message, field_path=field_path(pod, name))

    def _failed(self, reason: str, message: str, attempt: int, seconds: float) -> TryFailed:
        return TryFailed(Failure(reason, message, attempt, self._clock.now() + timedelta(seconds=seconds)))


def _memory(container: Container) -> int:
    """Bytes it uses and could not give back at once."""
    hierarchy = Hierarchy()
    groups = hierarchy.of_process(container.pid, container.id)
    return hierarchy.read(groups).working_set if groups else 0
