"""A pod's life told through the real worker, observer and runner, on a Docker of a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from api.meta import Obj
from client.clock import FakeClock
from kubelet.configuration import Configuration
from kubelet.docker.inspection import Event
from kubelet.docker.labels import CONTAINER_NAME, POD_UID, RESTART_COUNT, SANDBOX_ID, SPEC_HASH
from kubelet.docker.observer import Observer
from kubelet.docker.runtime import DockerRuntime, Missing, Refused, Unreachable
from kubelet.network.pod_network import PodNetwork
from kubelet.pods.ending import Endings
from kubelet.pods.facts import Facts
from kubelet.pods.model import SANDBOX, Container
from kubelet.pods.runner import Runner
from kubelet.pods.shared import Shared
from kubelet.pods.status_manager import StatusManager
from kubelet.pods.workers import PodWorker
from kubelet.probing.checks import Checks
from kubelet.probing.commands import Finished
from kubelet.probing.hooks import Hooks
from kubelet.probing.prober import Probing
from kubelet.volumes.manager import Volumes
from tests.unit.kubelet.pods import deleted, pod
from tests.unit.kubelet.registry import Registry, images
from tests.unit.kubelet.test_probes import Recorder


class Docker:
    """Keeps containers and sends events. `refuse` fails the next start with that message; `deaf` containers do not
    mind SIGTERM."""

    labels: Mapping[str, str] = {}

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.there, self.refuse = clock, dict[str, Container](), ""
        self.started: list[str] = []
        self.signals: dict[str, list[str]] = {}
        self.deaf = self.away = False
        self.lose_answer_to = ""
        """The next start of a container of that name is carried out, and its answer lost."""
        self._made: list[str] = []
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    async def containers(self) -> dict[str, str]:
        return {c.id: c.state for c in self.there.values()}

    async def inspect(self, container_id: str) -> Container:
        if container_id not in self.there:
            raise Missing(container_id)
        return self.there[container_id]

    async def events(self, since: float) -> AsyncIterator[Event]:
        while True:
            yield await self._events.get()

    async def find(self, name: str) -> Container | None:
        return self.there.get(name)

    async def create(self, name: str, config: Mapping[str, Any]) -> str:
        if name in self.there:
            raise Refused(f'Conflict. The container name "/{name}" is already in use')
        labels = config["Labels"]
        # As with the real one, an id is never used twice; the first of a name is its name, to read well.
        self._made.append(name)
        made = name + "+" * (self._made.count(name) - 1)
        self.there[made] = Container(
            made, labels[POD_UID], "web", "default", labels[CONTAINER_NAME], int(labels[RESTART_COUNT]),
            "created", sandbox_id=labels.get(SANDBOX_ID, ""), spec_hash=labels.get(SPEC_HASH, ""),
            ips=("10.0.0.9",) if labels[CONTAINER_NAME] == SANDBOX else (),
        )  # fmt: skip
        return made

    async def start(self, container_id: str) -> None:
        if self.refuse:
            self.refuse, why = "", self.refuse
            failed = replace(self.there[container_id], state="exited", start_failed=True, exit_code=127)
            self.there[container_id] = replace(failed, finished_at=self.clock.now(), error=why)
            raise Refused(why)
        self.started.append(container_id)
        self.there[container_id] = replace(self.there[container_id], state="running", started_at=self.clock.now())
        if self.there[container_id].name == self.lose_answer_to:
            self.lose_answer_to = ""
            raise Unreachable("the connection broke")

    async def kill(self, container_id: str, signal: str) -> None:
        if self.away:
            raise Unreachable("away")
        self.signals.setdefault(container_id, []).append(signal)
        if self.deaf and signal == "SIGTERM":
            return
        self.end(container_id, 143 if signal == "SIGTERM" else 137)

    async def remove(self, container_id: str) -> None:
        if self.there.pop(container_id, None) is not None:
            self._events.put_nowait(Event("destroy", container_id, {}))

    def end(self, container_id: str, code: int) -> None:
        found = self.there[container_id]
        if found.running:
            self.there[container_id] = replace(found, state="exited", exit_code=code, finished_at=self.clock.now())
            self._events.put_nowait(Event("die", container_id, {}))


class Api:
    """Stores the pod's status, and remembers its deletion."""

    def __init__(self, stored: Obj) -> None:
        self.stored, self.deleted = stored, False

    async def update(self, res: object, obj: Obj, *, subresource: str) -> Obj:
        self.stored = obj
        return obj

    async def get(self, res: object, name: str, namespace: str) -> Obj:
        return self.stored

    async def delete(self, res: object, name: str, namespace: str, *, grace_period: int, uid: str) -> Obj:
        assert (grace_period, uid) == (0, self.stored["metadata"]["uid"])
        self.deleted = True
        return self.stored


