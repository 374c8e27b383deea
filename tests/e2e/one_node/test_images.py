"""Images from registries: public, private, slow and broken ones; and what becomes of images nobody uses."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import manifests
from tests.harness.cluster import HELLO, HELLO_NEXT, Cluster
from tests.harness.eventually import eventually_sync
from tests.harness.registry import PASSWORD, USER, Base, Front, Registry

Obj = dict[str, Any]
_PULLED = r'Successfully pulled image "{}" in \S+ \(\S+ including waiting\)\. Image size: [1-9]\d* bytes\.'


class Registries:
    def __init__(self, directory: Path, base: Base) -> None:
        self.base = base
        self.open, self.private = Registry(directory / "open"), Registry(directory / "private", private=True)
        self.open.start()
        self.private.start()
        self.front = Front(self.open)

    def stop(self) -> None:
        self.front.close()
        self.open.stop()
        self.private.stop()


@pytest.fixture(scope="module")
def registries(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registries]:
    made = Registries(tmp_path_factory.mktemp("registries"), Base.of(HELLO, cluster.docker_socket()))
    try:
        yield made
    finally:
        made.stop()
        listed = cluster.docker("images", "--format", "{{.Repository}} {{.ID}}").splitlines()
        ours = {line.split(" ")[1] for line in listed if line.startswith("127.0.0.1:")}
        if ours:
            cluster.docker("rmi", "--force", *ours)


class Pods:
    """Makes pods of one container and tells what became of them."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster, self._namespace = cluster, namespace

    def make(self, **images: str | tuple[str, str] | Obj) -> None:
        """name → image, (image, pull policy), or an image with more of the pod's spec."""
        made = []
        for name, given in images.items():
            more = dict(given) if isinstance(given, dict) else {}
            image, policy = given if isinstance(given, tuple) else (more.pop("image", given), "IfNotPresent")
            container = manifests.shell(manifests.SLEEP, image=image, imagePullPolicy=policy)
            made.append(manifests.pod(name.replace("_", "-"), container, **more))
        self._cluster.apply(manifests.documents(*made), self._namespace)

    def status(self, name: str) -> Obj:
        pod = self._cluster.get("pod", name, namespace=self._namespace)
        found: Obj = (pod["status"].get("containerStatuses") or [{"state": {}}])[0]
        return found

    def events(self, name: str) -> list[tuple[str, str]]:
        """(reason, message), as they came, without those of other components."""
        found = self._cluster.items(
            "events", f"--field-selector=involvedObject.name={name}", namespace=self._namespace
        )  # fmt: skip
        found.sort(key=lambda event: event["metadata"]["name"].rpartition(".")[2])
        return [(e["reason"], e["message"]) for e in found if e["source"].get("component") == "kubelet"]

    def running(self, *names: str) -> None:
        def all_run() -> bool:
            pods = self._cluster.items("pods", namespace=self._namespace)
            phases = {pod["metadata"]["name"]: pod["status"].get("phase") for pod in pods}
            assert all(phases[name] == "Running" for name in names), phases
            return True

        eventually_sync(all_run, f"{names} run", within=60, pause=0.2)

    def waits(self, name: str, *reasons: str) -> str:
        """The message with which it waits for one of the reasons."""

        def seen() -> str:
            waiting = self.status(name)["state"].get("waiting") or {}
            assert waiting.get("reason") in reasons, self.status(name)
            return str(waiting.get("message"))

        return eventually_sync(seen, f"{name} waits: {reasons}", within=60, pause=0.2)

    def told(self, name: str, *wanted: tuple[str, str]) -> None:
        """Events that came in this order, whatever else came; messages are regular expressions."""

        def all_came() -> bool:
            found = iter(events := self.events(name))
            for reason, message in wanted:
                assert any(r == reason and re.fullmatch(message, m) for r, m in found), (reason, message, events)
            return True

        eventually_sync(all_came, f"the events of {name}", within=20, pause=0.2)


