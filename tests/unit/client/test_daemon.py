from __future__ import annotations

import argparse

import pytest

from client import daemon, metrics
from client.health import Health


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("40s", 40), ("1m30s", 90), ("500ms", 0.5), ("2h", 7200), ("7", 7), ("1.5s", 1.5)],
    ids=str,
)
def test_durations(text: str, seconds: float) -> None:
    assert daemon.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "1x", "5s5", "-1s"], ids=repr)
def test_wrong_durations(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        daemon.duration(text)


def test_ready_names_the_check_that_fails() -> None:
    health = Health()
    assert health.answer("/readyz")[0] == 200
    health.add("informers", lambda: False)
    status, _, body = health.answer("/readyz?verbose")
    assert (status, body.splitlines()[0]) == (500, b"[-]informers")
    assert health.answer("/healthz") == (200, "text/plain; charset=utf-8", b"ok")
    assert health.answer("/nowhere")[0] == 404


def test_metrics_are_prometheus_text() -> None:
    metrics.count("sampan_test_things", 2, kind="a")
    metrics.count("sampan_test_things", kind="a")
    assert metrics.value("sampan_test_things", kind="a") == 3
    assert b'sampan_test_things_total{kind="a"} 3.0' in metrics.text()
