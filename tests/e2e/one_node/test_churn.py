"""The kubelet dies again and again while pods come and go; `python -m tests.faults` does so for as long as one likes."""

from __future__ import annotations

from tests.faults.run import torment
from tests.faults.victims import Kubelet
from tests.harness.cluster import Cluster


def test_no_container_is_doubled_lost_or_started_without_need(cluster: Cluster, namespace: str) -> None:
    report = torment(cluster, namespace, Kubelet(), kills=5, size=10, seed=35)
    assert not report.findings
    assert report.kills == 5
    assert report.containers > report.deleted > 0
