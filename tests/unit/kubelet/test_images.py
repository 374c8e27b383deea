"""Getting images: policies, back-off and what is said about it."""

from __future__ import annotations

import pytest

from client.clock import FakeClock, settle
from kubelet.docker.runtime import Image, Refused
from kubelet.images.puller import ImageFailure, Images, Pulling, duration


class Runtime:
    """A Docker with some images and a registry with others."""

    def __init__(self, present: set[str], pullable: set[str]) -> None:
        self.present, self.pullable, self.pulls = present, pullable, 0

    async def image(self, reference: str) -> Image | None:
        return Image("sha256:1", ()) if reference in self.present else None

    async def pull(self, reference: str, auth: object = None) -> None:
        self.pulls += 1
        if reference not in self.pullable:
            raise Refused("manifest unknown")
        self.present.add(reference)


class Case:
    def __init__(self, present: set[str] | None = None, pullable: set[str] | None = None) -> None:
        self.clock = FakeClock()
        self.runtime = Runtime(present or set(), pullable or set())
        self.images = Images(self.runtime, self.clock)  # type: ignore[arg-type]  # a scripted Docker
        self.said: list[str] = []
        self.woken = 0

    def _say(self, type_: str, reason: str, message: str) -> None:
        self.said.append(f"{reason}: {message}")

    def _wake(self) -> None:
        self.woken += 1

    async def want(self, image: str, policy: str = "IfNotPresent", asker: str = "u/app/0") -> Image:
        return await self.images.want(image, policy, asker, self._say, self._wake)


async def test_a_present_image_is_used() -> None:
    case = Case(present={"a:1"})
    assert (await case.want("a:1")).id == "sha256:1"
    assert case.said == ['Pulled: Container image "a:1" already present on machine and can be accessed by the pod']
    assert case.runtime.pulls == 0


async def test_a_missing_image_is_pulled_and_the_asker_woken() -> None:
    case = Case(pullable={"a:1"})
    with pytest.raises(Pulling):
        await case.want("a:1")
    await settle()
    assert case.woken == 1
    assert (await case.want("a:1")).id == "sha256:1"
    assert [s.split(":")[0] for s in case.said] == ["Pulling", "Pulled"]


async def test_always_pulls_once_per_attempt() -> None:
    case = Case(present={"a"}, pullable={"a"})
    for attempt in ("u/app/0", "u/app/1"):
        with pytest.raises(Pulling):
            await case.want("a", "Always", attempt)
        await settle()
        await case.want("a", "Always", attempt)
    assert case.runtime.pulls == 2


async def test_never_does_not_pull() -> None:
    case = Case(pullable={"a:1"})
    with pytest.raises(ImageFailure) as raised:
        await case.want("a:1", "Never")
    assert raised.value.reason == "ErrImageNeverPull"
    assert case.runtime.pulls == 0


async def test_a_failed_pull_backs_off() -> None:
    case = Case()
    with pytest.raises(Pulling):
        await case.want("a:1")
    await settle()
    reasons = []
    for _ in range(2):
        with pytest.raises(ImageFailure) as raised:
            await case.want("a:1")
        reasons.append(raised.value.reason)
    assert reasons == ["ErrImagePull", "ImagePullBackOff"]
    assert str(raised.value) == 'Back-off pulling image "a:1": ErrImagePull: manifest unknown'
    case.clock.advance(9)
    with pytest.raises(ImageFailure):
        await case.want("a:1")
    case.clock.advance(2)
    with pytest.raises(Pulling):
        await case.want("a:1")
    await settle()
    assert case.runtime.pulls == 2


@pytest.mark.parametrize(("seconds", "text"), [(0.0737, "73ms"), (1.2345, "1.234s"), (62.5, "1m2.5s"), (3, "3s")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
