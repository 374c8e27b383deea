"""A cluster whose pods come and go while one of its daemons is killed at random moments; then what came of it."""

from __future__ import annotations

import contextlib
import errno
import json
import random
import re
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

import kubernetes

from tests.faults import judge
from tests.faults.churn import KINDS, Churn, Obj
from tests.faults.record import Life, Record
from tests.faults.victims import Villain
from tests.harness.cluster import Cluster
from tests.harness.eventually import eventually_sync

_LONGEST_PAUSE = 4.0
_SETTLE_SECONDS = 120
_DISCARD = 9
_LOOKS = 15
_ID = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(slots=True)
class Report:
    kills: int = 0
    pods: int = 0
    deleted: int = 0
    containers: int = 0
    findings: list[str] = field(default_factory=list)


def torment(
    cluster: Cluster,
    namespace: str,
    villain: Villain,
    *,
    kills: int,
    size: int,
    seed: int,
    starts_survive: bool = True,
    exits_survive: bool = True,
) -> Report:
    """The last two as in victims.Victim."""
    core = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(str(cluster.kubeconfig)))
    dice, report = random.Random(seed), Report()
    record, churn = Record(cluster.docker_socket()), Churn(core, namespace, size, seed)
    churn.start()
    try:
        for _ in range(kills):
            time.sleep(dice.uniform(0, _LONGEST_PAUSE))
            villain.harm(cluster)
            report.kills += 1
    finally:
        churn.stop()
        villain.over()
    report.pods, report.deleted = len(churn.kinds), churn.deleted
    try:
        eventually_sync(
            lambda: _settled(cluster, core, namespace, churn, exits_survive), "all is quiet and true",
            within=_SETTLE_SECONDS, pause=1,
        )  # fmt: skip
    except AssertionError as error:
        report.findings.append(str(error))
    time.sleep(1)  # for the last events to arrive
    record.close()
    lives = [life for life in record.lives.values() if life.uid in churn.kinds]
    report.findings += _strays(cluster, lives)
    report.containers = len(lives)
    if starts_survive:
        report.findings += judge.doubled(lives, ends_told=exits_survive)
        report.findings += judge.restarted(lives, churn.kinds, ends_told=exits_survive)
    report.findings += churn.trouble
    return report


def _strays(cluster: Cluster, lives: list[Life]) -> list[str]:
    """Those that stay: what is being started is in its control group before Docker says that it runs."""
    for _ in range(_LOOKS):
        found = judge.stray(_contained(), lives, cluster.docker("ps", "-q", "--no-trunc").split())
        if not found:
            break
        time.sleep(1)
    return found


def _contained() -> dict[int, str]:
    """pid → id of its container, by the control groups of all processes of this machine."""
    found = {}
    for file in Path("/proc").glob("[0-9]*/cgroup"):
        with contextlib.suppress(OSError):
            if (match := _ID.search(file.read_text())) is not None:
                found[int(file.parent.name)] = match[0]
    return found


def _settled(
    cluster: Cluster, core: kubernetes.client.CoreV1Api, namespace: str, churn: Churn, exits_survive: bool
) -> bool:
    """AssertionError with all that is not (yet) as it should be. A crashing container may be between two lives."""
    answer = core.list_namespaced_pod(namespace, _preload_content=False)
    pods: dict[str, Obj] = {p["metadata"]["uid"]: p for p in json.loads(answer.data)["items"]}
    leaving = [p["metadata"]["name"] for p in pods.values() if p["metadata"].get("deletionTimestamp")]
    assert not leaving, f"still being deleted: {leaving}"
    ids = cluster.docker("ps", "-aq", "--filter", f"label=io.kubernetes.pod.namespace={namespace}").split()
    containers: list[Obj] = json.loads(cluster.docker("inspect", *ids)) if ids else []
    calm = {uid: pod for uid, pod in pods.items() if not KINDS[churn.kinds[uid]].restarts}
    of_calm = [c for c in containers if c["Config"]["Labels"]["io.kubernetes.pod.uid"] in calm]
    findings = judge.orphaned(containers, pods) + judge.untrue(calm, of_calm, churn.kinds, exits_survive)
    findings += [
        f"{pod['metadata']['name']} cannot be reached" for pod in pods.values()
        if pod["status"].get("phase") == "Running" and not _plugged(pod["status"].get("podIP", ""))
    ]  # fmt: skip
    assert not findings, findings
    return True


def _plugged(address: str) -> bool:
    """Nobody listens there, but a kernel with that address says so."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((address, _DISCARD)) == errno.ECONNREFUSED
