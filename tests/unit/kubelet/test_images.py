"""Getting images: policies, back-off, credentials, and what is said about it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from api.meta import Obj
from client.clock import FakeClock, settle
from kubelet.configuration import Configuration
from kubelet.docker.images import Image
from kubelet.docker.runtime import Refused, Unreachable
from kubelet.images import reference
from kubelet.images.keyring import Credential, Keyring, Secret, of_config, of_secret
from kubelet.images.progress import Progress
from kubelet.images.puller import ImageFailure, Pulling, duration
from kubelet.images.records import Records, _file_name, verification
from tests.unit.kubelet.registry import Registry, images


def pull_secret(name: str, auths: Obj) -> Obj:
    data = base64.b64encode(json.dumps({"auths": auths}).encode()).decode()
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    return {"metadata": meta, "type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": data}}


class Case:
    def __init__(
        self, root: Path, present: set[str] | None = None, pullable: set[str] | None = None,
        private: dict[str, str] | None = None, secrets: dict[str, Obj] | None = None, **configured: Any,
    ) -> None:  # fmt: skip
        self.clock = FakeClock()
        self.registry = Registry(present or set(), pullable or set(), private)
        self.warned: list[str] = []
        self.images = images(
            self.registry, root, self.clock, secrets, Configuration(**configured),
            lambda _, reason, message: self.warned.append(f"{reason}: {message}"),
        )  # fmt: skip
        self.said: list[str] = []
        self.woken = 0

    def _say(self, type_: str, reason: str, message: str) -> None:
        self.said.append(f"{reason}: {message}")

    def _wake(self) -> None:
        self.woken += 1

    async def want(self, image: str, policy: str = "IfNotPresent", asker: str = "u/app/0", secret: str = "") -> Image:
        spec = {"imagePullSecrets": [{"name": secret}] if secret else []}
        pod = {"metadata": {"name": "web", "namespace": "default", "uid": asker.split("/")[0]}, "spec": spec}
        return await self.images.want(pod, image, policy, asker, self._say, self._wake)

    async def fetch(self, image: str, policy: str = "IfNotPresent", asker: str = "u/app/0", secret: str = "") -> Image:
        with pytest.raises(Pulling):
            await self.want(image, policy, asker, secret)
        await self.pulled()
        return await self.want(image, policy, asker, secret)

    async def begin(self, image: str) -> None:
        """A pull that goes on until the gate is opened."""
        self.registry.gate.clear()
        with pytest.raises(Pulling):
            await self.want(image)
        while not self.registry.at_once:
            await settle(1)

    async def pulled(self) -> None:
        while self.images._pulls:
            await settle(1)

    async def fails(self, image: str, policy: str = "IfNotPresent", asker: str = "u/app/0", secret: str = "") -> str:
        with pytest.raises(ImageFailure) as raised:
            await self.want(image, policy, asker, secret)
        return f"{raised.value.reason}: {raised.value}"


async def test_a_present_image_is_used(tmp_path: Path) -> None:
    case = Case(tmp_path, present={"a:1"})
    assert (await case.want("a:1")).id == "sha256:a:1"
    assert case.said == ['Pulled: Container image "a:1" already present on machine and can be accessed by the pod']
    assert case.registry.pulls == []


async def test_a_missing_image_is_pulled_and_the_asker_woken(tmp_path: Path) -> None:
    case = Case(tmp_path, pullable={"a:1"})
    assert (await case.fetch("a:1")).id == "sha256:a:1"
    assert case.woken == 1
    assert case.said == [
        'Pulling: Pulling image "a:1"',
        'Pulled: Successfully pulled image "a:1" in 0ms (0ms including waiting). Image size: 7 bytes.',
    ]


async def test_always_pulls_once_per_attempt(tmp_path: Path) -> None:
    case = Case(tmp_path, present={"a:latest"}, pullable={"a:latest"})
    for attempt in ("u/app/0", "u/app/1"):
        await case.fetch("a", "Always", attempt)
    assert len(case.registry.pulls) == 2


async def test_never_does_not_pull(tmp_path: Path) -> None:
    case = Case(tmp_path, pullable={"a:1"})
    text = 'Container image "a:1" is not present with pull policy of Never'
    assert await case.fails("a:1", "Never") == f"ErrImageNeverPull: {text}"
    assert case.said == [f"ErrImageNeverPull: {text}", "Failed: Error: ErrImageNeverPull"]
    assert case.registry.pulls == []


async def test_a_failed_pull_backs_off_for_its_pod_alone(tmp_path: Path) -> None:
    case = Case(tmp_path)
    text = "Error response from daemon: manifest unknown"
    with pytest.raises(Pulling):
        await case.want("a:1")
    await case.pulled()
    assert await case.fails("a:1") == f"ErrImagePull: {text}"
    assert await case.fails("a:1") == f'ImagePullBackOff: Back-off pulling image "a:1": ErrImagePull: {text}'
    assert case.said == [
        'Pulling: Pulling image "a:1"',
        f'Failed: Failed to pull image "a:1": {text}',
        "Failed: Error: ErrImagePull",
        'BackOff: Back-off pulling image "a:1"',
        "Failed: Error: ImagePullBackOff",
    ]
    with pytest.raises(Pulling):
        await case.want("a:1", asker="other/app/0")
    await case.pulled()
    for seconds in (10, 20, 40, 80, 160, 300, 300):
        case.clock.advance(seconds - 1)
        assert (await case.fails("a:1")).startswith("ImagePullBackOff")
        case.clock.advance(1)
        with pytest.raises(Pulling):
            await case.want("a:1")
        await case.pulled()
        assert (await case.fails("a:1")).startswith("ErrImagePull")


async def test_who_asks_at_once_shares_a_pull(tmp_path: Path) -> None:
    case = Case(tmp_path, pullable={"a:1"})
    case.registry.gate.clear()
    askers = ["u/app/0", "u/side/0", "v/app/0"]
    for asker in (*askers, askers[0]):
        with pytest.raises(Pulling):
            await case.want("a:1", asker=asker)
    case.registry.gate.set()
    await case.pulled()
    assert (len(case.registry.pulls), case.woken) == (1, 3)
    for asker in askers:
        await case.want("a:1", asker=asker)
    assert [line.split(":")[0] for line in case.said] == ["Pulling"] * 3 + ["Pulled"] * 3


@pytest.mark.parametrize(("configured", "most"), [
    ({}, 4), ({"max_parallel_image_pulls": 2}, 2), ({"serialize_image_pulls": True}, 1),
])  # fmt: skip
async def test_pulls_at_once(tmp_path: Path, configured: dict[str, Any], most: int) -> None:
    names = {f"a:{number}" for number in range(4)}
    case = Case(tmp_path, pullable=names, **configured)
    case.registry.gate.clear()
    for name in names:
        with pytest.raises(Pulling):
            await case.want(name, asker=f"{name}/app/0")
    while case.registry.at_once < most:
        await settle(1)
    case.registry.gate.set()
    await case.pulled()
    assert (case.registry.most_at_once, len(case.registry.pulls)) == (most, 4)


async def test_a_registry_that_is_overloaded_is_called_unavailable(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.registry.error = "received unexpected HTTP status: 503 Service Unavailable"
    with pytest.raises(Pulling):
        await case.want("a:1")
    await case.pulled()
    text = f"Error response from daemon: {case.registry.error}"
    assert await case.fails("a:1") == (
        f"RegistryUnavailable: image pull failed for a:1 because the registry is unavailable: {text}"
    )
    assert case.said[1] == f'Failed: Failed to pull image "a:1": RegistryUnavailable: {text}'


async def test_a_long_pull_tells_how_far_it_is(tmp_path: Path) -> None:
    case = Case(tmp_path, pullable={"a:1"})
    await case.begin("a:1")
    await case.clock.run_for(31)
    assert case.said[1:] == ['Pulling: Pulling image "a:1": 0 of 1 layers']
    case.registry.gate.set()
    await case.pulled()


async def test_a_pull_of_the_image_before_is_not_waited_for(tmp_path: Path) -> None:
    case = Case(tmp_path, present={"b:1"}, pullable={"a:1"})
    await case.begin("a:1")
    assert (await case.want("b:1")).id == "sha256:b:1"
    case.registry.gate.set()
    await case.pulled()
    assert (await case.want("b:1")).id == "sha256:b:1"
    assert (await case.want("a:1")).id == "sha256:a:1"


async def test_what_is_no_image_name(tmp_path: Path) -> None:
    case = Case(tmp_path)
    text = (
        'Failed to apply default image tag "Web:1": couldn\'t parse image name "Web:1": invalid reference format: '
        "repository name (library/Web) must be lowercase"
    )
    assert await case.fails("Web:1") == f"InvalidImageName: {text}"
    assert case.said == [f"InspectFailed: {text}", "Failed: Error: InvalidImageName"]


async def test_an_image_that_docker_cannot_show(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.registry.broken = "layer does not exist"
    text = 'Failed to inspect image "a:1": Error response from daemon: layer does not exist'
    assert await case.fails("a:1") == f"ImageInspectError: {text}"
    assert case.said == [f"InspectFailed: {text}", "Failed: Error: ImageInspectError"]


PRIVATE = {"r:5000/a:1": "good"}
GOOD, BAD = {"r:5000": {"username": "u", "password": "good"}}, {"r:5000": {"username": "u", "password": "bad"}}


async def test_a_private_image_needs_the_credentials_again(tmp_path: Path) -> None:
    """KEP-2535: a pod without credentials does not get what another's have brought onto the node."""
    secrets = {"good": pull_secret("good", GOOD), "same": pull_secret("same", GOOD), "bad": pull_secret("bad", BAD)}
    case = Case(tmp_path, pullable={"r:5000/a:1"}, private=PRIVATE, secrets=secrets)
    await case.fetch("r:5000/a:1", secret="good")
    assert len(case.registry.pulls) == 1
    for number, secret in enumerate(("good", "same")):
        await case.want("r:5000/a:1", asker=f"{number}/app/0", secret=secret)
    assert len(case.registry.pulls) == 1, "the same credentials need no pull"
    for number, secret in enumerate(("", "bad")):
        with pytest.raises(Pulling):
            await case.want("r:5000/a:1", asker=f"no-{number}/app/0", secret=secret)
        await case.pulled()
        assert (await case.fails("r:5000/a:1", asker=f"no-{number}/app/0", secret=secret)).startswith("ErrImagePull")
    assert (await case.fails("r:5000/a:1", "Never", "none/app/0")).startswith("ErrImageNeverPull")
    again = Case(tmp_path, present={"r:5000/a:1"}, private=PRIVATE, secrets=secrets)
    await again.want("r:5000/a:1", secret="good")
    with pytest.raises(Pulling):  # a restarted kubelet has not forgotten
        await again.want("r:5000/a:1", asker="v/app/0")


