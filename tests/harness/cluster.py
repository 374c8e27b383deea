"""A whole cluster on this machine, made by `sampan up` and driven as a user drives it.

Everything goes through commands and HTTP; nothing here knows how the product is built inside. The kubectl is
upstream's unless a test asks for the bundled one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.machine import Machines
from tests.harness.eventually import eventually_sync

Obj = dict[str, Any]
BIN = Path(sys.executable).parent
HELLO, HELLO_NEXT = "sampan/hello:1", "sampan/hello:2"


class Cluster:
    """`directory` holds the cluster's data and a home of its own, so that the user's kubeconfig is left alone."""

    def __init__(self, directory: Path, nodes: int, kubectl: Path) -> None:
        self.nodes = nodes
        self.data = directory / "data"
        self.home = directory / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self.upstream_kubectl = kubectl
        self.bundled_kubectl = BIN / "kubectl"
        self.bus = self.home / "bus"
        """Where the daemons look for the machine's D-Bus, so that a test may bring its own."""
        self._env = {
            **os.environ, "HOME": str(self.home), "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.bus}",
        }  # fmt: skip
        for name in ("KUBECONFIG", "SUDO_USER", "SUDO_UID"):
            self._env.pop(name, None)

    # --- life ---------------------------------------------------------------------------------------------

    def sampan(self, *args: str, check: bool = True, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        argv = [str(BIN / "sampan"), *args, "--data-dir", str(self.data)]
        return self._run(argv, check=check, timeout=timeout)

    def up(self, *args: str) -> subprocess.CompletedProcess[str]:
        return self.sampan("up", "--nodes", str(self.nodes), *args)

    def reset(self) -> subprocess.CompletedProcess[str]:
        return self.sampan("reset", "--yes")

    # --- talking to it ------------------------------------------------------------------------------------

    @property
    def kubeconfig(self) -> Path:
        return self.home / ".kube" / "config"

    def kubectl(
        self,
        *args: str,
        namespace: str = "default",
        stdin: str | None = None,
        check: bool = True,
        timeout: float = 120,
        program: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        argv = [str(program or self.upstream_kubectl), "--kubeconfig", str(self.kubeconfig), "-n", namespace, *args]
        return self._run(argv, stdin=stdin, check=check, timeout=timeout)

    def apply(self, manifest: str, namespace: str = "default") -> None:
        self.kubectl("apply", "-f", "-", namespace=namespace, stdin=manifest)

    def get(self, *args: str, namespace: str = "default") -> Obj:
        """`kubectl get … -o json`."""
        found: Obj = json.loads(self.kubectl("get", *args, "-o", "json", namespace=namespace).stdout)
        return found

    def items(self, *args: str, namespace: str = "default") -> list[Obj]:
        found: list[Obj] = self.get(*args, namespace=namespace)["items"]
        return found

    def pods(self, selector: str, namespace: str) -> list[Obj]:
        """Those that are not being deleted."""
        found = self.items("pods", "-l", selector, namespace=namespace)
        return [p for p in found if not p["metadata"].get("deletionTimestamp")]

    def ready_pods(self, selector: str, namespace: str) -> list[Obj]:
        return [p for p in self.pods(selector, namespace) if condition(p, "Ready") == "True"]

    def wait_ready(self, selector: str, count: int, namespace: str, within: float = 60) -> list[Obj]:
        """Exactly `count` pods, all ready."""

        def reached() -> list[Obj]:
            pods = self.pods(selector, namespace)
            ready = [p for p in pods if condition(p, "Ready") == "True"]
            assert len(pods) == len(ready) == count, [(p["metadata"]["name"], p["status"]) for p in pods]
            return ready

        return eventually_sync(reached, f"{count} ready pods of {selector}", within=within, pause=0.2)

    def events(self, namespace: str, reason: str) -> list[Obj]:
        return [e for e in self.items("events", namespace=namespace) if e.get("reason") == reason]

    def told(self, namespace: str, reason: str, name: str = "") -> list[Obj]:
        """The events once there are any, of one object or of all: they come a moment after what they tell of."""

        def found() -> list[Obj]:
            return [e for e in self.events(namespace, reason) if not name or e["involvedObject"]["name"] == name]

        return eventually_sync(found, f"{reason} is told of {name or 'something'}", within=30)

    @contextmanager
    def namespace(self, name: str) -> Iterator[str]:
        self.kubectl("create", "-f", "-", stdin=json.dumps(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}))  # fmt: skip
        try:
            yield name
        finally:
            self.kubectl("delete", "namespace", name, "--wait=true", "--timeout=90s", check=False)

    # --- under it -----------------------------------------------------------------------------------------

    def node(self, index: int = 0) -> Obj:
        return sorted(self.items("nodes"), key=lambda n: n["metadata"]["name"])[index]

    def node_ip(self, index: int = 0) -> str:
        addresses = self.node(index)["status"]["addresses"]
        return str(next(a["address"] for a in addresses if a["type"] == "InternalIP"))

    def docker_socket(self, node: str = "") -> str:
        """The Docker Engine of a node; without a name, of the machine itself."""
        if not node:
            return "unix:///var/run/docker.sock"
        return next(m.docker_host for m in Machines(self.data).existing() if m.name == node)

    def docker(self, *args: str, node: str = "") -> str:
        return self._run(["docker", "-H", self.docker_socket(node), *args]).stdout.strip()

    def container(self, pod: Obj, name: str, node: str = "") -> str:
        """The id of a running container of a pod; name POD is its sandbox."""
        listed = self.docker(
            "ps", "-q", "--no-trunc",
            "--filter", f"label=io.kubernetes.pod.uid={pod['metadata']['uid']}",
            "--filter", f"label=io.kubernetes.container.name={name}", node=node,
        )  # fmt: skip
        ids = listed.split()
        assert len(ids) == 1, f"{len(ids)} running containers of {pod['metadata']['name']}/{name}"
        return ids[0]

    def processes(self) -> dict[int, str]:
        """pid → command line of every process that was started with a path of this cluster's data directory."""
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue
            if str(self.data) in line and "-m pytest" not in line:
                found[int(entry.name)] = line
        return found

    def pid(self, *words: str) -> int:
        """The one process whose command line has all the words."""
        found = [pid for pid, line in self.processes().items() if all(w in line.split(" ") for w in words)]
        assert len(found) == 1, f"{len(found)} processes with {words}: {self.processes()}"
        return found[0]

    def kill(self, pid: int) -> None:
        assert str(self.data) in self.processes().get(pid, ""), "only a process of this cluster"
        os.kill(pid, signal.SIGKILL)

    def _run(
        self, argv: list[str], *, stdin: str | None = None, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            argv, input=stdin or "", capture_output=True, text=True, env=self._env, timeout=timeout, check=False
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"{' '.join(argv)}\nexit code {done.returncode}\n--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
            )
        return done


def condition(obj: Obj, kind: str) -> str:
    found = (c for c in obj.get("status", {}).get("conditions") or [] if c["type"] == kind)
    return str(next((c["status"] for c in found), "missing"))


def statuses(pod: Obj) -> dict[str, Obj]:
    """Container name → containerStatus."""
    return {s["name"]: s for s in pod["status"].get("containerStatuses") or []}


def get_text(url: str, timeout: float = 5) -> str:
    """A plain GET from this machine on a new connection, so that each is spread anew; OSError when it fails."""
    with urllib.request.urlopen(url, timeout=timeout) as answer:
        body: bytes = answer.read()
    return body.decode()


class Load:
    """A steady stream of GETs from this machine in a thread of its own; every failure is kept."""

    def __init__(self, url: str, per_second: int) -> None:
        self.url, self.interval = url, 1 / per_second
        self.answers: list[str] = []
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._sender = threading.Thread(target=self._send, daemon=True)

    def __enter__(self) -> Load:
        self._sender.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._sender.join()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += self.interval
            thread = threading.Thread(target=self._one, daemon=True)
            thread.start()
            self._threads.append(thread)

    def _one(self) -> None:
        try:
            answer = get_text(self.url, timeout=10)
        except OSError as error:
            with self._lock:
                self.failures.append(f"{time.strftime('%X')} {error}")
        else:
            with self._lock:
                self.answers.append(answer.strip())
