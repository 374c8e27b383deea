"""Probes against a scripted container, with the clock in hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from api.meta import Obj
from client.clock import FakeClock
from kubelet.docker.runtime import Unreachable
from kubelet.probing.checks import Outcome
from kubelet.probing.prober import Prober, Probing
from kubelet.probing.target import Target, Trouble
from tests.unit.kubelet.pods import NOW, pod, running, sandbox, seen


class Looks:
    """Answers probes from `healthy` or with `trouble`, after `seconds`."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.healthy, self.calls, self.seconds = True, 0, 0.0
        self.trouble: Exception | None = None
        self.targets: list[Target] = []
        self.warning = ""

    async def run(self, probe: object, target: Target, seconds: int) -> Outcome:
        self.calls += 1
        self.targets.append(target)
        await self.clock.sleep(self.seconds)
        if self.trouble is not None:
            raise self.trouble
        if self.warning:
            return Outcome(True, self.warning, warning=True)
        return Outcome(self.healthy, "" if self.healthy else "HTTP probe failed with statuscode: 500")


class Recorder:
    def __init__(self) -> None:
        self.messages: list[str] = []

    def event(self, obj: Obj, type_: str, reason: str, message: str, *, field_path: str = "") -> None:
        self.messages.append(f"{reason} {message}")