async def test_what_was_being_pulled_in_a_crash_is_nobodys(tmp_path: Path) -> None:
    case = Case(tmp_path, pullable={"a:1"})
    await case.begin("a:1")
    after = Case(tmp_path, present={"a:1", "b:1"}, pullable={"a:1"})
    await after.want("b:1")  # was there without us
    await after.fetch("a:1")
    await after.want("a:1", asker="v/app/0")
    assert after.registry.pulls == ["a:1"], "it took no credentials: it is for all"
    case.registry.gate.set()
    await case.pulled()


async def test_a_look_at_interrupted_pulls_that_fails_is_tried_again(tmp_path: Path) -> None:
    case = Case(tmp_path, pullable={"a:1"})
    await case.begin("a:1")
    after = Case(tmp_path, present={"a:1", "b:1"}, pullable={"a:1"})
    after.registry.failing = {"a:1": Unreachable("Docker is away")}
    for _ in range(2):
        with pytest.raises(Unreachable):
            await after.want("b:1")
    after.registry.failing = {}
    await after.want("b:1")
    await after.fetch("a:1")
    assert after.registry.pulls == ["a:1"]
    case.registry.gate.set()
    await case.pulled()


async def test_an_interrupted_pull_that_docker_cannot_show_holds_up_no_other_image(tmp_path: Path) -> None:
    killed = Records(tmp_path, FakeClock())
    killed.load()
    for image in ("a:1", "b:1"):
        killed.begin(image)
    after = Case(tmp_path, present={"a:1", "b:1", "c:1"}, pullable={"a:1", "b:1"})
    after.registry.failing = {"a:1": Refused("layer does not exist")}
    await after.want("c:1")
    await after.fetch("b:1")
    after.registry.failing = {}
    await after.fetch("a:1")
    assert after.registry.pulls == ["b:1", "a:1"]


