"""A slice of `python -m tests.fuzz`: 20 seconds of requests that nobody would send."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz.run import by_schema, fuzz
from tests.harness.apiserver import ApiServer
from tests.harness.etcd import EtcdServer
from tests.harness.pki import Pki

SEED = 20


@pytest.fixture(scope="module")
def apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """One of its own, with an etcd of its own: what other tests count on would not live long here."""
    directory = tmp_path_factory.mktemp("fuzz")
    etcd = EtcdServer(directory / "etcd", Pki(directory / "pki"))
    server = ApiServer(directory / "apiserver", etcd)
    etcd.start()
    try:
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        etcd.stop()


async def test_nothing_but_clean_answers(apiserver: ApiServer, tmp_path: Path) -> None:
    report = await fuzz(apiserver.admin(), tmp_path, seed=SEED, seconds=20)
    assert not report.findings, "\n".join(report.findings[:10])
    assert report.sent > 500 and {200, 400, 404, 422} <= set(report.codes)
    assert apiserver.alive


async def test_answers_are_what_the_documents_promise(apiserver: ApiServer, tmp_path: Path) -> None:
    """A small one of them; `python -m tests.fuzz --schema` takes all."""
    names = ["apis/scheduling.k8s.io/v1"]
    report = await by_schema(apiserver.admin(), tmp_path, seed=SEED, seconds=10, names=names)
    assert report.sent == 1
    assert not report.findings, report.findings[0]
