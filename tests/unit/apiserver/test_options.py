"""Flags that cannot be meant."""

from __future__ import annotations

import pytest

from apiserver import options

_COMMON = (
    "--advertise-address=192.0.2.1", "--tls-cert-file=x", "--tls-private-key-file=x", "--etcd-servers=https://x:1",
)  # fmt: skip


@pytest.mark.parametrize("seats", [(0, 0), (-1, 5), (5, -1)])
def test_without_seats_nobody_could_be_served(seats: tuple[int, int], capsys: pytest.CaptureFixture[str]) -> None:
    reads, writes = seats
    with pytest.raises(SystemExit):
        options.parse([*_COMMON, f"--max-requests-inflight={reads}", f"--max-mutating-requests-inflight={writes}"])
    assert "must add up to a seat at least" in capsys.readouterr().err
    assert options.parse([*_COMMON, "--max-requests-inflight=0"]).max_requests_inflight == 0
