"""Static pods: manifests read, followed, and mirrored.

Sources: pkg/kubelet/config/{common,file}.go, pkg/kubelet/pod/mirror_client.go.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from api.errors import AlreadyExists, NotFound
from api.meta import Obj
from client.clock import FakeClock, settle
from client.store import Store
from kubelet.pods import inotify, manifests
from kubelet.pods.critical import MIRROR, is_static, mirrored_uid
from kubelet.pods.manifests import Manifests
from kubelet.pods.mirrors import Mirrors, mirror_of, plan
from kubelet.pods.pods import Pods
from kubelet.pods.static import ManifestError, read
from tests.harness.eventually import eventually
from tests.unit.kubelet.pods import NOW

POD = """
apiVersion: v1
kind: Pod
metadata: {name: web, creationTimestamp: null, labels: {day: 2026-01-02}}
spec:
  containers: [{name: main, image: "busybox:1"}]
"""
NODE = {"metadata": {"name": "one", "uid": "n1"}}


def pod(text: str = POD, file: str = "/m/web.yaml", node: str = "one") -> Obj:
    return read(text.encode(), file, node, NOW)[0]


def with_spec(**more: Any) -> str:
    spec = {"containers": [{"name": "main", "image": "busybox:1"}], **more}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec})


def test_a_manifest_as_a_pod_of_its_node() -> None:
    """applyDefaults: name-node in lower case, namespace default, the uid in an annotation, tolerates NoExecute."""
    made = pod()
    meta = made["metadata"]
    assert (meta["name"], meta["namespace"]) == ("web-one", "default")
    assert meta["annotations"]["kubernetes.io/config.hash"] == meta["uid"] and len(meta["uid"]) == 32
    assert meta["annotations"]["kubernetes.io/config.source"] == "file"
    assert meta["annotations"]["kubernetes.io/config.seen"] == "2026-01-02T03:04:05.000000Z"
    assert meta["labels"] == {"day": "2026-01-02"}
    assert made["spec"]["nodeName"] == "one"
    assert {"effect": "NoExecute", "operator": "Exists"} in made["spec"]["tolerations"]
    assert made["spec"]["terminationGracePeriodSeconds"] == 30  # defaults are filled in
    assert made["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert made["status"]["phase"] == "Pending"
    assert is_static(made)


def test_names_are_text_as_in_json() -> None:
    """sigs.k8s.io/yaml: `on` and numbers are names, too."""
    text = POD.replace("labels: {day: 2026-01-02}", "labels: {on: x}, annotations: {1: y, 2.5: z}")
    meta = pod(text)["metadata"]
    assert meta["labels"] == {"true": "x"}
    assert meta["annotations"].items() >= {"1": "y", "2.5": "z"}.items()


def test_its_uid_names_node_file_and_content() -> None:
    same = {pod()["metadata"]["uid"], pod(POD + "# a remark\n")["metadata"]["uid"]}
    others = {
        pod(node="two")["metadata"]["uid"],
        pod(file="/m/other.yaml")["metadata"]["uid"],
        pod(POD.replace("busybox:1", "busybox:2"))["metadata"]["uid"],
    }
    assert len(same) == 1 and len(others | same) == 4
    given = POD.replace("name: web", "name: web, uid: my-own")
    assert pod(given)["metadata"]["uid"] == "my-own"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "couldn't parse as pod: "),
        ("a: b: c", "couldn't parse as pod: "),
        ("", "invalid pod: a manifest is one object of kind Pod"),
        ("[1]", "invalid pod: a manifest is one object of kind Pod"),
        (POD.replace("kind: Pod", "kind: Deployment"), "invalid pod: a manifest is one object of kind Pod"),
        (POD + "---\n" + POD, "couldn't parse as pod: "),
        (POD.replace("2026-01-02", "!!binary aGk="), "couldn't parse as pod: "),
        (POD.replace("2026-01-02", "!!set {a, b}"), "couldn't parse as pod: "),
        (POD.replace("{day: 2026-01-02}", "{? [a] : x}"), "couldn't parse as pod: "),
        (POD.replace("metadata: {", "metadata: &self {labels: *self, "), "couldn't parse as pod: "),
        (POD.replace("2026-01-02", "[" * 10_000), "couldn't parse as pod: "),
        (POD.replace("2026-01-02", str(2**70)), "couldn't parse as pod: "),
        (with_spec(containers=[]), "spec.containers: Required value"),
        (with_spec(restartPolicy="Perhaps"), 'spec.restartPolicy: Unsupported value: "Perhaps"'),
        (with_spec(containers="many"), "invalid pod: "),
        (POD.replace("name: web", "name: We_b"), "metadata.name: Invalid value"),
        (with_spec(serviceAccountName="x"), "static pods may not reference serviceaccounts"),
        (with_spec(imagePullSecrets=[{"name": "x"}]), "static pods may not reference secrets"),
        (with_spec(volumes=[{"name": "v", "configMap": {"name": "x"}}]), "static pods may not reference configmaps"),
        (
            with_spec(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "x"}}]),
            "static pods may not reference persistentvolumeclaims",
        ),
        (
            with_spec(volumes=[{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]),
            "serviceAccountToken: Forbidden: must not be specified when serviceAccountName is not set",
        ),
        (
            with_spec(containers=[{"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": "x"}}]}]),
            "static pods may not reference secrets",
        ),
    ],
)
def test_what_is_no_static_pod(text: str, why: str) -> None:
    with pytest.raises(ManifestError) as refused:
        pod(text)
    assert why in str(refused.value)


def test_what_needs_no_apiserver_is_fine() -> None:
    volumes = [
        {"name": "a", "hostPath": {"path": "/etc"}}, {"name": "b", "emptyDir": {}},
        {"name": "c", "downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]  # fmt: skip
    assert pod(with_spec(volumes=volumes))["spec"]["volumes"][1]["name"] == "b"


# Mirrors.


def mirror(of: Obj, **meta: Any) -> Obj:
    made = mirror_of(of, NODE)
    return {**made, "metadata": {**made["metadata"], "uid": "m1", **meta}}


def test_a_mirror_is_owned_by_its_node() -> None:
    """NodeRestriction lets a kubelet make no other."""
    made = mirror_of(pod(), NODE)
    meta = made["metadata"]
    assert meta["annotations"]["kubernetes.io/config.mirror"] == pod()["metadata"]["uid"] == mirrored_uid(made)
    assert meta["ownerReferences"] == [
        {"apiVersion": "v1", "kind": "Node", "name": "one", "uid": "n1", "controller": True}
    ]
    assert "uid" not in meta and "status" not in made


def test_which_mirrors_are_to_be_made_and_deleted() -> None:
    one, other = pod(), pod(POD.replace("busybox:1", "busybox:2"))
    assert plan([one], (), []) == ([], [one])
    assert plan([one], (), [mirror(one)]) == ([], [])
    deleting = mirror(one, deletionTimestamp="2026-01-02T03:04:05Z")
    assert plan([one], (), [deleting]) == ([deleting], [])  # made anew when it is gone
    assert plan([other], (), [mirror(one)]) == ([mirror(one)], [])
    assert plan([], {"default/web-one"}, [mirror(one)]) == ([], [])  # its containers are still being ended
    assert plan([], (), [mirror(one)]) == ([mirror(one)], [])


class Informer:
    """What the apiserver has."""

    def __init__(self, *pods: Obj) -> None:
        self.store, self.synced = Store(), asyncio.Event()
        for each in pods:
            self.store.put(each)

    def add_indexer(self, name: str, indexer: Any) -> None:
        self.store.add_indexer(name, indexer)

    def on_event(self, handler: Any) -> None:
        self.handler = handler

    async def wait_synced(self) -> None:
        await self.synced.wait()


def test_a_false_mirror_is_nobodys() -> None:
    """Anybody may write the uid of another's pod into an annotation: neither is it taken for that pod, nor for the
    mirror of a static pod of another name."""
    static = pod()
    uid = static["metadata"]["uid"]
    real = {"metadata": {"name": "real", "namespace": "default", "uid": "r1"}, "spec": {}}
    false = mirror(static, name="false", uid="f1")
    false_too = mirror(static, name="false-too", uid="f2")
    false_too["metadata"]["annotations"] = {MIRROR: "r1"}
    informer = Informer(real, false, false_too)
    pods = Pods(informer, None, None, None, FakeClock())  # type: ignore[arg-type]  # what is asked here
    pods.take_static([static])
    assert pods.stored(uid) is None
    assert pods.stored("r1") is real
    informer.store.put(mirror(static))
    assert pods.stored(uid) == mirror(static)
    assert pods.find("default", "web-one") is static
    informer.store.put(mirror(static, deletionTimestamp="2026-01-02T03:04:05Z"))
    assert pods.stored(uid) is None
    assert pods.static_state() == ([], set(), []), "nothing is to be deleted before it is known what runs"


class Nothing:
    """Docker and the disk of a node without pods."""

    async def wait_listed(self) -> None:
        """At once."""

    def pods(self) -> list[str]:
        return []

    known_pods = pods


async def test_pods_wait_until_the_node_is_known() -> None:
    """By its labels and taints they are refused: before they are known, nothing would be."""
    informer, nodes, nothing = Informer(), Informer(), Nothing()
    informer.synced.set()
    pods = Pods(informer, nodes, nothing, nothing, FakeClock())  # type: ignore[arg-type]  # what is asked here
    running = asyncio.create_task(pods.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert not pods.working
    nodes.synced.set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert pods.working
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class Apiserver:
    def __init__(self) -> None:
        self.did: list[tuple[str, str]] = []
        self.refuse: Exception | None = None

    async def create(self, _: Any, obj: Obj) -> Obj:
        if self.refuse is not None:
            raise self.refuse
        self.did.append(("create", obj["metadata"]["name"]))
        return obj

    async def delete(self, _: Any, name: str, namespace: str, *, grace_period: int, uid: str) -> Obj:
        assert (namespace, grace_period, uid) == ("default", 0, "m1")
        self.did.append(("delete", name))
        return {}


async def test_mirrors_are_tried_again_until_they_are_there() -> None:
    """Before the node is registered, while its namespace is missing, while the name is somebody else's."""
    server, clock, node = Apiserver(), FakeClock(), dict[str, Any]()
    state: list[Any] = [[pod()], set(), []]
    mirrors = Mirrors(server, lambda: tuple(state), lambda: node or None, clock)  # type: ignore[arg-type]  # two methods
    task = asyncio.create_task(mirrors.run())
    mirrors.wake()
    await settle()
    assert server.did == []
    node.update(NODE)
    for refusal in (NotFound('namespaces "x" not found'), AlreadyExists("is there")):
        server.refuse = refusal
        await clock.run_for(40)
    assert server.did == []
    server.refuse = None
    await clock.run_for(40)
    assert server.did[0] == ("create", "web-one")
    state[:] = [[], set(), [mirror(pod())]]
    mirrors.wake()
    await settle()
    assert server.did[-1] == ("delete", "web-one")
    task.cancel()


