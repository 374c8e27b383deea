"""Whether a container's image is on the node, and getting it there.

    state = images.want(image, policy, auth, wake)

never waits: it says Present, Pulling (wake is called when there is news), or Failed with the waiting reason to
show and when to ask again. Failed pulls back off from 10 s, doubling to 5 min, per image.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from client.clock import Clock
from kubelet.docker.runtime import DockerRuntime, Image, RuntimeFailure

_FIRST_DELAY, _LONGEST_DELAY = 10.0, 300.0
_TRUST_SECONDS = 30.0


class ImageFailure(Exception):
    """The image cannot be had now: `reason` is ErrImagePull, ImagePullBackOff or ErrImageNeverPull."""

    def __init__(self, reason: str, message: str, retry_at: datetime, *, fresh: bool) -> None:
        super().__init__(message)
        self.reason, self.retry_at = reason, retry_at
        self.fresh = fresh
        """This failure has not been told before: it is the outcome of a pull."""


class Pulling(Exception):
    """Not an error: a pull is under way, and `wake` will be called."""


@dataclass(slots=True)
class _Trouble:
    delay: float
    until: datetime
    message: str
    told: bool = False


Say = Callable[[str, str, str], None]  # event type, reason, message


class Images:
    def __init__(self, runtime: DockerRuntime, clock: Clock) -> None:
        self._runtime, self._clock = runtime, clock
        self._pulls: dict[str, asyncio.Task[None]] = {}
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._troubles: dict[str, _Trouble] = {}
        self._pulled: dict[tuple[str, str], float] = {}
        self._known: dict[str, tuple[float, Image]] = {}

    async def want(
        self, image: str, policy: str, asker: str, say: Say, wake: Callable[[], None],
        auth: Mapping[str, str] | None = None,
    ) -> Image:  # fmt: skip
        """The image, if it is there as `policy` asks. `asker` names one container attempt: with policy Always
        it gets one pull. Raises ImageFailure or Pulling."""
        if image in self._pulls:
            self._waiting.setdefault(image, []).append(wake)
            raise Pulling
        found = await self._find(image)
        trouble = self._troubles.get(image)
        fresh = (image, asker) in self._pulled
        if found is not None and (policy != "Always" or fresh):
            self._pulled.pop((image, asker), None)
            if not fresh:
                text = f'Container image "{image}" already present on machine'
                say("Normal", "Pulled", f"{text} and can be accessed by the pod")
            self._troubles.pop(image, None)
            return found
        if policy == "Never":
            say("Warning", "ErrImageNeverPull",
                f'Container image "{image}" is not present with pull policy of Never')  # fmt: skip
            say("Warning", "Failed", "Error: ErrImageNeverPull")
            text = f'Container image "{image}" is not present with pull policy of Never'
            until = self._clock.now() + timedelta(seconds=_FIRST_DELAY)
            raise ImageFailure("ErrImageNeverPull", text, until, fresh=True)
        if trouble is not None and self._clock.now() < trouble.until:
            self._report(image, trouble, say)
        say("Normal", "Pulling", f'Pulling image "{image}"')
        self._waiting.setdefault(image, []).append(wake)
        self._pulls[image] = asyncio.create_task(self._pull(image, asker, say, auth))
        raise Pulling

    def _report(self, image: str, trouble: _Trouble, say: Say) -> None:
        if not trouble.told:
            trouble.told = True
            say("Warning", "Failed", f'Failed to pull image "{image}": {trouble.message}')
            say("Warning", "Failed", "Error: ErrImagePull")
            soon = min(trouble.until, self._clock.now() + timedelta(seconds=2))
            raise ImageFailure("ErrImagePull", trouble.message, soon, fresh=True)
        text = f'Back-off pulling image "{image}"'
        say("Normal", "BackOff", text)
        say("Warning", "Failed", "Error: ImagePullBackOff")
        message = f"{text}: ErrImagePull: {trouble.message}"
        raise ImageFailure("ImagePullBackOff", message, trouble.until, fresh=False)

    async def _find(self, image: str) -> Image | None:
        now = self._clock.monotonic()
        known = self._known.get(image)
        if known is not None and now - known[0] < _TRUST_SECONDS:
            return known[1]
        found = await self._runtime.image(image)
        if found is None:
            self._known.pop(image, None)
        else:
            self._known[image] = (now, found)
        return found

    def forget(self, image: str) -> None:
        """Docker says it is gone after all."""
        self._known.pop(image, None)

    async def _pull(self, image: str, asker: str, say: Say, auth: Mapping[str, str] | None) -> None:
        began = self._clock.monotonic()
        try:
            await self._runtime.pull(image, auth)
            self._known.pop(image, None)
            found = await self._find(image)
            took = duration(self._clock.monotonic() - began)
            size = found.size if found is not None else 0
            say("Normal", "Pulled", f'Successfully pulled image "{image}" in {took} ({took} including waiting).'
                f" Image size: {size} bytes.")  # fmt: skip
            self._pulled[image, asker] = began
            self._troubles.pop(image, None)
        except RuntimeFailure as error:
            before = self._troubles.get(image)
            delay = _FIRST_DELAY if before is None else min(before.delay * 2, _LONGEST_DELAY)
            until = self._clock.now() + timedelta(seconds=delay)
            self._troubles[image] = _Trouble(delay, until, str(error))
        finally:
            self._pulls.pop(image, None)
            for wake in self._waiting.pop(image, []):
                wake()


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