@pytest.fixture
def pods(cluster: Cluster, namespace: str) -> Pods:
    return Pods(cluster, namespace)


def test_pull_policies(pods: Pods, registries: Registries) -> None:
    """IfNotPresent pulls what is not there, Always every time, Never not at all; a digest names one image for ever.
    Events and statuses read as upstream's: pkg/kubelet/images/image_manager.go EnsureImageExists,
    https://kubernetes.io/docs/concepts/containers/images/#image-pull-policy"""
    at = registries.open.address
    app, never = f"{at}/app:1", f"{at}/never:1"
    app_digest, by_digest = (f"{at}/{name}@{registries.open.push(name, registries.base)}" for name in ("app", "pinned"))
    pods.make(
        absent=app, never=(never, "Never"), digest=by_digest, nonsense="No Image", late=f"{at}/late:1",
        refused="127.0.0.1:9/app:1",
    )  # fmt: skip
    pods.running("absent", "digest")
    for name, image, digest in (("absent", app, app_digest), ("digest", by_digest, by_digest)):
        assert pods.status(name)["imageID"] == f"docker-pullable://{digest}"
        pods.told(name, ("Pulling", f'Pulling image "{re.escape(image)}"'), ("Pulled", _PULLED.format(re.escape(image))),
            ("Created", ".*"), ("Started", ".*"))  # fmt: skip

    text = f'Container image "{never}" is not present with pull policy of Never'
    assert pods.waits("never", "ErrImageNeverPull") == text
    pods.told("never", ("ErrImageNeverPull", re.escape(text)), ("Failed", "Error: ErrImageNeverPull"))

    text = (
        'Failed to apply default image tag "No Image": couldn\'t parse image name "No Image": invalid reference format: '
        "repository name (library/No Image) must be lowercase"
    )
    assert pods.waits("nonsense", "InvalidImageName") == text
    pods.told("nonsense", ("InspectFailed", re.escape(text)), ("Failed", "Error: InvalidImageName"))

    late = re.escape(f"{at}/late:1")
    waits = pods.waits("late", "ImagePullBackOff")
    assert re.fullmatch(f'Back-off pulling image "{late}": ErrImagePull: Error response from daemon: .*', waits)
    pods.told("late", ("Pulling", f'Pulling image "{late}"'),
        ("Failed", f'Failed to pull image "{late}": Error response from daemon: manifest for {late} not found: .*'),
        ("Failed", "Error: ErrImagePull"), ("BackOff", f'Back-off pulling image "{late}"'),
        ("Failed", "Error: ImagePullBackOff"))  # fmt: skip
    assert "connection refused" in pods.waits("refused", "ErrImagePull", "ImagePullBackOff")
    registries.open.push("late", registries.base)

    pods.make(present=app, always=(app, "Always"))
    pods.running("present", "always", "late")
    text = f'Container image "{app}" already present on machine and can be accessed by the pod'
    pods.told("present", ("Pulled", re.escape(text)))
    assert "Pulling" not in {reason for reason, _ in pods.events("present")}
    pods.told("always", ("Pulled", _PULLED.format(re.escape(app))))


def _pull_secret(name: str, address: str, password: str, *, old: bool = False) -> Obj:
    entry = {address: {"auth": base64.b64encode(f"{USER}:{password}".encode()).decode()}}
    key, document = (".dockercfg", entry) if old else (".dockerconfigjson", {"auths": entry})
    data = {key: base64.b64encode(json.dumps(document).encode()).decode()}
    meta = {"name": name}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": f"kubernetes.io/{key[1:]}", "data": data}


