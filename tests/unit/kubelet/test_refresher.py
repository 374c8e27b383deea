"""What brings changes into the volumes of running pods, and who is woken by what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from api.builtin import CONFIG_MAPS, PODS
from api.errors import Unauthorized
from api.meta import Obj
from client.clock import FakeClock
from client.informer import Informer
from kubelet.pods.facts import Facts
from kubelet.volumes import mounts
from kubelet.volumes.manager import Volumes
from kubelet.volumes.refresher import Refresher
from kubelet.volumes.watches import Key, shown
from tests.unit.kubelet.pods import pod


class Server:
    """Config maps by name; what is put is told to those who watch it."""

    def __init__(self) -> None:
        self.found: dict[str, Obj] = {}
        self.lists: list[str] = []
        self._watchers: list[tuple[str, asyncio.Queue[tuple[str, Obj]]]] = []
        self._revision = 1

    def put(self, name: str, value: str, **more: Any) -> None:
        self._revision += 1
        kind = "MODIFIED" if name in self.found else "ADDED"
        meta = {"name": name, "namespace": "default", "uid": name, "resourceVersion": str(self._revision)}
        self.found[name] = {"kind": "ConfigMap", "metadata": meta, "data": {"key": value}, **more}
        for selector, queue in self._watchers:
            if selector == f"metadata.name={name}":
                queue.put_nowait((kind, self.found[name]))

    @property
    def watched(self) -> list[str]:
        return sorted(selector for selector, _ in self._watchers)

    async def list(self, res: Any, namespace: str, *, fields: str, **_: Any) -> Obj:
        if res is not CONFIG_MAPS or namespace != "default":
            raise Unauthorized("nobody asked for that")
        self.lists.append(fields)
        items = [obj for name, obj in self.found.items() if fields == f"metadata.name={name}"]
        return {"items": items, "metadata": {"resourceVersion": str(self._revision)}}

    async def watch(self, *_: Any, fields: str, **__: Any) -> AsyncGenerator[tuple[str, Obj], None]:
        mine = (fields, asyncio.Queue[tuple[str, Obj]]())
        self._watchers.append(mine)
        try:
            while True:
                yield await mine[1].get()
        finally:
            self._watchers.remove(mine)

    # What the kubelet's lookup asks for.

    async def config_map(self, _: str, name: str) -> Obj | None:
        return self.found.get(name)

    async def token(self, *_: Any) -> str:
        return f"token {self._revision}"


class Node:
    def __init__(self, root: Path) -> None:
        self.clock, self.server = FakeClock(), Server()
        lookup = cast(Any, self.server)
        self.pods = Informer(lookup, PODS, clock=self.clock, indexers={"uid": lambda p: [p["metadata"]["uid"]]})
        self.volumes = Volumes(Facts("n1", "192.0.2.1", root), lookup, self.clock, cast(Any, None))
        self.retried: list[str] = []
        self._revision = 1
        self.refresher = Refresher(lookup, self.pods, lookup, self.volumes, self.clock, 60, self.retried.append)
        self._running = asyncio.create_task(self.refresher.run())

    async def close(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)

    async def start(self, obj: Obj) -> None:
        """As a worker does: the pod is heard of, set up, and its status written."""
        self.pods.apply("ADDED", obj)
        await self.volumes.set_up(obj, lambda _: None)
        self.change(obj, status={"phase": "Running"})

    def change(self, obj: Obj, **more: Any) -> Obj:
        self._revision += 1
        meta = {**obj["metadata"], "resourceVersion": str(self._revision), **more.get("metadata", {})}
        changed = {**obj, **more, "metadata": meta}
        self.pods.apply("MODIFIED", changed)
        return changed

    def file(self, plugin: str, path: str, uid: str = "u-1") -> str:
        return (self.volumes.pod_directory(uid) / "volumes" / f"kubernetes.io~{plugin}" / path).read_text()


@pytest.fixture
async def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Node, None]:
    monkeypatch.setattr(mounts, "mount_tmpfs", lambda _: None)
    made = Node(tmp_path)
    yield made
    await made.close()


async def eventually(clock: FakeClock, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            clock.advance(0.05)
            await asyncio.sleep(0)


def using(uid: str = "u-1", **sources: Obj) -> Obj:
    obj = pod(volumes=[{"name": name, **source} for name, source in sources.items()])
    obj["metadata"] |= {"uid": uid, "name": uid}
    obj["spec"]["containers"][0]["volumeMounts"] = [{"name": name, "mountPath": f"/{name}"} for name in sources]
    return obj


async def test_a_change_arrives_and_one_watch_serves_all_pods(node: Node) -> None:
    node.server.put("c", "old")
    for uid in ("u-1", "u-2"):
        await node.start(using(uid, c={"configMap": {"name": "c"}}))
    assert not node.server.lists, "nothing is asked for while a pod starts"
    await eventually(node.clock, lambda: node.server.watched == ["metadata.name=c"])
    node.server.put("c", "new")
    await eventually(node.clock, lambda: {node.file("configmap", "c/key", u) for u in ("u-1", "u-2")} == {"new"})
    assert node.server.lists == ["metadata.name=c"]
    for uid in ("u-1", "u-2"):
        node.pods.apply("DELETED", using(uid, c={"configMap": {"name": "c"}}))
    await eventually(node.clock, lambda: not node.server.watched)


async def test_what_is_immutable_is_not_watched(node: Node) -> None:
    node.server.put("c", "for ever", immutable=True)
    await node.start(using(c={"configMap": {"name": "c"}}))
    await eventually(node.clock, lambda: node.server.lists == ["metadata.name=c"])
    for _ in range(100):
        node.clock.advance(1)
        await asyncio.sleep(0)
    assert not node.server.watched and node.file("configmap", "c/key") == "for ever"


async def test_what_a_pod_waits_for_wakes_it(node: Node) -> None:
    late = using(c={"configMap": {"name": "late"}})
    node.pods.apply("ADDED", late)
    with pytest.raises(Exception, match="unmounted volumes"):
        await node.volumes.set_up(late, lambda _: None)
    node.change(late, status={"phase": "Pending"})
    await eventually(node.clock, lambda: node.server.watched == ["metadata.name=late"])
    assert not node.retried
    node.server.put("late", "here")
    await eventually(node.clock, lambda: node.retried == ["u-1"])


def test_what_volumes_show() -> None:
    """Only what a container mounts; a projected source of a secret says name, a volume secretName."""
    sources: list[Obj] = [{"secret": {"name": "b"}}, {"configMap": {"name": "c"}}, {"downwardAPI": {"items": []}}]
    obj = using(a={"secret": {"secretName": "a"}}, p={"projected": {"sources": sources}}, e={"emptyDir": {}})
    obj["spec"]["volumes"].append({"name": "unused", "configMap": {"name": "z"}})
    assert shown(obj) == {
        Key("secrets", "default", "a"), Key("secrets", "default", "b"), Key("configmaps", "default", "c"),
    }  # fmt: skip


async def test_labels_arrive_at_once_and_tokens_in_their_period(node: Node) -> None:
    items = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
    token = {"sources": [{"serviceAccountToken": {"path": "token"}}]}
    labelled, aging = using(d={"downwardAPI": {"items": items}}), using("u-2", t={"projected": token})
    for obj in (labelled, aging):
        await node.start(obj)
    node.server.put("anything", "so that tokens are others")
    node.change(labelled, metadata={"labels": {"a": "b"}})
    await eventually(node.clock, lambda: node.file("downward-api", "d/labels") == 'a="b"')
    assert node.clock.monotonic() < 60 and node.file("projected", "t/token", "u-2") == "token 1"
    node.clock.advance(60)
    await eventually(node.clock, lambda: node.file("projected", "t/token", "u-2") == "token 2")
