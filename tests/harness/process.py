"""A program under test: started with its output in a file, killed, started again, always ended.

It dies with the test run even when that is killed. When it does not come up or ends by itself, the error carries
the end of its output.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from tests.harness.eventually import NeverHappened, eventually_sync


def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def sockets(pid: int) -> list[str]:
    """The sockets that a process holds. One that it closes while they are listed is not among them."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.append(os.readlink(entry))
    return [name for name in found if name.startswith("socket:")]


class Process:
    _all: ClassVar[list[Process]] = []

    @classmethod
    def left_running(cls) -> list[str]:
        """What was started in this run and not ended."""
        return [f"{process.name} (pid {process.pid})" for process in cls._all if process.alive]

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        *,
        ready: Callable[[], bool],
        within: float = 20.0,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._argv = list(argv)
        self._ready = ready
        self._within = within
        self._env = {**os.environ, **(env or {})}
        self._cwd = cwd
        self._running: subprocess.Popen[bytes] | None = None
        self._all.append(self)

    @property
    def pid(self) -> int:
        assert self._running is not None, f"{self.name} is not running"
        return self._running.pid

    @property
    def alive(self) -> bool:
        return self._running is not None and self._running.poll() is None

    def start(self, *, wait: bool = True) -> None:
        assert not self.alive, f"{self.name} is running already"
        # The kernel's "die with your parent" means the thread that started it.
        assert threading.current_thread() is threading.main_thread(), "processes are started in the main thread"
        program = shutil.which(self._argv[0])
        assert program, f"{self._argv[0]} is not installed: {self.name} cannot be started"
        with self.log.open("ab") as output:
            self._running = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", program, *self._argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        def up() -> bool:
            if not self.alive:
                raise RuntimeError(f"{self.name} ended by itself:\n{self.tail()}")
            return self._ready()

        try:
            eventually_sync(up, f"{self.name} is ready", within=self._within)
        except NeverHappened as error:
            raise RuntimeError(f"{self.name} did not become ready:\n{self.tail()}") from error

    def kill(self) -> None:
        """kill -9"""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that does not help. Harmless when it is not running."""
        if self.alive:
            try:
                self._end(signal.SIGTERM)
            except subprocess.TimeoutExpired:
                self._end(signal.SIGKILL)

    def restart(self) -> None:
        """kill -9, then start."""
        if self.alive:
            self.kill()
        self.start()

    def _end(self, how: signal.Signals) -> None:
        assert self._running is not None, f"{self.name} is not running"
        self._running.send_signal(how)
        self._running.wait(timeout=15)

    def tail(self, lines: int = 40) -> str:
        if not self.log.exists():
            return "(no output)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