class Commands:
    """Runs commands in containers: each ends with the code that is its last word, when it is let go."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.held = asyncio.Event()
        self.held.set()

    async def run(self, container_id: str, command: list[str], seconds: float | None = None) -> Finished:
        self.ran.append(" ".join(command))
        await self.held.wait()
        return Finished(int(command[-1]), "", "no")


class Node:
    def __init__(self, root: Path, obj: Obj, docker: Docker | None = None, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.docker = docker or Docker(self.clock)
        self.api, self.recorder, self.done = Api(obj), Recorder(), False
        runtime = cast(DockerRuntime, self.docker)
        client = cast(Any, self.api)
        recorder = cast(Any, self.recorder)
        self.observer = Observer(runtime, self.clock)
        settings = Configuration(cluster_dns=("10.96.0.10",), cluster_domain="cluster.local")
        facts = Facts("n1", "192.0.2.1", root, settings)
        volumes = Volumes(facts, cast(Any, None), self.clock, cast(Any, None))
        runner = Runner(
            runtime, self.observer, images(Registry(None, set()), root, self.clock), volumes, cast(Any, None),
            PodNetwork(runtime, self.observer.sandboxes), list, recorder, facts, self.clock,
        )  # fmt: skip
        self.commands = Commands()
        commands = cast(Any, self.commands)
        hooks = Hooks(commands, self.observer, recorder, self.clock, facts.host_ip)
        endings = Endings(runtime, self.observer, hooks, recorder, self.clock)
        probing = Probing(Checks(commands), recorder, self.clock, facts.host_ip)
        self.shared = Shared(
            client, self.observer, runner, endings, probing, volumes,
            StatusManager(client, lambda _: None, self.clock), recorder, self.clock, lambda _: True,
        )  # fmt: skip
        self.observer.on_change(lambda _: self._workers[0].wake() if self._workers else None)
        self._workers: list[PodWorker] = []
        self._watching = asyncio.create_task(self.observer.run())

    async def begin(self) -> None:
        await self.observer.wait_listed()
        self._workers.append(PodWorker(self.api.stored, self.shared, self._finished))

    @property
    def worker(self) -> PodWorker:
        return self._workers[0]

    def _finished(self, _: PodWorker) -> None:
        self.done = True

    async def crash(self) -> None:
        """kill -9 of the kubelet: Docker goes on."""
        await self.worker.close()
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)

    @property
    def status(self) -> Obj:
        found: Obj = self.api.stored.get("status") or {}
        return found

    def told(self, name: str = "app") -> Obj:
        found: Obj = next(c for c in self.status.get("containerStatuses", [{"name": name}]) if c["name"] == name)
        return found

    def name(self, attempt: int, of: str = "app") -> str:
        return f"k8s_{of}_web_default_u-1_{attempt}"


async def eventually(condition: Callable[[], bool]) -> None:
    """Threads write small files in between, so turns of the loop are not countable."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  (there is no event for "anything has changed")
            await asyncio.sleep(0)


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    made = Node(tmp_path, pod())
    await made.begin()
    yield made
    await made.crash()


async def test_a_pod_comes_up(node: Node) -> None:
    await eventually(lambda: node.status.get("phase") == "Running")
    assert node.docker.started == [node.name(0, SANDBOX), node.name(0)]
    assert node.status["podIP"] == "10.0.0.9"
    assert node.told()["ready"]
    assert [m.split(" ")[0] for m in node.recorder.messages] == ["Pulled", "Created", "Started"]


async def test_a_volume_may_be_late(tmp_path: Path) -> None:
    """As upstream, the kubelet soon looks again, and waits longer each time."""
    late = tmp_path / "late"
    wanted = pod(volumes=[{"name": "v", "hostPath": {"path": str(late), "type": "Directory"}}])
    wanted["spec"]["containers"][0]["volumeMounts"] = [{"name": "v", "mountPath": "/v"}]
    made = Node(tmp_path, wanted)
    began = made.clock.monotonic()
    await made.begin()

    def has_failed(times: int) -> bool:
        made.clock.advance(0.002)  # slowly: threads look at paths meanwhile
        return sum(m.startswith("FailedMount") for m in made.recorder.messages) >= times

    await eventually(lambda: has_failed(3))
    assert 1.1 < made.clock.monotonic() - began < 10
    assert not made.docker.started
    late.mkdir()
    await eventually(lambda: has_failed(3) and made.status.get("phase") == "Running")
    await made.crash()


async def test_a_killed_container_comes_back(node: Node) -> None:
    await eventually(lambda: "running" in node.told().get("state", {}))
    node.docker.end(node.name(0), 137)
    await eventually(lambda: node.told().get("restartCount") == 1 and "running" in node.told()["state"])
    assert node.told()["lastState"]["terminated"]["exitCode"] == 137
    assert node.status["phase"] == "Running"