def test_private_images(cluster: Cluster, namespace: str, pods: Pods, registries: Registries) -> None:
    """Pull secrets of the pod, of either form, several in turn, or of its account; a secret that is missing is told
    (kubelet_pods.go getPullSecretsForPod). Without credentials there is no private image, not even when another pod's
    have brought it onto the node (KEP-2535, pkg/kubelet/images/pullmanager)."""
    at = registries.private.address
    for name in ("app", "other", "third"):
        registries.private.push(f"team/{name}", registries.base)
    app, other, third = (f"{at}/team/{name}:1" for name in ("app", "other", "third"))
    cluster.apply(manifests.documents(
        _pull_secret("good", f"127.0.*.1:{at.split(':')[1]}/team", PASSWORD), _pull_secret("bad", at, "wrong"),
        _pull_secret("old", f"http://{at}/v2/", PASSWORD, old=True),
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "puller"},
         "imagePullSecrets": [{"name": "good"}]},
    ), namespace)  # fmt: skip

    def using(image: str, *secrets: str) -> Obj:
        return {"image": image, "imagePullSecrets": [{"name": name} for name in secrets]}

    pods.make(
        good=using(app, "bad", "good"), bad=using(app, "bad"), old=using(other, "old", "gone"), none=app,
        account={"image": third, "serviceAccountName": "puller"},
    )  # fmt: skip
    pods.running("good", "old", "account")
    pods.told("old", ("FailedToRetrieveImagePullSecret", re.escape(
        "Unable to retrieve some image pull secrets (gone); attempting to pull the image may not succeed.")))  # fmt: skip
    assert "no basic auth credentials" in pods.waits("none", "ErrImagePull", "ImagePullBackOff")
    assert "unauthorized" in pods.waits("bad", "ErrImagePull", "ImagePullBackOff")

    pods.make(stranger=app, friend=using(app, "good"), never={"image": app, "imagePullSecrets": []})
    pods.running("friend")
    pods.told("friend", ("Pulled", f'Container image "{re.escape(app)}" already present on machine .*'))
    pods.told("stranger", ("Pulling", ".*"), ("Failed", "Failed to pull image .* no basic auth credentials"))


def test_registries_that_misbehave(pods: Pods, registries: Registries) -> None:
    """A slow pull holds up nobody else, and is one for all who wait for it; what arrives spoilt is not run; a registry
    that is overloaded is told apart (RegistryUnavailable: image_manager.go evalCRIPullErr, cri-dockerd's
    libdocker filterHTTPError)."""
    at = registries.front.address
    for name in ("slow/app", "broken/app", "overloaded/app", "quick"):
        registries.open.push(name, registries.base)
    slow = f"{at}/slow/app:1"
    pods.make(
        slow_1=slow, slow_2=slow, slow_3=slow, quick=f"{at}/quick:1", broken=f"{at}/broken/app:1",
        overloaded=f"{at}/overloaded/app:1",
    )  # fmt: skip
    pods.running("quick")
    assert pods.status("slow-1")["state"] == {"waiting": {"reason": "ContainerCreating"}}
    text = pods.waits("overloaded", "RegistryUnavailable")
    assert re.fullmatch(
        rf"image pull failed for {at}/overloaded/app:1 because the registry is unavailable: .*503.*", text
    )
    pods.told("overloaded", ("Failed", "Failed to pull image .*: RegistryUnavailable: .*503 Service Unavailable.*"),
        ("Failed", "Error: RegistryUnavailable"), ("BackOff", ".*"))  # fmt: skip
    assert "verification failed" in pods.waits("broken", "ErrImagePull", "ImagePullBackOff")
    pods.running("slow-1", "slow-2", "slow-3")
    manifests_read = [path for path in registries.front.asked if path == "/v2/slow/app/manifests/1"]
    assert len(manifests_read) == 1, "one pull for three pods"
    for name in ("slow-1", "slow-2", "slow-3"):
        (text,) = (text for reason, text in pods.events(name) if reason == "Pulled")
        took = re.search(r" in (?:(\d+)m)?([\d.]+)s \(", text)
        assert took is not None, text
        assert int(took[1] or 0) * 60 + float(took[2]) >= Front.SECONDS