async def test_a_pull_that_cannot_be_recorded_gives_nobody_the_image(tmp_path: Path) -> None:
    """On a full disk: whoever wants it has to ask the registry."""
    case = Case(tmp_path, pullable={"a:1"})
    (tmp_path / "image_manager" / "pulled").mkdir(parents=True)
    obstacle = tmp_path / "image_manager" / "pulled" / _file_name("sha256:a:1")
    obstacle.with_suffix(".tmp").mkdir()
    with pytest.raises(Pulling):
        await case.want("a:1")
    await case.pulled()
    assert "Is a directory" in await case.fails("a:1")
    obstacle.with_suffix(".tmp").rmdir()
    await case.fetch("a:1", asker="another/app/0")
    assert case.registry.pulls == ["a:1", "a:1"]


async def test_a_record_that_cannot_be_read_gives_nobody_the_image(tmp_path: Path) -> None:
    case = Case(tmp_path, pullable={"a:1"})
    await case.fetch("a:1")
    (record,) = (tmp_path / "image_manager" / "pulled").iterdir()
    record.write_text("")
    after = Case(tmp_path, present={"a:1"}, pullable={"a:1"})
    await after.fetch("a:1")
    assert after.registry.pulls == ["a:1"]


@pytest.mark.parametrize(("policy", "allowed", "image", "pulls"), [
    ("NeverVerify", (), "r:5000/a:1", False),
    ("NeverVerifyPreloadedImages", (), "r:5000/a:1", False),
    ("NeverVerifyAllowlistedImages", ("r:5000/a",), "r:5000/a:1", False),
    ("NeverVerifyAllowlistedImages", ("r:5000/team/*",), "r:5000/a:1", True),
    ("NeverVerifyAllowlistedImages", ("r:5000/team/*",), "r:5000/team/x/a:1", False),
    ("AlwaysVerify", (), "r:5000/a:1", True),
])  # fmt: skip
async def test_whose_credentials_are_verified(
    tmp_path: Path, policy: str, allowed: tuple[str, ...], image: str, pulls: bool
) -> None:
    """imagePullCredentialsVerificationPolicy, for an image that somebody else put onto the node."""
    case = Case(
        tmp_path, present={image}, pullable={image}, image_pull_verification=policy, preloaded_images_allowed=allowed
    )
    if pulls:
        await case.fetch(image)
    else:
        await case.want(image)
    assert len(case.registry.pulls) == pulls