async def test_a_crashing_container_waits_longer_each_time(node: Node) -> None:
    def waits(delay: str) -> bool:
        waiting = node.told().get("state", {}).get("waiting", {})
        text = f"back-off {delay} restarting"
        return bool(waiting.get("reason") == "CrashLoopBackOff" and waiting["message"].startswith(text))

    await eventually(lambda: node.name(0) in node.docker.started)
    node.docker.end(node.name(0), 1)
    for attempt, seconds in ((1, 10), (2, 20), (3, 40)):
        await eventually(lambda n=attempt: node.name(n) in node.docker.started)  # type: ignore[misc]
        node.docker.end(node.name(attempt), 1)
        await eventually(lambda s=seconds: waits(f"{s}s"))  # type: ignore[misc]
        node.clock.advance(seconds - 1)
        assert node.name(attempt + 1) not in node.docker.started
        node.clock.advance(2)


async def test_a_killed_sandbox_is_replaced_with_all_in_it(node: Node) -> None:
    await eventually(lambda: "running" in node.told().get("state", {}))
    node.docker.end(node.name(0, SANDBOX), 137)
    await eventually(lambda: node.told().get("restartCount") == 1 and "running" in node.told()["state"])
    assert set(node.docker.there) == {node.name(1, SANDBOX), node.name(0), node.name(1)}
    assert any(m.startswith("SandboxChanged") for m in node.recorder.messages)


async def test_what_cannot_be_started_says_why(node: Node) -> None:
    await eventually(lambda: bool(node.docker.started))
    node.docker.refuse = 'exec: "x": executable file not found'
    await eventually(lambda: node.told().get("restartCount") == 1 and "running" in node.told()["state"])
    assert node.told()["lastState"]["terminated"]["reason"] == "ContainerCannotRun"
    assert any("failed to start container" in m for m in node.recorder.messages)


async def test_a_deleted_pod_is_ended_removed_and_confirmed(node: Node, tmp_path: Path) -> None:
    await eventually(lambda: "running" in node.told().get("state", {}))
    node.worker.update(deleted(node.api.stored, 5))
    await eventually(lambda: node.done)
    assert node.docker.there == {}
    assert node.api.deleted
    assert node.told()["state"]["terminated"]["exitCode"] == 143
    assert not (tmp_path / "pods" / "u-1").exists()
    assert "Killing Stopping container app" in node.recorder.messages


async def test_a_pod_that_vanished_is_ended_in_silence(node: Node) -> None:
    await eventually(lambda: "running" in node.told().get("state", {}))
    node.worker.lose(node.api.stored)
    await eventually(lambda: node.done)
    assert node.docker.there == {}
    assert not node.api.deleted


async def test_a_restarted_kubelet_restarts_nothing(node: Node, tmp_path: Path) -> None:
    await eventually(lambda: "running" in node.told().get("state", {}))
    await node.crash()
    before = list(node.docker.started)
    again = Node(tmp_path, node.api.stored, node.docker, node.clock)
    await again.begin()
    again.docker.end(node.name(0), 1)
    await eventually(lambda: again.told().get("restartCount") == 1)
    assert node.docker.started == [*before, node.name(1)]
    await again.crash()


@pytest.mark.parametrize("name", ["app", SANDBOX])
async def test_a_start_whose_answer_was_lost_is_not_done_again(tmp_path: Path, name: str) -> None:
    """Nobody has told the kubelet of the container: it finds it when it wants to make another of that name."""
    made = Node(tmp_path, pod())
    made.docker.lose_answer_to = name
    await made.begin()
    await eventually(lambda: made.name(0, name) in made.docker.started)
    assert made.observer.get(made.name(0, name)) is None

    def runs() -> bool:
        made.clock.advance(0.01)
        return made.status.get("phase") == "Running"

    await eventually(runs)
    assert made.docker.started == [made.name(0, SANDBOX), made.name(0)]
    assert (tmp_path / "pods" / "u-1" / "etc-hosts").read_text().count("10.0.0.9\tweb") == 1
    assert made.told()["restartCount"] == 0
    await made.crash()


async def test_a_crash_between_create_and_start_is_made_up_for(node: Node, tmp_path: Path) -> None:
    await eventually(lambda: "running" in node.told().get("state", {}))
    await node.crash()
    half = replace(node.docker.there[node.name(0)], state="created", started_at=None)
    node.docker.there[node.name(0)] = half
    again = Node(tmp_path, pod(), node.docker, node.clock)
    await again.begin()
    await eventually(lambda: again.status.get("phase") == "Running")
    assert again.told()["restartCount"] == 0
    assert sorted(c.state for c in node.docker.there.values()) == ["running", "running"]
    await again.crash()
