"""A slice of `python -m tests.fuzz`: 20 seconds of requests that nobody would send."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.run import by_schema, fuzz
from tests.harness.apiserver import ApiServer

SEED = 20


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