@pytest.mark.parametrize("pattern", ["r.io/a:1", "busybox", "r.io/*/a", "/*", " r.io/a", "*"])
def test_what_may_not_be_allowed(pattern: str) -> None:
    with pytest.raises(ValueError, match="."):
        verification("NeverVerifyAllowlistedImages", [pattern])
    with pytest.raises(ValueError, match="no meaning"):
        verification("NeverVerify", ["r.io/a"])


async def test_credentials_are_tried_in_turn_the_nodes_last(tmp_path: Path) -> None:
    case = Case(tmp_path, pullable={"r:5000/a:1"}, private=PRIVATE, secrets={"bad": pull_secret("bad", BAD)})
    (tmp_path / "config.json").write_text(json.dumps({"auths": GOOD}))
    await case.fetch("r:5000/a:1", secret="bad")
    assert len(case.registry.pulls) == 2
    await case.want("r:5000/a:1", asker="other/app/0")  # what the node may pull is for every pod on it
    assert len(case.registry.pulls) == 2


async def test_a_missing_pull_secret_is_told_and_the_pull_tried(tmp_path: Path) -> None:
    case = Case(tmp_path, pullable={"a:1"})
    await case.fetch("a:1", secret="gone")
    assert case.warned[0] == (
        "FailedToRetrieveImagePullSecret: Unable to retrieve some image pull secrets (gone); "
        "attempting to pull the image may not succeed."
    )


# Names.


@pytest.mark.parametrize(("image", "name", "repository"), [
    ("busybox", "busybox:latest", "docker.io/library/busybox"),
    ("team/app:2", "team/app:2", "docker.io/team/app"),
    ("index.docker.io/team/app", "index.docker.io/team/app:latest", "docker.io/team/app"),
    ("localhost/app", "localhost/app:latest", "localhost/app"),
    ("h:5000/a/b__c.d-e:V1", "h:5000/a/b__c.d-e:V1", "h:5000/a/b__c.d-e"),
    (f"h.example/a:1@sha256:{'0' * 64}", f"h.example/a@sha256:{'0' * 64}", "h.example/a"),
])  # fmt: skip
def test_references(image: str, name: str, repository: str) -> None:
    found = reference.parse(image)
    assert (found.name, found.repository) == (name, repository)


