"""One cluster of one node for all the stories of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import running_cluster
from tests.harness.cluster import Cluster


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory, kubectl: Path) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("one"), 1, kubectl) as running:
        yield running
