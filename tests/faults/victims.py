"""Who is killed, and how its successor comes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from tests.harness.cluster import Cluster
from tests.harness.eventually import eventually_sync

_SOCKET = Path("/var/run/docker.sock")
_HANG_SECONDS = 5.0
_RUN_DOCKERD = Path(__file__).parents[2] / "deploy" / "scripts" / "run-dockerd.sh"


class Villain(Protocol):
    def harm(self, cluster: Cluster) -> None:
        """Once; the next of what was killed is there, or comes, when this returns."""

    def over(self) -> None:
        """No more harm is done. May be called again."""


class Engine:
    """A Docker Engine on the machine's socket, so there must be none. Its life is the test's."""

    def __init__(self, directory: Path, live_restore: bool) -> None:
        self._data, self._run = directory / "data", directory / "run"
        self._run.mkdir(parents=True)
        settings = {
            "iptables": False, "bridge": "none", "live-restore": live_restore,
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
        }  # fmt: skip
        self._config = directory / "daemon.json"
        self._config.write_text(json.dumps(settings))
        self._log = (directory / "log").open("ab")
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [str(_RUN_DOCKERD), str(self._run), "dockerd", "--config-file", str(self._config),
             "--data-root", str(self._data), "--exec-root", str(self._run / "exec"),
             "--pidfile", str(self._run / "docker.pid"), "--host", f"unix://{_SOCKET}"],
            stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip

        def answers() -> bool:
            assert process.poll() is None, f"dockerd has ended with {process.returncode}"
            return subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0

        eventually_sync(answers, "Docker answers", within=60)
        return process

    def harm(self, cluster: Cluster) -> None:
        os.kill(int((self._run / "docker.pid").read_text()), signal.SIGKILL)
        self._process.wait()
        self._process = self._start()

    def over(self) -> None:
        pass  # it is needed to the end

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()


class HangingEngine(Engine):
    def harm(self, cluster: Cluster) -> None:
        """It takes calls and answers none for a while: longer than anything that waits for a moment."""
        pid = int((self._run / "docker.pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        time.sleep(_HANG_SECONDS)
        os.kill(pid, signal.SIGCONT)


class Kubelet:
    """A kubelet that comes back at once. Its supervisor would wait longer after each kill, so it is stopped meanwhile;
    the kubelet goes on with the words and the environment it was given."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._supervisor = 0

    def harm(self, cluster: Cluster) -> None:
        before = cluster.pid("-m", "kubelet")
        argv, environment = (_words(before, name) for name in ("cmdline", "environ"))
        if not self._supervisor:
            (self._supervisor,) = (
                pid for pid, line in cluster.processes().items()
                if "deploy.supervisor" in line and not line.startswith("flock")
            )  # fmt: skip
            os.kill(self._supervisor, signal.SIGSTOP)
        cluster.kill(before)
        if self._process is not None:
            self._process.wait()
        with (cluster.data / "logs" / "kubelet.log").open("ab") as log:
            self._process = subprocess.Popen(
                argv, env=dict(word.split("=", 1) for word in environment), stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, cwd="/",
            )  # fmt: skip

    def over(self) -> None:
        """The last kill: its supervisor takes over again."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._supervisor:
            os.kill(self._supervisor, signal.SIGCONT)
            self._supervisor = 0


def _words(pid: int, name: str) -> list[str]:
    return Path(f"/proc/{pid}/{name}").read_text().rstrip("\0").split("\0")


@contextmanager
def _kubelet() -> Iterator[Villain]:
    yield Kubelet()


@contextmanager
def _engine(kind: type[Engine], live_restore: bool) -> Iterator[Villain]:
    assert subprocess.run(["docker", "version"], capture_output=True, check=False).returncode != 0, (
        "another Docker Engine has the machine's socket"
    )
    directory = Path(tempfile.mkdtemp(prefix="sampan-engine-"))
    engine = kind(directory, live_restore)
    try:
        yield engine
    finally:
        engine.close()
        shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Victim:
    ready: Callable[[], AbstractContextManager[Villain]]
    starts_survive: bool
    """Containers do not end with it, so each start must have had a reason."""
    exits_survive: bool
    """Exit codes do not get lost with it."""


VICTIMS = {
    "kubelet": Victim(_kubelet, starts_survive=True, exits_survive=True),
    "dockerd": Victim(partial(_engine, Engine, False), starts_survive=False, exits_survive=False),
    "dockerd-with-live-restore": Victim(partial(_engine, Engine, True), starts_survive=True, exits_survive=False),
    "dockerd-hanging": Victim(partial(_engine, HangingEngine, False), starts_survive=True, exits_survive=True),
}