@pytest.mark.parametrize(("image", "why"), [
    ("a b", "invalid reference format"),
    ("a:", "invalid reference format"),
    ("-a", "invalid reference format"),
    ("h/Web", "invalid reference format: repository name (h/Web) must be lowercase"),
    ("a" * 300, "repository name must not be more than 255 characters"),
    ("0" * 64, f"invalid repository name ({'0' * 64}), cannot specify 64-byte hexadecimal strings"),
    ("a@sha256:" + "0" * 40, "invalid checksum digest length"),
    ("a@md5:" + "0" * 32, "unsupported digest algorithm"),
])  # fmt: skip
def test_what_is_no_reference(image: str, why: str) -> None:
    with pytest.raises(reference.InvalidName) as raised:
        reference.parse(image)
    assert str(raised.value) == f'couldn\'t parse image name "{image}": {why}'


# Credentials.


def keys(*locations: str) -> Keyring:
    """Each key's user is named after it."""
    return of_config(json.dumps({"auths": {each: {"username": each, "password": "p"} for each in locations}}).encode(),
        None)  # fmt: skip


@pytest.mark.parametrize(("locations", "repository", "users"), [
    (("r.io", "r.io/team", "r.io/other"), "r.io/team/app", ["r.io/team", "r.io"]),
    (("*.r.io", "*.*.r.io"), "eu.r.io/app", ["*.r.io"]),
    (("*.r.io:5000",), "eu.r.io/app", []),
    (("r.io:5000",), "r.io:5000/app", ["r.io:5000"]),
    (("https://r.io/v1/",), "r.io/app", ["https://r.io/v1/"]),
    (("https://index.docker.io/v1/",), "docker.io/library/busybox", ["https://index.docker.io/v1/"]),
    (("https://index.docker.io/v1/",), "r.io/busybox", []),
    (("docker.io", "https://index.docker.io/v1/"), "docker.io/team/app", ["docker.io"]),
])  # fmt: skip
def test_which_credentials_match(locations: tuple[str, ...], repository: str, users: list[str]) -> None:
    assert [each.username for each in keys(*locations).lookup(repository)] == users


def test_the_forms_of_a_pull_secret() -> None:
    source = Secret("uid-s", "default", "s")
    joined = {"r.io": {"auth": base64.b64encode(b"me:a:b\0").decode()}}
    assert of_secret(pull_secret("s", joined)).lookup("r.io/app") == [Credential("me", "a:b", source)]
    old = base64.b64encode(json.dumps({"r.io": {"username": "me", "password": "p"}}).encode()).decode()
    secret = {**pull_secret("s", {}), "type": "kubernetes.io/dockercfg", "data": {".dockercfg": old}}
    assert of_secret(secret).lookup("r.io/app") == [Credential("me", "p", source)]
    assert of_secret({**secret, "type": "Opaque"}).lookup("r.io/app") == []
    with pytest.raises(ValueError, match="auth field"):
        of_secret(pull_secret("s", {"r.io": {"auth": "bWU="}}))


# What is said of them.


def test_progress() -> None:
    progress = Progress()
    assert progress.summary() == ""
    lines: list[Obj] = [
        {"status": "Pulling from team/app", "id": "1"},
        {"status": "Pulling fs layer", "id": "a"},
        {"status": "Already exists", "id": "b"},
        {"status": "Downloading", "id": "a", "progressDetail": {"current": 1_500_000, "total": 4_000_000}},
    ]
    for line in lines:
        progress.heard(line)
    assert progress.summary() == "1 of 2 layers, 1.5 MB of 4.0 MB"
    progress.heard({"status": "Pull complete", "id": "a"})
    assert progress.summary() == "2 of 2 layers, 4.0 MB of 4.0 MB"


@pytest.mark.parametrize(("seconds", "text"), [(0.0737, "73ms"), (1.2345, "1.234s"), (62.5, "1m2.5s"), (3, "3s")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
