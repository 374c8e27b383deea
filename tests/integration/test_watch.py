"""Watches, as the official client, client-go (through kubectl) and our informer see them."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import kubernetes.watch
from kubernetes.client import CoreV1Api

from api.builtin import CONFIG_MAPS
from client.http import ApiClient
from client.informer import Informer
from tests.harness.eventually import eventually, eventually_sync
from tests.harness.upstream import Kubectl
from tests.integration.manifests import config_map, pod


class Lines:
    """What a long-running kubectl has printed so far."""

    def __init__(self, kubectl: Kubectl, *arguments: str) -> None:
        self.process = kubectl.start(*arguments)
        self.seen: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.seen.append(line.rstrip())

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self._reader.join(10)


def stream(core: CoreV1Api, namespace: str, **query: Any) -> list[dict[str, Any]]:
    """Raw events until the server ends the watch."""
    answer = core.list_namespaced_config_map(namespace, watch=True, _preload_content=False, **query)
    return [json.loads(line) for line in answer.data.decode().splitlines()]


def told(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(e["type"], e["object"]["metadata"].get("name", "")) for e in events]


def test_the_official_client_follows_changes(core: CoreV1Api, namespace: str) -> None:
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, config_map("a"))
    core.patch_namespaced_config_map("a", namespace, {"data": {"k": "v"}})
    core.delete_namespaced_config_map("a", namespace)
    seen = []
    watch = kubernetes.watch.Watch()
    for event in watch.stream(core.list_namespaced_config_map, namespace, resource_version=start, timeout_seconds=5):
        seen.append((event["type"], event["object"].metadata.name))
        if len(seen) == 3:
            watch.stop()
    assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_a_watch_without_revision_begins_with_what_is_there(core: CoreV1Api, namespace: str) -> None:
    for name in ("b", "a"):
        core.create_namespaced_config_map(namespace, config_map(name))
    assert told(stream(core, namespace, timeout_seconds=1)) == [("ADDED", "a"), ("ADDED", "b")]


def test_entering_and_leaving_a_selection(core: CoreV1Api, namespace: str) -> None:
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_config_map(namespace, config_map("a", labels={"app": "db"}))
    for app in ("web", "web2", "web", "db"):
        core.patch_namespaced_config_map("a", namespace, {"metadata": {"labels": {"app": app}}})
    events = stream(core, namespace, resource_version=start, timeout_seconds=1, label_selector="app in (web,web2)")
    assert [e["type"] for e in events] == ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]
    assert events[-1]["object"]["metadata"]["labels"] == {"app": "web"}
    assert int(events[-1]["object"]["metadata"]["resourceVersion"]) > int(
        events[-2]["object"]["metadata"]["resourceVersion"]
    )


def test_bookmarks_tell_how_far_a_quiet_watch_is(core: CoreV1Api, namespace: str) -> None:
    start = core.list_namespaced_config_map(namespace).metadata.resource_version
    core.create_namespaced_secret(namespace, {"metadata": {"name": "elsewhere"}})
    events = stream(core, namespace, resource_version=start, timeout_seconds=1, allow_watch_bookmarks=True)
    assert [e["type"] for e in events] == ["BOOKMARK"]
    mark = events[0]["object"]
    assert (mark["kind"], mark["apiVersion"]) == ("ConfigMap", "v1")
    assert int(mark["metadata"]["resourceVersion"]) > int(start)


def test_watch_list_sends_state_then_a_mark(core: CoreV1Api, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, config_map("a"))
    events = stream(
        core, namespace, timeout_seconds=1, allow_watch_bookmarks=True,
        send_initial_events=True, resource_version_match="NotOlderThan",
    )  # fmt: skip
    assert [e["type"] for e in events][:2] == ["ADDED", "BOOKMARK"]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_kubectl_get_watch(core: CoreV1Api, kubectl: Kubectl, namespace: str) -> None:
    core.create_namespaced_pod(namespace, pod("a"))
    lines = Lines(kubectl, "get", "pods", "-w", "--output-watch-events")
    try:
        eventually_sync(lambda: len(lines.seen) >= 2, "the present state")
        core.create_namespaced_pod(namespace, pod("b"))
        core.patch_namespaced_pod_status("a", namespace, {"status": {"phase": "Running"}})
        core.delete_namespaced_pod("b", namespace, grace_period_seconds=0)
        eventually_sync(lambda: len(lines.seen) >= 5, "three events")
    finally:
        lines.close()
    rows = [line.split() for line in lines.seen]
    assert rows[0] == ["EVENT", "NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert [row[:2] for row in rows[1:]][:3] == [["ADDED", "a"], ["ADDED", "b"], ["MODIFIED", "a"]]
    assert rows[-1][:2] == ["DELETED", "b"]


def test_kubectl_wait_returns(core: CoreV1Api, kubectl: Kubectl, namespace: str) -> None:
    core.create_namespaced_pod(namespace, pod("a"))
    waiting = Lines(kubectl, "wait", "pod/a", "--for=condition=Ready", "--timeout=20s")
    ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}], "phase": "Running"}}
    core.patch_namespaced_pod_status("a", namespace, ready)
    assert waiting.process.wait(20) == 0
    waiting.close()
    assert waiting.seen == ["pod/a condition met"]
    late = kubectl.run("wait", "pod/a", "--for=condition=Absent", "--timeout=1s").failed()
    assert "timed out waiting for the condition on pods/a" in late.stderr
    deleting = Lines(kubectl, "wait", "pod/a", "--for=delete", "--timeout=20s")
    core.delete_namespaced_pod("a", namespace, grace_period_seconds=0)
    assert deleting.process.wait(20) == 0
    deleting.close()


async def test_our_informer_keeps_up(ours: ApiClient, namespace: str) -> None:
    informer = Informer(ours, CONFIG_MAPS, namespace=namespace)
    heard: list[tuple[str, str]] = []

    def listen(kind: str, old: Any, new: Any) -> None:
        heard.append((kind, (new or old)["metadata"]["name"]))

    informer.on_event(listen)
    running = asyncio.create_task(informer.run())
    try:
        await asyncio.wait_for(informer.wait_synced(), 10)
        for i in range(20):
            await ours.create(CONFIG_MAPS, config_map(f"c{i}", namespace=namespace))
        await ours.delete(CONFIG_MAPS, "c7", namespace)
        done: Callable[[], bool] = lambda: len(informer.store.list()) == 19 and ("delete", "c7") in heard  # noqa: E731
        await eventually(done, "twenty came and one went")
    finally:
        running.cancel()
