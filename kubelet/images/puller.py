"""Whether a container's image is on the node, and getting it there.

    image = await images.want(pod, reference, policy, asker, say, wake)

never waits for a pull: it gives the image, or raises Pulling (`wake` is called when there is news) or ImageFailure
with the waiting reason to show and when to ask again. Failed pulls back off from 10 s, doubling to 5 min, for each
pod and image. Who asks for the same image with the same credentials shares one pull.

Rules and texts: pkg/kubelet/images/image_manager.go.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from api.meta import Obj
from client.clock import Clock
from kubelet.docker import sandbox_image
from kubelet.docker.images import DockerImages, Image
from kubelet.docker.runtime import Refused, RuntimeFailure
from kubelet.images import reference
from kubelet.images.credentials import Credentials
from kubelet.images.keyring import Credential
from kubelet.images.pulls import Pulls
from kubelet.images.reference import Reference

_FIRST_DELAY, _LONGEST_DELAY = 10.0, 300.0
_SHOWN_SECONDS = 2.0
"""So long a failed pull shows its own reason, before that of the back-off."""
_TRUST_SECONDS = 30.0
_UNAVAILABLE = tuple(f"received unexpected HTTP status: {code} " for code in (502, 503, 504))
"""How Docker says it of a registry: what cri-dockerd, too, calls unavailable."""

Say = Callable[[str, str, str], None]  # event type, reason, message


class ImageFailure(Exception):
    """The image cannot be had now: `reason` is ErrImagePull, ImagePullBackOff, ErrImageNeverPull …"""

    def __init__(self, reason: str, message: str, retry_at: datetime) -> None:
        super().__init__(message)
        self.reason, self.retry_at = reason, retry_at


class Pulling(Exception):
    """Not an error: an image is being pulled, or unpacked to be shown as a volume, and `wake` will be called."""


@dataclass(frozen=True, slots=True)
class _Trouble:
    """The failed pulls of an image for one pod."""

    delay: float
    until: datetime
    reason: str
    message: str


@dataclass(slots=True)
class _Waiter:
    pod: str
    say: Say
    wake: Callable[[], None]
    began: float


@dataclass(slots=True)
class _Pull:
    image: str
    waiters: dict[str, _Waiter] = field(default_factory=dict)
    """By asker."""
    task: asyncio.Task[None] | None = None

    def say(self, type_: str, reason: str, message: str) -> None:
        for waiter in self.waiters.values():
            waiter.say(type_, reason, message)


@dataclass(frozen=True, slots=True)
class _Outcome:
    result: Image | _Trouble
    at: datetime


class Images:
    def __init__(self, docker: DockerImages, credentials: Credentials, pulls: Pulls, clock: Clock) -> None:
        self._docker, self._credentials, self._carried_out, self._clock = docker, credentials, pulls, clock
        self._pulls: dict[tuple[str, ...], _Pull] = {}
        """By image and credentials."""
        self._outcomes: dict[str, _Outcome] = {}
        """What came of the pulls that askers have not come back for yet."""
        self._troubles: dict[tuple[str, str], _Trouble] = {}
        """By pod and image."""
        self._known: dict[str, tuple[float, Image]] = {}

    async def want(
        self, pod: Obj, image: str, policy: str, asker: str, say: Say, wake: Callable[[], None]
    ) -> Image:  # fmt: skip
        """The image, if it is there as `policy` asks. `asker` names one container attempt: with policy Always
        it gets one pull. Raises ImageFailure or Pulling."""
        asker = f"{asker} {image}"  # the image of a container may be changed while the old one is pulled
        self._collect(asker, say, wake)
        outcome = self._outcomes.pop(asker, None)
        if outcome is not None and isinstance(outcome.result, Image):
            return outcome.result
        uid, wanted = pod["metadata"]["uid"], self._parsed(image, say)
        found = await self._inspected(wanted, image, say) if policy != "Always" else None
        if found is None and policy == "Never":
            raise self._never(image, say)
        credentials = await self._credentials.of_pod(pod, wanted.repository)
        if found is not None and await self._carried_out.may_use(found, wanted, credentials):
            text = f'Container image "{image}" already present on machine and can be accessed by the pod'
            say("Normal", "Pulled", text)
            return found
        if policy == "Never":
            raise self._never(image, say)
        self._hold_back(uid, image, say)
        say("Normal", "Pulling", f'Pulling image "{image}"')
        key = (image, *(each.digest for each in credentials))
        pull = self._pulls.setdefault(key, _Pull(image))
        pull.waiters[asker] = _Waiter(uid, say, wake, self._clock.monotonic())
        if pull.task is None:
            pull.task = asyncio.create_task(self._run(key, pull, wanted, credentials), name=f"pull {image}")
        raise Pulling

    async def ensure_sandbox_image(self) -> None:
        """No registry has it: it is made here."""
        if sandbox_image.IMAGE not in self._known:
            found = await self._find(sandbox_image.IMAGE)
            if found is None:
                tar = sandbox_image.archive(os.uname().machine)
                await self._docker.make(tar, sandbox_image.IMAGE, ['ENTRYPOINT ["/pause"]'])
                await self._find(sandbox_image.IMAGE)

    def forget(self, image: str) -> None:
        """Docker says it is gone after all."""
        self._known.pop(reference.parse(image).name, None)

    def lose(self, image_id: str) -> None:
        """It has been removed."""
        self._known = {name: known for name, known in self._known.items() if known[1].id != image_id}

    def _collect(self, asker: str, say: Say, wake: Callable[[], None]) -> None:
        """What the asker has come back for, unless it is an image."""
        for pull in self._pulls.values():
            if asker in pull.waiters:
                pull.waiters[asker].wake = wake
                raise Pulling
        outcome = self._outcomes.get(asker)
        if outcome is not None and isinstance(outcome.result, _Trouble):
            del self._outcomes[asker]
            trouble = outcome.result
            say("Warning", "Failed", f"Error: {trouble.reason}")
            soon = min(trouble.until, self._clock.now() + timedelta(seconds=_SHOWN_SECONDS))
            raise ImageFailure(trouble.reason, trouble.message, soon)

    def _parsed(self, image: str, say: Say) -> Reference:
        try:
            return reference.parse(image)
        except reference.InvalidName as error:
            text = f'Failed to apply default image tag "{image}": {error}'
            say("Warning", "InspectFailed", text)
            raise self._refused("InvalidImageName", text, say) from error

    async def _inspected(self, wanted: Reference, image: str, say: Say) -> Image | None:
        try:
            return await self._find(wanted.name)
        except Refused as error:
            text = f'Failed to inspect image "{image}": Error response from daemon: {error}'
            say("Warning", "InspectFailed", text)
            raise self._refused("ImageInspectError", text, say) from error

    def _never(self, image: str, say: Say) -> ImageFailure:
        text = f'Container image "{image}" is not present with pull policy of Never'
        say("Warning", "ErrImageNeverPull", text)
        return self._refused("ErrImageNeverPull", text, say)

    def _refused(self, reason: str, text: str, say: Say) -> ImageFailure:
        say("Warning", "Failed", f"Error: {reason}")
        return ImageFailure(reason, text, self._clock.now() + timedelta(seconds=_FIRST_DELAY))

    def _hold_back(self, uid: str, image: str, say: Say) -> None:
        trouble = self._troubles.get((uid, image))
        if trouble is None or self._clock.now() >= trouble.until:
            return
        text = f'Back-off pulling image "{image}"'
        say("Normal", "BackOff", text)
        say("Warning", "Failed", "Error: ImagePullBackOff")
        message = f"{text}: {trouble.reason}: {trouble.message}"
        raise ImageFailure("ImagePullBackOff", message, trouble.until)

    async def _find(self, name: str) -> Image | None:
        now = self._clock.monotonic()
        known = self._known.get(name)
        if known is not None and now - known[0] < _TRUST_SECONDS:
            return known[1]
        found = await self._docker.find(name)
        if found is None:
            self._known.pop(name, None)
        else:
            self._known[name] = (now, found)
        return found

    # Pulls.

    async def _run(
        self, key: tuple[str, ...], pull: _Pull, wanted: Reference, credentials: Sequence[Credential]
    ) -> None:
        def tell(summary: str) -> None:
            pull.say("Normal", "Pulling", f'Pulling image "{pull.image}": {summary or "waiting for the registry"}')

        try:
            found, took = await self._carried_out.run(wanted, credentials, tell)
        except (RuntimeFailure, OSError) as error:
            self._failed(pull, str(error))
        else:
            self._known[wanted.name] = (self._clock.monotonic(), found)
            self._succeeded(pull, found, took)
        finally:
            del self._pulls[key]
            self._sweep()
            for waiter in pull.waiters.values():
                waiter.wake()

    def _succeeded(self, pull: _Pull, found: Image, took: float) -> None:
        now = self._clock.monotonic()
        for asker, waiter in pull.waiters.items():
            waiter.say("Normal", "Pulled", f'Successfully pulled image "{pull.image}" in {duration(took)} '
                f"({duration(now - waiter.began)} including waiting). Image size: {found.size} bytes.")  # fmt: skip
            self._troubles.pop((waiter.pod, pull.image), None)
            self._outcomes[asker] = _Outcome(found, self._clock.now())

    def _failed(self, pull: _Pull, message: str) -> None:
        reason, told, now = "ErrImagePull", message, self._clock.now()
        if any(text in message for text in _UNAVAILABLE):
            reason, told = "RegistryUnavailable", f"RegistryUnavailable: {message}"
            message = f"image pull failed for {pull.image} because the registry is unavailable: {message}"
        pull.say("Warning", "Failed", f'Failed to pull image "{pull.image}": {told}')
        for pod in {waiter.pod for waiter in pull.waiters.values()}:
            before = self._troubles.get((pod, pull.image))
            delay = _FIRST_DELAY if before is None else min(before.delay * 2, _LONGEST_DELAY)
            until = now + timedelta(seconds=delay)
            self._troubles[pod, pull.image] = _Trouble(delay, until, reason, message)
        for asker, waiter in pull.waiters.items():
            self._outcomes[asker] = _Outcome(self._troubles[waiter.pod, pull.image], now)

    def _sweep(self) -> None:
        """Back-offs, and what nobody came back for, are forgotten after twice the longest delay."""
        past = self._clock.now() - timedelta(seconds=2 * _LONGEST_DELAY)
        for key in [key for key, trouble in self._troubles.items() if trouble.until < past]:
            del self._troubles[key]
        for asker in [asker for asker, outcome in self._outcomes.items() if outcome.at < past]:
            del self._outcomes[asker]


def duration(seconds: float) -> str:
    """To the millisecond, as Go prints it: `73ms`, `1.234s`, `1m2.5s`."""
    millis = int(seconds * 1000)
    if millis < 1000:
        return f"{millis}ms"
    minutes, rest = divmod(millis, 60_000)
    shown = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    return f"{minutes}m{shown}" if minutes else shown


def pull_policy(container: Mapping[str, Any]) -> str:
    """The policy asked for, or upstream's default: Always for `latest` and no tag."""
    if container.get("imagePullPolicy"):
        return str(container["imagePullPolicy"])
    image = str(container.get("image", ""))
    last = image.rpartition("/")[2]
    if "@" in image:
        return "IfNotPresent"
    return "Always" if ":" not in last or last.endswith(":latest") else "IfNotPresent"
