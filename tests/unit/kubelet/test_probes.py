"""Probes against a scripted container, with the clock in hand."""

from __future__ import annotations

from typing import Any

from api.meta import Obj
from client.clock import FakeClock
from kubelet.docker.runtime import Unreachable
from kubelet.probing.handlers import HookFailure
from kubelet.probing.prober import Prober
from tests.unit.kubelet.pods import deleted, pod, running, sandbox, seen


class Hooks:
    """Answers probes from `healthy`; a Docker that is away when `away`."""

    def __init__(self) -> None:
        self.healthy, self.away, self.calls = True, False, 0

    async def run(self, obj: Obj, container: object, handler: object) -> None:
        self.calls += 1
        if self.away:
            raise Unreachable("away")
        if not self.healthy:
            raise HookFailure("HTTP probe failed with statuscode: 500")


class Recorder:
    def __init__(self) -> None:
        self.messages: list[str] = []

    def event(self, obj: Obj, type_: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.messages.append(f"{reason} {message}")


class Case:
    def __init__(self, **probes: Any) -> None:
        self.clock, self.hooks, self.recorder, self.changes = FakeClock(), Hooks(), Recorder(), 0
        self.pod = pod(containers=[{"name": "app", "image": "i", **probes}])
        self.prober = Prober(self.hooks, self.recorder, self.clock, self._changed)  # type: ignore[arg-type]

    def _changed(self) -> None:
        self.changes += 1

    def sync(self, obj: Obj | None = None) -> None:
        self.prober.sync(obj or self.pod, seen(sandbox(), running()))


async def test_readiness_begins_false_and_follows_the_thresholds() -> None:
    case = Case(readinessProbe={"httpGet": {}, "periodSeconds": 5, "failureThreshold": 2})
    case.sync()
    assert not case.prober.results["app-0"].ready
    await case.clock.run_for(1)
    assert case.prober.results["app-0"].ready and case.changes == 1
    case.hooks.healthy = False
    await case.clock.run_for(5)
    assert case.prober.results["app-0"].ready
    await case.clock.run_for(5)
    assert not case.prober.results["app-0"].ready
    assert case.recorder.messages[0] == "Unhealthy Readiness probe failed: HTTP probe failed with statuscode: 500"
    case.prober.close()


async def test_startup_holds_back_the_others() -> None:
    probe = {"exec": {}, "periodSeconds": 1}
    case = Case(startupProbe={**probe, "failureThreshold": 30}, livenessProbe={**probe, "failureThreshold": 1})
    case.hooks.healthy = False
    case.sync()
    await case.clock.run_for(5)
    assert (case.prober.results["app-0"].started, case.prober.results["app-0"].failed) == (False, "")
    case.hooks.healthy = True
    await case.clock.run_for(2)
    assert case.prober.results["app-0"].started
    case.hooks.healthy = False
    await case.clock.run_for(2)
    assert case.prober.results["app-0"].failed == "liveness"
    case.prober.close()


async def test_dockers_trouble_is_not_the_containers() -> None:
    case = Case(livenessProbe={"exec": {}, "periodSeconds": 1, "failureThreshold": 1})
    case.hooks.away = True
    case.sync()
    await case.clock.run_for(10)
    assert case.hooks.calls > 5
    assert case.prober.results["app-0"].failed == ""
    case.prober.close()


async def test_a_pod_on_its_way_out_is_not_killed_by_its_liveness() -> None:
    case = Case(livenessProbe={"exec": {}, "periodSeconds": 1, "failureThreshold": 3})
    case.sync()
    await case.clock.run_for(1)
    case.sync(deleted(case.pod))
    case.hooks.healthy = False
    await case.clock.run_for(10)
    assert case.prober.results["app-0"].failed == ""
    case.prober.close()


async def test_the_initial_delay_counts_from_the_start() -> None:
    case = Case(livenessProbe={"exec": {}, "initialDelaySeconds": 20})
    case.sync()
    await case.clock.run_for(19)
    assert case.hooks.calls == 0
    await case.clock.run_for(2)
    assert case.hooks.calls == 1
    case.prober.close()
