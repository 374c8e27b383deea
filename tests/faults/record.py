"""What Docker did with the containers of a cluster, from its own events."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Life:
    """One container: when it was started, ended and removed, in nanoseconds of Docker's clock."""

    id: str
    uid: str
    name: str
    attempt: int
    started: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    """Its exit codes, one for each of `ended`."""
    removed: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        """Its story, for a finding."""
        moments = sorted(
            [(at, "started") for at in self.started]
            + [(at, f"ended with {code}") for at, code in zip(self.ended, self.codes, strict=True)]
            + [(at, "removed") for at in self.removed]
        )
        return f"{self.id[:12]} #{self.attempt} " + ", ".join(f"{what} at {at / 1e9:.3f}" for at, what in moments)


class Record:
    """Follows the events of one Engine from construction until `close`. What an Engine tells while it ends is lost."""

    def __init__(self, socket: str) -> None:
        self.lives: dict[str, Life] = {}
        self._socket, self._since = socket, time.time()
        self._closing = threading.Event()
        self._process = self._open()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._process.terminate()
        self._thread.join()

    def _open(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["docker", "-H", self._socket, "events", "--since", f"{self._since:.9f}", "--filter", "type=container",
             "--format", "{{json .}}"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def _follow(self) -> None:
        while True:
            assert self._process.stdout is not None
            for line in self._process.stdout:
                self._take(json.loads(line))
            self._process.wait()
            if self._closing.wait(0.2):
                return
            self._process = self._open()

    def _take(self, event: dict[str, Any]) -> None:
        moment = int(event["timeNano"])
        self._since = max(self._since, moment / 1e9)
        labels = event["Actor"]["Attributes"]
        uid = labels.get("io.kubernetes.pod.uid")
        if uid is None:
            return
        name = labels.get("io.kubernetes.container.name", "")
        attempt = int(labels.get("io.kubernetes.container.restart-count", "0"))
        life = self.lives.setdefault(event["id"], Life(event["id"], uid, name, attempt))
        moments = {"start": life.started, "die": life.ended, "destroy": life.removed}.get(event["Action"])
        if moments is not None and moment not in moments:
            moments.append(moment)
            if event["Action"] == "die":
                life.codes.append(int(labels["exitCode"]))