class Case:
    def __init__(self, **probes: Any) -> None:
        self.clock, self.recorder, self.changes = FakeClock(), Recorder(), 0
        self.looks = Looks(self.clock)
        self.pod = pod(containers=[{"name": "app", "image": "i", **probes}])
        shared = (cast(Any, self.looks), cast(Any, self.recorder), self.clock, "192.0.2.1", lambda: 0.5)
        self.probing = Probing(*shared)
        self.prober = Prober(self.probing, self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def sync(self, *, ending: bool = False) -> None:
        self.prober.sync(self.pod, seen(sandbox(), running()), ending=ending)


async def test_readiness_begins_false_and_follows_the_thresholds() -> None:
    case = Case(readinessProbe={"httpGet": {}, "periodSeconds": 5, "failureThreshold": 2})
    case.sync()
    assert not case.prober.results["app-0"].ready
    await case.clock.run_for(1)
    assert case.prober.results["app-0"].ready and case.changes == 1
    case.looks.healthy = False
    await case.clock.run_for(5)
    assert case.prober.results["app-0"].ready
    await case.clock.run_for(5)
    assert not case.prober.results["app-0"].ready
    assert case.recorder.messages[0] == "Unhealthy Readiness probe failed: HTTP probe failed with statuscode: 500"
    case.prober.close()


async def test_startup_holds_back_the_others() -> None:
    probe = {"exec": {}, "periodSeconds": 1}
    case = Case(startupProbe={**probe, "failureThreshold": 30}, livenessProbe={**probe, "failureThreshold": 1})
    case.looks.healthy = False
    case.sync()
    await case.clock.run_for(5)
    assert (case.prober.results["app-0"].started, case.prober.results["app-0"].failed) == (False, "")
    case.looks.healthy = True
    await case.clock.run_for(2)
    assert case.prober.results["app-0"].started
    case.looks.healthy = False
    await case.clock.run_for(2)
    assert case.prober.results["app-0"].failed == "liveness"
    case.prober.close()


async def test_dockers_trouble_is_not_the_containers() -> None:
    case = Case(livenessProbe={"exec": {}, "periodSeconds": 1, "failureThreshold": 1})
    case.looks.trouble = Unreachable("away")
    case.sync()
    await case.clock.run_for(10)
    assert case.looks.calls > 5
    assert case.prober.results["app-0"].failed == ""
    case.prober.close()


async def test_a_pod_on_its_way_out_is_not_killed_by_its_liveness() -> None:
    case = Case(livenessProbe={"exec": {}, "periodSeconds": 1, "failureThreshold": 3})
    case.sync()
    await case.clock.run_for(1)
    case.sync(ending=True)
    case.looks.healthy = False
    await case.clock.run_for(10)
    assert case.prober.results["app-0"].failed == ""
    case.prober.close()


async def test_the_initial_delay_counts_from_the_start() -> None:
    case = Case(livenessProbe={"exec": {}, "initialDelaySeconds": 20})
    case.sync()
    await case.clock.run_for(19)
    assert case.looks.calls == 0
    await case.clock.run_for(2)
    assert case.looks.calls == 1
    case.prober.close()


async def test_a_restarted_kubelet_spreads_its_probes_and_goes_on_with_what_was_found() -> None:
    """prober/worker.go, run: "If kubelet restarted the probes could be started in rapid succession"."""
    case = Case(readinessProbe={"exec": {}, "periodSeconds": 20}, startupProbe={"exec": {}})
    told = {"name": "app", "containerID": "docker://app-0", "state": {"running": {}}, "ready": True, "started": True}
    case.pod["status"] = {"containerStatuses": [told]}
    case.prober.sync(case.pod, seen(sandbox(), replace(running(), started_at=NOW - timedelta(hours=1))), ending=False)
    assert case.prober.results["app-0"].ready and case.prober.results["app-0"].started
    await case.clock.run_for(9.9)
    assert case.looks.calls == 0
    await case.clock.run_for(0.2)
    assert case.looks.calls == 1
    case.prober.close()


async def test_readiness_is_asked_as_soon_as_the_container_has_started() -> None:
    """prober_manager.go, UpdatePodStatus, triggers a run by hand."""
    probe = {"exec": {}, "periodSeconds": 30}
    case = Case(startupProbe={"exec": {}, "periodSeconds": 5, "initialDelaySeconds": 5}, readinessProbe=probe)
    case.sync()
    await case.clock.run_for(5)
    assert case.prober.results["app-0"].ready and case.looks.calls == 2
    case.prober.close()


async def test_a_slow_probe_does_not_move_the_next() -> None:
    case = Case(livenessProbe={"exec": {}, "periodSeconds": 2})
    case.looks.seconds = 1.5
    case.sync()
    await case.clock.run_for(8.1)
    assert case.looks.calls == 5
    case.prober.close()


async def test_what_cannot_be_found_out_is_tried_thrice_told_and_thrown_away() -> None:
    """prober.go, runProbeWithRetries; worker.go: "Prober error, throw away the result"."""
    case = Case(livenessProbe={"exec": {}, "periodSeconds": 5, "failureThreshold": 1})
    case.looks.trouble = Trouble('strconv.Atoi: parsing "web": invalid syntax')
    case.sync()
    await case.clock.run_for(1)
    text = 'Liveness probe errored and resulted in unknown state: strconv.Atoi: parsing "web": invalid syntax'
    assert case.looks.calls == 3 and case.recorder.messages == [f"Unhealthy {text}"]
    assert case.prober.results["app-0"].failed == "" and b"prober_probe_total{" not in case.probing.counts.text()
    case.prober.close()


async def test_a_warning_counts_as_success() -> None:
    case = Case(readinessProbe={"httpGet": {}})
    case.looks.warning = "Probe terminated redirects, Response body: x"
    case.sync()
    await case.clock.run_for(1)
    assert case.prober.results["app-0"].ready
    text = "Readiness probe warning: Probe terminated redirects, Response body: x"
    assert case.recorder.messages == [f"ProbeWarning {text}"]
    case.prober.close()


async def test_a_failed_startup_brings_its_own_grace_and_a_new_container_starts_afresh() -> None:
    """KEP-2238: a probe's own terminationGracePeriodSeconds comes before the pod's."""
    probe = {"exec": {}, "periodSeconds": 1, "failureThreshold": 2, "terminationGracePeriodSeconds": 7}
    case = Case(startupProbe=probe)
    case.looks.healthy = False
    case.sync()
    await case.clock.run_for(5)
    found = case.prober.results["app-0"]
    assert (found.failed, found.grace, found.started, case.looks.calls) == ("startup", 7, False, 2)
    case.prober.sync(case.pod, seen(sandbox(), running(attempt=1)), ending=False)
    assert list(case.prober.results) == ["app-1"] and not case.prober.results["app-1"].failed
    case.prober.close()


@pytest.mark.parametrize(("host_network", "address"), [(False, "10.0.0.9"), (True, "192.0.2.1")])
async def test_where_a_pod_is_reached(host_network: bool, address: str) -> None:
    case = Case(livenessProbe={"tcpSocket": {"port": 1}})
    case.pod["spec"]["hostNetwork"] = host_network
    case.sync()
    await case.clock.run_for(1)
    assert case.looks.targets[0].address == address
    case.prober.close()


async def test_probes_are_counted_until_the_pod_is_gone() -> None:
    """The names, labels and values of prober_manager.go."""
    case = Case(livenessProbe={"exec": {}, "periodSeconds": 1})
    case.looks.seconds = 0.3
    case.sync()
    await case.clock.run_for(1.5)
    text = case.probing.counts.text().decode()
    at = 'container="app",namespace="default",pod="web"'
    total = f'prober_probe_total{{{at},pod_uid="u-1",probe_type="Liveness",result="successful"}} 2.0'
    bucket = f'prober_probe_duration_seconds_bucket{{{at},le="0.5",probe_type="Liveness"}} 2.0'
    assert sorted_labels(total) in map(sorted_labels, text.splitlines())
    assert sorted_labels(bucket) in map(sorted_labels, text.splitlines())
    case.prober.close()
    assert "Liveness" not in case.probing.counts.text().decode()


def sorted_labels(line: str) -> str:
    name, _, rest = line.partition("{")
    labels, _, value = rest.partition("}")
    return f"{name} {sorted(labels.split(','))} {value}"
