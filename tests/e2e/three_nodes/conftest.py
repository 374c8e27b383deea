"""One cluster of three nodes for all the stories of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import running_cluster
from tests.harness.cluster import Cluster


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory, kubectl: Path) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("three"), 3, kubectl) as running:
        yield running