@pytest.fixture
def reconfigured(cluster: Cluster) -> Iterator[Callable[[Obj], None]]:
    """Restarts the kubelet with these fields set, and puts its file back in the end."""
    file = cluster.data / "nodes" / cluster.node()["metadata"]["name"] / "kubelet.yaml"
    before = file.read_text()

    def restart() -> None:
        old = cluster.pid("-m", "kubelet")
        cluster.kill(old)
        eventually_sync(lambda: cluster.pid("-m", "kubelet") != old, "the kubelet is back", within=30)

    def configure(more: Obj) -> None:
        file.write_text(yaml.safe_dump({**yaml.safe_load(before), **more}))
        restart()

    yield configure
    file.write_text(before)
    restart()


def test_images_nobody_uses(
    cluster: Cluster, namespace: str, pods: Pods, registries: Registries, reconfigured: Callable[[Obj], None]
) -> None:
    """When the disk is fuller than imageGCHighThresholdPercent, images that no container uses are removed, and what
    cannot be freed is told (FreeDiskSpaceFailed: image_gc_manager.go GarbageCollect). What a container uses stays, and
    what no registry could give back."""
    for name in ("used", "unused"):
        registries.open.push(name, registries.base)
    used, unused = (f"{registries.open.address}/{name}:1" for name in ("used", "unused"))
    pods.make(used=used, unused=unused)
    pods.running("used", "unused")
    cluster.kubectl("delete", "pod", "unused", namespace=namespace)
    reconfigured({"imageGCHighThresholdPercent": 1, "imageGCLowThresholdPercent": 0, "imageMinimumGCAge": "1ms"})

    def removed() -> bool:
        left = cluster.docker("images", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
        assert unused not in left
        assert {used, HELLO, HELLO_NEXT} <= set(left)
        return True

    eventually_sync(removed, "the image is gone", within=60, pause=0.2)
    name = cluster.node()["metadata"]["name"]

    def told() -> bool:
        found = cluster.items("events", f"--field-selector=involvedObject.name={name}", "-A")
        texts = [event["message"] for event in found if event["reason"] == "FreeDiskSpaceFailed"]
        pattern = (
            r"Insufficient free disk space on the node's image filesystem \(\d+% of \S+ [KMGT]iB used\)\. Failed to free "
            r"sufficient space by deleting unused images \(freed \d+ bytes\)\. Investigate disk usage, .*"
        )
        assert any(re.fullmatch(pattern, text) for text in texts), found
        return True

    eventually_sync(told, "what could not be freed is told", within=30)
    pods.make(again=unused)
    pods.running("again", "used")
    pods.told("again", ("Pulled", _PULLED.format(re.escape(unused))))


def test_images_are_put_onto_the_node(cluster: Cluster, pods: Pods, tmp_path: Path) -> None:
    """`sampan image load` takes what `docker save` writes; a node that has it is left alone."""
    name, archive = "sampan-test/loaded:1", tmp_path / "saved.tar"
    cluster.docker("tag", HELLO, name)
    cluster.docker("save", "-o", str(archive), name)
    assert "already on 1 node" in cluster.sampan("image", "load", name, str(archive)).stderr
    cluster.docker("rmi", name)
    assert "put on" in cluster.sampan("image", "load", str(archive)).stderr
    assert re.search(rf"^{name} +[0-9a-f]{{12}} +\S+ MB +all$", cluster.sampan("image", "list").stdout, re.MULTILINE)
    pods.make(loaded=(name, "Never"))
    pods.running("loaded")
    assert "from" in cluster.sampan("image", "rm", name).stderr
    assert "no node has an image" in cluster.sampan("image", "rm", name, check=False).stderr
    (tmp_path / "junk").write_text("junk")
    assert "no archive of images" in cluster.sampan("image", "load", str(tmp_path / "junk"), check=False).stderr
