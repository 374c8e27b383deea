"""Whatever happens, and in whatever order: nothing is doubled, nothing of a deleted pod is left running."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from api.meta import Obj
from kubelet.pods.model import SANDBOX, Container, Ending, PodContainers, Probes, find_container
from kubelet.pods.status.build import build
from kubelet.pods.sync.decide import decide
from kubelet.pods.sync.plan import Finish, Kill, MakeSandbox, Memory, Plan, Remove, StartContainer, StopSandbox
from kubelet.pods.sync.restarts import LOST, restarts
from tests.unit.kubelet.pods import NOW, deleted, pod


class World:
    """A Docker that does what it is told, and a fate that does what it likes."""

    def __init__(self, obj: Obj) -> None:
        self.pod, self.memory, self.now = obj, Memory(), NOW
        self.containers: dict[str, Container] = {}
        self.finished = False
        self.codes: dict[str, int] = {}
        """How the last run of a container ended, as far as anybody can know."""
        self._made = 0

    def observed(self) -> PodContainers:
        return PodContainers.of(self.containers.values())

    def make(self, name: str, attempt: int, state: str) -> None:
        twins = [c for c in self.containers.values() if (c.name, c.attempt) == (name, attempt)]
        assert not twins, f"two containers of {name} attempt {attempt}"
        if name != SANDBOX and state == "running":
            alive = [c for c in self.containers.values() if c.name == name and c.running]
            assert not alive, f"a second {name} was started beside a running one"
        self._made += 1
        live = self.observed().live_sandbox
        made = Container(
            f"c{self._made}", "u-1", "web", "default", name, attempt, state,
            sandbox_id="" if name == SANDBOX or live is None else live.id, started_at=self.now,
        )  # fmt: skip
        self.containers[made.id] = made

    def end(self, container_id: str, code: int) -> None:
        found = self.containers.get(container_id)
        if found is not None and found.running:
            ended = replace(found, state="exited", exit_code=code, finished_at=self.now)
            self.containers[container_id] = ended
            self.codes[found.name] = code
            self.memory.kills.pop(container_id, None)

    def vanish(self, container_id: str) -> None:
        """Somebody removes it. What the stored status has told of it stays known."""
        gone = self.containers.pop(container_id)
        kinds = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
        status = self.pod.get("status") or {}
        told = [c.get("containerID") for kind in kinds for c in status.get(kind) or []]
        if f"docker://{container_id}" not in told or any(c.name == gone.name for c in self.containers.values()):
            self.codes.pop(gone.name, None)
        elif gone.running:
            self.codes[gone.name] = LOST

    def sync(self, stop_after: int, crash_in_start: bool) -> None:
        """One decision, carried out up to `stop_after` actions (the kubelet may die at any point), and reported."""
        plan = decide(self.pod, self.observed(), self.memory, self.now)
        self._carry_out(plan, stop_after, crash_in_start)
        status = build(self.pod, self.observed(), self.memory, plan, "192.0.2.1", self.now)
        self.pod = {**self.pod, "status": status}

    def _carry_out(self, plan: Plan, stop_after: int, crash_in_start: bool) -> None:
        for action in plan.actions[:stop_after]:
            assert not self.finished
            if self.pod["metadata"].get("deletionTimestamp") or self.memory.ending is not None:
                assert not isinstance(action, StartContainer | MakeSandbox), "a pod that is to go starts something"
            match action:
                case MakeSandbox(attempt):
                    self.make(SANDBOX, attempt, "running")
                    return
                case StartContainer(name, attempt, back_off):
                    self.judge_start(name)
                    self.make(name, attempt, "created" if crash_in_start else "running")
                    if back_off is not None:
                        self.memory.back_offs[name] = back_off
                case Kill(container, grace):
                    self.memory.kills[container.id] = self.now + timedelta(seconds=grace)
                    self.memory.renewals |= {container.id} if action.renew else set()
                case StopSandbox(container):
                    self.end(container.id, 137)
                case Remove(container):
                    self.containers.pop(container.id, None)
                case Finish():
                    assert not self.observed().running()
                    self.containers.clear()
                    self.finished = True
                    return

    def judge_start(self, name: str) -> None:
        """Its turn has come, and what had ended for good is not run again."""
        observed = self.observed()
        live = observed.live_sandbox
        assert live is not None
        if name in ("a", "b"):
            for spec in self.pod["spec"]["initContainers"]:
                here = [c for c in observed.containers.get(spec["name"], []) if c.sandbox_id == live.id]
                ran = any(c.sandbox_id == live.id for n in "ab" for c in observed.containers.get(n, []))
                assert here or ran, f"{name} was started before {spec['name']}"
        if name in self.codes and name in ("a", "b", "dbg"):
            spec = find_container(self.pod, name)
            renewed = self.memory.renews(observed.latest(name))
            assert spec is not None
            assert renewed or restarts(self.pod, spec, self.codes[name]), f"{name} had ended for good"

    def fail_probe(self, container_id: str) -> None:
        if self.containers[container_id].name in ("a", "b"):
            self.memory.probes[container_id] = Probes(container_id, failed="liveness")

    def fulfil_kills(self) -> None:
        for container_id in list(self.memory.kills):
            self.end(container_id, 143)

    def restart_kubelet(self) -> None:
        self.memory = Memory(ending=self.memory.ending)


_SYNC = st.tuples(st.just("sync"), st.integers(0, 6), st.booleans())
_WHOLE_SYNC = st.tuples(st.just("sync"), st.just(99), st.just(False))
_EXIT = st.tuples(st.just("exit"), st.integers(0, 9), st.sampled_from([0, 1, 137]))
EVENTS = st.one_of(
    _SYNC, _SYNC, _WHOLE_SYNC, _WHOLE_SYNC, _WHOLE_SYNC, _WHOLE_SYNC, _EXIT, _EXIT,  # most of what happens
    st.tuples(st.just("vanish"), st.integers(0, 9), st.none()),
    st.tuples(st.just("probe"), st.integers(0, 9), st.none()),
    st.tuples(st.just("kills"), st.none(), st.none()),
    st.tuples(st.just("time"), st.sampled_from([1, 10, 400]), st.none()),
    st.tuples(st.just("restart"), st.none(), st.none()),
    st.tuples(st.sampled_from(["delete", "end", "time"]), st.sampled_from([0, 1, 30]), st.none()),
)  # fmt: skip
RULES: list[Obj] = [
    {},
    {"restartPolicy": "Never"},
    {"restartPolicy": "Always"},
    {"restartPolicy": "OnFailure"},
    {
        "restartPolicy": "Never",
        "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}],
    },
]


def made(inits: list[tuple[str, Obj]], own: Obj, policy: str, debugged: bool) -> Obj:
    ephemeral = [{"name": "dbg", "image": "busybox:1"}] if debugged else []
    return pod(
        policy=policy,
        containers=[{"name": "a", "image": "busybox:1", **own}, {"name": "b", "image": "busybox:1"}],
        initContainers=[{"name": name, "image": "busybox:1", **rules} for name, rules in inits],
        ephemeralContainers=ephemeral,
    )


def inits(rules: list[Obj]) -> st.SearchStrategy[list[tuple[str, Obj]]]:
    return st.lists(st.sampled_from(rules), max_size=3).map(lambda found: list(zip("ijk", found, strict=False)))


POLICIES = st.sampled_from(["Always", "OnFailure", "Never"])
PODS = st.builds(made, inits(RULES), st.sampled_from(RULES), POLICIES, st.booleans())


@settings(max_examples=150, deadline=None)
@given(PODS, st.lists(EVENTS, max_size=40))
def test_no_story_doubles_or_orphans_a_container(obj: Obj, story: list[tuple[str, int, object]]) -> None:
    world = World(obj)
    for event, number, detail in story:
        if world.finished:
            break
        ids = sorted(world.containers)
        match event:
            case "sync":
                world.sync(number, bool(detail))
            case "exit" if ids:
                world.end(ids[number % len(ids)], int(str(detail)))
            case "vanish" if ids:
                world.vanish(ids[number % len(ids)])
            case "probe" if ids:
                world.fail_probe(ids[number % len(ids)])
            case "kills":
                world.fulfil_kills()
            case "time":
                world.now += timedelta(seconds=number)
            case "restart":
                world.restart_kubelet()
            case "delete":
                world.pod = deleted(world.pod, number)
            case "end":
                world.memory.ending = Ending("Evicted", "", number)
    _end(world)


def _end(world: World) -> None:
    """However it went: once deleted, the pod is gone after a few quiet rounds."""
    world.pod = deleted(world.pod, 1)
    for _ in range(12):
        if world.finished:
            break
        world.sync(99, False)
        world.fulfil_kills()
        world.now += timedelta(seconds=5)
    assert world.finished
    assert world.containers == {}


@settings(max_examples=60, deadline=None)
@given(PODS)
def test_a_quiet_world_comes_to_rest_with_all_containers_running(obj: Obj) -> None:
    world = World(obj)
    sidecars = {c["name"] for c in obj["spec"]["initContainers"] if c.get("restartPolicy") == "Always"}
    for _round in range(12):
        world.sync(99, False)
        for container in list(world.containers.values()):
            if container.name in "ijk" and container.name not in sidecars:
                world.end(container.id, 0)
    names = {c.name for c in world.observed().running()} - {"dbg"}
    assert names == {"a", "b", *sidecars}
    assert decide(world.pod, world.observed(), world.memory, world.now).actions == []
