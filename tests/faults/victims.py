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

from tests.harness.cluster import Cluster
from tests.harness.eventually import eventually_sync

_SOCKET = Path("/var/run/docker.sock")
_HANG_SECONDS = 5.0
_RUN_DOCKERD = Path(__file__).parents[2] / "deploy" / "scripts" / "run-dockerd.sh"
Kill = Callable[[Cluster], None]


def kill_kubelet(cluster: Cluster) -> None:
    """Its supervisor starts the next."""
    before = cluster.pid("-m", "kubelet")
    cluster.kill(before)

    def another() -> bool:
        return cluster.pid("-m", "kubelet") != before

    eventually_sync(another, "the kubelet is back", within=30)


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

    def kill(self, _: Cluster) -> None:
        os.kill(int((self._run / "docker.pid").read_text()), signal.SIGKILL)
        self._process.wait()
        self._process = self._start()

    def hang(self, _: Cluster) -> None:
        """It takes calls and answers none for a while: longer than anything that waits for a moment."""
        pid = int((self._run / "docker.pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        time.sleep(_HANG_SECONDS)
        os.kill(pid, signal.SIGCONT)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()


@contextmanager
def _kubelet() -> Iterator[Kill]:
    yield kill_kubelet


@contextmanager
def _engine(harm: Callable[[Engine, Cluster], None], live_restore: bool) -> Iterator[Kill]:
    assert subprocess.run(["docker", "version"], capture_output=True, check=False).returncode != 0, (
        "another Docker Engine has the machine's socket"
    )
    directory = Path(tempfile.mkdtemp(prefix="sampan-engine-"))
    engine = Engine(directory, live_restore)
    try:
        yield partial(harm, engine)
    finally:
        engine.close()
        shutil.rmtree(directory, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Victim:
    ready: Callable[[], AbstractContextManager[Kill]]
    starts_survive: bool
    """Containers do not end with it, so each start must have had a reason."""
    exits_survive: bool
    """Exit codes do not get lost with it."""


VICTIMS = {
    "kubelet": Victim(_kubelet, starts_survive=True, exits_survive=True),
    "dockerd": Victim(partial(_engine, Engine.kill, False), starts_survive=False, exits_survive=False),
    "dockerd-with-live-restore": Victim(partial(_engine, Engine.kill, True), starts_survive=True, exits_survive=False),
    "dockerd-hanging": Victim(partial(_engine, Engine.hang, False), starts_survive=True, exits_survive=True),
}
