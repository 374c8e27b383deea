"""Real daemons, real Docker. What is missing fails with its reason: nothing is skipped."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness import upstream
from tests.harness.cluster import Cluster


@pytest.fixture(scope="session", autouse=True)
def _what_these_tests_need() -> None:
    assert os.geteuid() == 0, "end-to-end tests make network namespaces and iptables rules: run them as root"
    for program in ("docker", "dockerd", "iptables", "ip", "nsenter", "etcd"):
        assert shutil.which(program), f"{program} is not installed: make test installs it"


@pytest.fixture(scope="session")
def kubectl() -> Path:
    return upstream.kubectl_path()


@contextmanager
def running_cluster(directory: Path, nodes: int, kubectl: Path) -> Iterator[Cluster]:
    """A cluster that is up, and gone without a trace at the end."""
    cluster = Cluster(directory, nodes, kubectl)
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.reset()
        left = cluster.processes()
        assert not left, f"reset left processes behind: {left}"


@pytest.fixture
def namespace(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own, named after it."""
    name = re.sub("[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:50].strip("-")
    with cluster.namespace(name):
        yield name
