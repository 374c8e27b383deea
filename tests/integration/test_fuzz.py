"""A slice of `python -m tests.fuzz`: 20 seconds of requests that nobody would send."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.run import fuzz
from tests.harness.apiserver import ApiServer

SEED = 20


async def test_nothing_but_clean_answers(apiserver: ApiServer, tmp_path: Path) -> None:
    report = await fuzz(apiserver.admin(), tmp_path, seed=SEED, seconds=20)
    assert not report.findings, "\n".join(report.findings[:10])
    assert report.sent > 500 and {200, 400, 404, 422} <= set(report.codes)
    assert apiserver.alive