# The folder.


class Folder:
    def __init__(self, path: Path) -> None:
        self.taken: list[list[str]] = []
        self.said: list[str] = []
        self.manifests = Manifests(path, "one", self.take, self.said.append, FakeClock())

    def take(self, pods: list[Obj]) -> None:
        self.taken.append([p["metadata"]["name"] for p in pods])


async def test_a_folder_of_manifests(tmp_path: Path) -> None:
    """In order of their names; hidden files and folders are passed over; each mistake is told once."""
    folder = Folder(tmp_path)
    for name, text in {
        "b.yaml": POD, "a.json": with_spec().replace("web", "first"), ".swp": "{", "c.yaml": "{", "d.yaml": POD,
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    (tmp_path / "sub").mkdir()
    await folder.manifests.look()
    await folder.manifests.look()
    assert folder.taken == [["first-one", "web-one"]] * 2
    told = sorted(folder.said)
    assert len(told) == 2
    assert told[0].startswith(f"Could not process manifest file {tmp_path}/c.yaml: couldn't parse as pod: ")
    assert told[1].endswith('d.yaml: duplicate pod name "default/web-one", ignoring')
    (tmp_path / "b.yaml").unlink()
    (tmp_path / "c.yaml").write_text(POD.replace("web", "fixed"))
    await folder.manifests.look()
    assert folder.taken[-1] == ["first-one", "fixed-one", "web-one"]


async def test_nothing_in_a_file_holds_up_the_others(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "a.yaml").write_text(POD)
    (tmp_path / "b.yaml").write_text(POD.replace("2026-01-02", "!!binary aGk="))
    (tmp_path / "c.yaml").write_text("metadata: &self {labels: *self}")
    (tmp_path / os.fsdecode(b"d\xff.yaml")).write_text("{")
    await folder.manifests.look()
    assert folder.taken == [["web-one"]]
    assert len(folder.said) == 3
    assert "d\ufffd.yaml" in "".join(folder.said).encode().decode()


async def test_a_machine_without_inotify_is_looked_at_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """fs.inotify.max_user_instances: others may have taken all. It is asked for again with each look."""

    def none(_: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(inotify._LIBC, "inotify_init1", none)
    monkeypatch.setattr(manifests, "_EVERY", 0.01)
    folder = Folder(tmp_path)
    task = asyncio.create_task(folder.manifests.run())
    await asyncio.sleep(0.05)
    (tmp_path / "a.yaml").write_text(POD)
    await eventually(lambda: ["web-one"] in folder.taken, "the manifest is read")
    task.cancel()
    assert isinstance((await asyncio.gather(task, return_exceptions=True))[0], asyncio.CancelledError)


async def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "none")
    await folder.manifests.look()
    assert (folder.taken, folder.said) == ([[]], [])
    (tmp_path / "none").write_text(POD)  # the path may also be one manifest
    await folder.manifests.look()
    assert folder.taken[-1] == ["web-one"]


async def test_what_has_not_changed_is_the_same_pod(tmp_path: Path) -> None:
    """Also its `seen` annotation: or each look would make another version of it."""
    seen: list[list[Obj]] = []
    clock = FakeClock()
    manifests = Manifests(tmp_path, "one", seen.append, lambda _: None, clock)
    (tmp_path / "a.yaml").write_text(POD)
    await manifests.look()
    clock.advance(60)
    await manifests.look()
    assert seen[0][0] is seen[1][0]


async def test_a_change_is_noticed_at_once(tmp_path: Path) -> None:
    """inotify: no look is due for 20 s."""
    taken: list[int] = []
    manifests = Manifests(tmp_path, "one", lambda pods: taken.append(len(pods)), lambda _: None, FakeClock())
    task = asyncio.create_task(manifests.run())
    await asyncio.sleep(0.05)
    (tmp_path / "a.yaml").write_text(POD)
    clock = manifests._clock
    assert isinstance(clock, FakeClock)
    async with asyncio.timeout(5):
        while len(taken) < 2:
            await clock.run_for(0.2)
            await asyncio.sleep(0.01)
        # Removed and put back at once: the pod begins anew (mirror_pod_test.go, file is removed and recreated).
        (tmp_path / "a.yaml").unlink()
        (tmp_path / "a.yaml").write_text(POD)
        while len(taken) < 4:
            await clock.run_for(0.2)
            await asyncio.sleep(0.01)
        # Written over by a rename: the same pod.
        (tmp_path / ".new").write_text(POD)
        (tmp_path / ".new").rename(tmp_path / "a.yaml")
        while len(taken) < 5:
            await clock.run_for(0.2)
            await asyncio.sleep(0.01)
    assert taken == [0, 1, 0, 1, 1]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
