"""Keeping daemons running, whoever does it: one interface over systemd and our own supervisor.

The table of what should run lies in <data-dir>/run/components.json either way.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from client.files import write_if_changed
from deploy import host, processes, supervisor
from deploy.components import Component
from deploy.errors import Failure
from deploy.layout import Layout
from deploy.processes import Process
from deploy.systemd import Systemd

_PASSED_ON = (
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "DBUS_SYSTEM_BUS_ADDRESS",
)  # fmt: skip
_START_DEADLINE = 20.0


class Supervision(Protocol):
    def apply(self, rows: Sequence[dict[str, Any]]) -> None:
        """Makes exactly these run: starts the new, restarts the changed, stops the others."""

    def running(self, name: str) -> Process | None: ...

    def release(self, rows: Sequence[dict[str, Any]]) -> None:
        """Stops watching over these, in this order, so that they stay down once stopped; or stops them itself."""

    def forget(self) -> list[str]:
        """Removes what it keeps outside the data directory. Returns it in words."""


def supervision(layout: Layout) -> Supervision:
    return Systemd(layout) if host.has_systemd() else OwnSupervisor(layout)


def row(layout: Layout, component: Component) -> dict[str, Any]:
    """The component as the supervisors read it. `digest` changes when a running one must be restarted."""
    environment = {
        "PATH": host.PATH, "HOME": "/root", "LANG": "C.UTF-8",
        # Root must not leave its bytecode in a user's checkout; `make` compiles it beforehand.
        "PYTHONDONTWRITEBYTECODE": "1",
        **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps([component.argv, environment]).encode())
    for file in component.files:
        digest.update(hashlib.sha256(file.read_bytes() if file.exists() else b"").digest())
    return {
        "name": component.name,
        "argv": list(component.argv),
        "env": environment,
        "log": str(layout.logs / f"{component.name}.log"),
        "digest": digest.hexdigest()[:16],
        "keep": component.keep,
        "health": component.health,
        "docker": str(component.docker or ""),
    }


def rows_on_disk(layout: Layout) -> list[dict[str, Any]]:
    """What the last `up` wanted to run."""
    try:
        rows: list[dict[str, Any]] = json.loads(_table(layout).read_text())
    except FileNotFoundError:
        return []
    return rows


def write_rows(layout: Layout, rows: Iterable[dict[str, Any]]) -> bool:
    return write_if_changed(_table(layout), (json.dumps(list(rows), indent=1) + "\n").encode(), 0o600)


def start(layout: Layout, rows: Sequence[dict[str, Any]]) -> list[str]:
    """Makes exactly these run. Returns the names of those that were started or restarted."""
    layout.logs.mkdir(parents=True, exist_ok=True)
    layout.run.mkdir(parents=True, exist_ok=True)
    keeper = supervision(layout)
    before = {each["name"]: keeper.running(each["name"]) for each in rows}
    keeper.apply(rows)
    after = {each["name"]: keeper.running(each["name"]) for each in rows}
    return [name for name, process in after.items() if process != before[name]]


def stop(layout: Layout, *, kept_too: bool = False) -> list[str]:
    """Ends the daemons, last started first; those that hold containers only when asked. Returns their names."""
    keeper = supervision(layout)
    rows = [each for each in reversed(rows_on_disk(layout)) if kept_too or not each["keep"]]
    alive = {each["name"]: keeper.running(each["name"]) for each in rows}
    keeper.release(rows)
    for name, process in alive.items():
        if process is not None and process.alive:
            processes.stop(process)
        (layout.run / f"{name}.pid").unlink(missing_ok=True)
    return [name for name, process in alive.items() if process is not None]


class OwnSupervisor:
    """`deploy.supervisor`, where there is no systemd."""

    def __init__(self, layout: Layout) -> None:
        self._run = layout.run
        self._layout = layout

    def apply(self, rows: Sequence[dict[str, Any]]) -> None:
        write_rows(self._layout, rows)
        alive = read_supervisor(self._run)
        if alive is not None and alive.digest != supervisor.version():
            self._dismiss()  # it is of another version; the daemons do not notice
            alive = None
        if alive is None:
            supervisor.spawn(
                {**supervisor.supervisor_row(self._run), "env": {"PATH": host.PATH, "LANG": "C.UTF-8"}},
                self._run / "supervisor.start.pid",
            )
        else:
            os.kill(alive.pid, signal.SIGHUP)  # also starts at once what waits for its next try
        self._wait(rows)

    def _wait(self, rows: Sequence[dict[str, Any]]) -> None:
        deadline = time.monotonic() + _START_DEADLINE
        waiting = {each["name"]: each["digest"] for each in rows}
        while waiting:
            for name, digest in list(waiting.items()):
                process = self.running(name)
                if process is not None and process.digest == digest:
                    del waiting[name]
            if waiting and time.monotonic() > deadline:
                raise Failure(
                    f"{', '.join(waiting)} did not start within {_START_DEADLINE:.0f} s",
                    f"look at {self._run / 'supervisor.log'}",
                )
            time.sleep(0.01 if waiting else 0)

    def running(self, name: str) -> Process | None:
        return processes.read_pid_file(self._run / f"{name}.pid")

    def release(self, rows: Sequence[dict[str, Any]]) -> None:
        self._dismiss()

    def forget(self) -> list[str]:
        return []

    def _dismiss(self) -> None:
        """Ends the supervisor and its guard: each starts the other again, so until neither is left."""
        for _ in range(20):
            left = [self.running(name) for name in ("supervisor", "supervisor.start", supervisor.GUARD)]
            alive = [process for process in left if process is not None]
            if not alive:
                return
            for process in alive:
                processes.stop(process, 5)
        raise Failure("the supervisor does not end", f"look at {self._run / 'supervisor.log'}")


def read_supervisor(run: Path) -> Process | None:
    return processes.read_pid_file(run / "supervisor.pid")


def _table(layout: Layout) -> Path:
    return layout.run / "components.json"
