"""What Docker says of a container, understood."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kubelet.docker.inspection import container

ZERO = "0001-01-01T00:00:00Z"
CREATED, STARTED, ENDED = (f"2026-01-02T03:04:0{second}Z" for second in (1, 2, 3))
MOMENTS = {
    text: datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC) for second, text in enumerate((CREATED, STARTED, ENDED), 1)
}

STATES: dict[str, tuple[dict[str, Any], tuple[str, bool, int, str | None, str | None]]] = {
    "never started": ({"Status": "created"}, ("created", False, 0, None, None)),
    "runs": ({"Status": "running", "StartedAt": STARTED}, ("running", False, 0, STARTED, None)),
    "has ended": (
        {"Status": "exited", "ExitCode": 3, "StartedAt": STARTED, "FinishedAt": ENDED},
        ("exited", False, 3, STARTED, ENDED),
    ),
    "could not be started": (
        {"Status": "created", "ExitCode": 127, "Error": "no such file"},
        ("exited", True, 127, CREATED, CREATED),
    ),
    "runs, and its daemon died while starting it": ({"Status": "running"}, ("running", False, 0, CREATED, None)),
    "ran, and its daemon died while starting it": (
        {"Status": "created", "FinishedAt": ENDED},
        ("exited", False, 0, CREATED, ENDED),
    ),
    "failed, and its daemon died while starting it": (
        {"Status": "created", "ExitCode": 3, "FinishedAt": ENDED},
        ("exited", False, 3, CREATED, ENDED),
    ),
}


@pytest.mark.parametrize(("told", "understood"), STATES.values(), ids=STATES)
def test_state(told: dict[str, Any], understood: tuple[str, bool, int, str | None, str | None]) -> None:
    state, failed, code, started, finished = understood
    found = container(
        {
            "Id": "1", "Created": CREATED, "Config": {"Labels": {}},
            "State": {"StartedAt": ZERO, "FinishedAt": ZERO, "ExitCode": 0, "Error": "", **told},
        }
    )  # fmt: skip
    assert (found.state, found.start_failed, found.exit_code) == (state, failed, code)
    assert found.started_at == (MOMENTS[started] if started else None)
    assert found.finished_at == (MOMENTS[finished] if finished else None)
