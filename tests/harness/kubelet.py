"""A kubelet with other settings for a while: its configuration file is changed, and it is started anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from tests.harness.cluster import Cluster, condition
from tests.harness.eventually import NeverHappened, eventually_sync


@contextmanager
def settings(cluster: Cluster, **fields: Any) -> Iterator[None]:
    """With these fields of KubeletConfiguration beside those there are; with the old file again at the end."""
    name = cluster.node()["metadata"]["name"]
    file = cluster.data / "nodes" / name / "kubelet.yaml"
    before = file.read_text()
    try:
        file.write_text(yaml.safe_dump({**yaml.safe_load(before), **fields}))
        restart(cluster)
        told = configz(cluster)
        assert all(told[field] == value for field, value in fields.items()), told
        yield
    finally:
        file.write_text(before)
        restart(cluster)


def configz(cluster: Cluster) -> dict[str, Any]:
    name = cluster.node()["metadata"]["name"]
    answer = cluster.kubectl("get", "--raw", f"/api/v1/nodes/{name}/proxy/configz").stdout
    found: dict[str, Any] = json.loads(answer)["kubeletconfig"]
    return found


def restart(cluster: Cluster) -> None:
    """By kill -9; until the one that the supervisor starts in its place answers."""
    old = cluster.pid("-m", "kubelet")
    cluster.kill(old)

    def answers() -> bool:
        return (
            cluster.pid("-m", "kubelet") != old
            and bool(configz(cluster))
            and condition(cluster.node(), "Ready") == "True"
        )

    try:
        eventually_sync(answers, "the kubelet is back", within=90, pause=0.2)
    except NeverHappened as error:
        lines = (cluster.data / "logs" / "kubelet.log").read_text().splitlines()
        raise AssertionError("the kubelet is not back; it says\n" + "\n".join(lines[-20:])) from error
