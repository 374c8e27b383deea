"""The streaming door as people use it, with upstream's kubectl: shells, files, ports, logs, debugging.

Sources: https://kubernetes.io/docs/reference/kubectl/ (exec, attach, cp, port-forward, proxy, logs, debug), KEP-277.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.manifests import SLEEP, documents, pod, shell
from tests.harness.cluster import Cluster, get_text, statuses
from tests.harness.eventually import eventually_sync

NAMESPACE = "streaming"
_SERVE = "mkdir /w; echo inside > /w/index.html; httpd -p 127.0.0.1:9090 -h /w; httpd -p 8080 -h /w; "
_ECHO = "while true; do nc -l -p 7070 -e cat; done & "


@pytest.fixture(scope="module")
def room(cluster: Cluster) -> Iterator[str]:
    """A namespace with a pod `web`: `main` listens on loopback alone (9090) and everywhere (8080 HTTP, 7070 echo), `tty` is
    a shell on a terminal."""
    with cluster.namespace(NAMESPACE) as name:
        tty = {**shell(""), "name": "tty", "command": ["sh"], "stdin": True, "tty": True}
        ports = [{"containerPort": 8080}]
        cluster.apply(documents(pod("web", shell(_SERVE + _ECHO + SLEEP, ports=ports), tty)), name)
        cluster.wait_ready("app=web", 1, name)
        yield name


@contextlib.contextmanager
def started(
    cluster: Cluster, *args: str, tty: int | None = None, program: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """kubectl that goes on, with its output in a pipe, or on the terminal whose other end the caller holds."""
    argv = [str(program or cluster.upstream_kubectl), "--kubeconfig", str(cluster.kubeconfig), "-n", NAMESPACE, *args]
    out = subprocess.PIPE if tty is None else tty
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL if tty is None else tty, stdout=out, stderr=subprocess.STDOUT,
        env={**os.environ, "HOME": str(cluster.home)}, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


class Terminal:
    """Our end of a pseudo terminal."""

    def __init__(self) -> None:
        self.ours, self.theirs = pty.openpty()
        self._heard = b""

    def size(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def wait_for(self, pattern: str, within: float = 15) -> str:
        """What matches, and all before it is forgotten."""
        deadline = time.monotonic() + within
        while not (found := re.search(pattern.encode(), self._heard)):
            left = deadline - time.monotonic()
            assert left > 0, f"never heard {pattern!r}, but {self._heard!r}"
            if select.select([self.ours], [], [], left)[0]:
                self._heard += os.read(self.ours, 65536)
        self._heard = self._heard[found.end() :]
        return found.group().decode()

    def close(self) -> None:
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


def run(cluster: Cluster, script: str, container: str = "main", **more: object) -> str:
    done = cluster.kubectl("exec", "web", "-c", container, "--", "sh", "-c", script, namespace=NAMESPACE)
    return done.stdout


def test_a_shell_on_a_terminal_follows_its_size(cluster: Cluster, room: str, terminal: Terminal) -> None:
    terminal.size(24, 80)
    with started(cluster, "exec", "-it", "web", "-c", "main", "--", "sh", tty=terminal.theirs) as process:
        terminal.wait_for("# ")
        terminal.type("stty size\n")
        terminal.wait_for("24 80\r\n")
        terminal.size(40, 132)
        process.send_signal(signal.SIGWINCH)

        def resized() -> bool:
            terminal.type("stty size\n")
            return terminal.wait_for(r"\d+ \d+\r\n") == "40 132\r\n"

        eventually_sync(resized, "the shell has the new size", within=10, pause=0.2)
        terminal.type("exit 9\n")
        assert process.wait(10) == 9


def test_what_an_exec_leaves_when_its_user_goes(cluster: Cluster, room: str) -> None:
    """A command whose client is gone is hung up: it does not run on unseen."""
    with started(cluster, "exec", "web", "-c", "main", "--", "sleep", "54321"):
        eventually_sync(lambda: "54321" in run(cluster, "ps | grep 'sleep 5432[1]' || true"), "it runs", within=10)
    eventually_sync(lambda: "54321" not in run(cluster, "ps | grep 'sleep 5432[1]' || true"), "it is gone", within=10)


def test_exec_failures_as_upstream_says_them(cluster: Cluster, room: str) -> None:
    def says(*args: str) -> tuple[int, str]:
        done = cluster.kubectl("exec", *args, namespace=room, check=False)
        return done.returncode, done.stderr

    for _ in range(10):
        assert says("web", "-c", "main", "--", "sh", "-c", "exit 3") == (3, "command terminated with exit code 3\n")
    closed = says("web", "-c", "main", "--", "sh", "-c", "exec >&- 2>&-; sleep 3; exit 4")
    assert closed == (4, "command terminated with exit code 4\n"), "its end is waited for, not that of its output"
    assert says("nobody", "--", "ls") == (1, 'Error from server (NotFound): pods "nobody" not found\n')
    cluster.apply(documents(pod("later", {"name": "c", "image": "no.such/image:1"})), room)
    eventually_sync(lambda: statuses(cluster.get("pod", "later", namespace=room)), "it is known to its node")
    code, text = says("later", "--", "ls")
    assert code == 1
    assert 'unable to upgrade connection: container not found ("c")' in text
    refused = cluster.kubectl("logs", "later", namespace=room, check=False).stderr
    assert 'container "c" in pod "later" is waiting to start: ' in refused


def test_attach_joins_the_shell_and_leaves_it(cluster: Cluster, room: str, terminal: Terminal) -> None:
    with started(cluster, "attach", "-it", "web", "-c", "tty", tty=terminal.theirs):
        terminal.type("echo $((40+2))\n")
        terminal.wait_for("42\r\n")
    assert statuses(cluster.get("pod", "web", namespace=room))["tty"]["restartCount"] == 0
    with started(cluster, "attach", "-it", "web", "-c", "tty", tty=terminal.theirs) as process:
        terminal.type("\nexit\n")
        assert process.wait(15) == 0


@pytest.mark.parametrize("bundled", [False, True], ids=["upstream", "bundled"])
def test_files_are_copied_both_ways(cluster: Cluster, room: str, tmp_path: Path, bundled: bool) -> None:
    program = cluster.bundled_kubectl if bundled else None
    blob = os.urandom(3 << 20)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "blob").write_bytes(blob)
    cluster.kubectl("cp", str(tmp_path / "there"), f"web:/tmp/{bundled}", "-c", "main", namespace=room, program=program)
    assert run(cluster, f"sha256sum < /tmp/{bundled}/blob").split()[0] == hashlib.sha256(blob).hexdigest()
    cluster.kubectl("cp", f"web:/tmp/{bundled}", str(tmp_path / "back"), "-c", "main", namespace=room, program=program)
    assert (tmp_path / "back" / "blob").read_bytes() == blob


def ports(process: subprocess.Popen[bytes], count: int) -> list[int]:
    """The local ports that a port-forward says it listens on."""
    assert process.stdout is not None
    found: list[int] = []
    while len(found) < count:
        line = process.stdout.readline().decode()
        assert line, f"kubectl ended with {process.wait(5)}"
        if line.startswith("Forwarding from 127.0.0.1:"):
            found.append(int(line.split(":")[1].split()[0]))
    return found


@pytest.mark.parametrize("bundled", [False, True], ids=["upstream", "bundled"])
def test_ports_are_forwarded_to_the_pods_own_loopback(cluster: Cluster, room: str, bundled: bool) -> None:
    """Several connections at once, much data, and a client that ends its half and still hears the rest."""
    program = cluster.bundled_kubectl if bundled else None
    with started(cluster, "port-forward", "pod/web", ":9090", ":7070", program=program) as process:
        http, echo = ports(process, 2)
        answers: list[str] = []
        threads = [
            threading.Thread(target=lambda: answers.append(get_text(f"http://127.0.0.1:{http}/"))) for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == ["inside\n"] * 5
        blob = os.urandom(5 << 20)
        with socket.create_connection(("127.0.0.1", echo), timeout=20) as talk:
            sender = threading.Thread(target=lambda: (talk.sendall(blob), talk.shutdown(socket.SHUT_WR)))
            sender.start()
            heard = b""
            while data := talk.recv(1 << 16):
                heard += data
            sender.join()
        assert heard == blob


@pytest.mark.parametrize("bundled", [False, True], ids=["upstream", "bundled"])
def test_a_proxy_leads_to_pods_services_and_nodes(cluster: Cluster, room: str, bundled: bool) -> None:
    service = {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    body = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": service}
    cluster.apply(json.dumps(body), room)
    node = cluster.items("nodes")[0]["metadata"]["name"]
    program = cluster.bundled_kubectl if bundled else None
    with started(cluster, "proxy", "--port=0", program=program) as process:
        assert process.stdout is not None
        base = "http://" + process.stdout.readline().decode().split()[-1]
        at = f"{base}/api/v1/namespaces/{room}"

        def reached() -> bool:
            return get_text(f"{at}/services/web:http/proxy/") == "inside\n"

        eventually_sync(reached, "the service has an endpoint", within=20)
        assert get_text(f"{at}/pods/web:8080/proxy/index.html") == "inside\n"
        assert get_text(f"{at}/pods/web/proxy/") == "inside\n"
        assert get_text(f"{base}/api/v1/nodes/{node}/proxy/healthz") == "ok"
        assert '"name":"web"' in get_text(f"{base}/api/v1/nodes/{node}/proxy/pods").replace(": ", ":")
        assert "gitVersion" in get_text(f"{base}/version")


def test_logs_with_every_option(cluster: Cluster, room: str) -> None:
    script = "echo two >&2; sleep 0.3; echo one; echo three; echo and this is long"
    cluster.apply(
        documents(
            pod("done", shell(script), initContainers=[shell("echo from init", "before")], restartPolicy="Never"),
            pod("again", shell("echo run; sleep 1; exit 1")),
        ),
        room,
    )

    def log(*args: str) -> str:
        return cluster.kubectl("logs", *args, namespace=room).stdout

    eventually_sync(lambda: cluster.get("pod", "done", namespace=room)["status"]["phase"] == "Succeeded", "it is done")
    assert sorted(log("done").splitlines()) == ["and this is long", "one", "three", "two"]
    assert log("done", "-c", "before") == "from init\n"
    assert log("done", "--tail=1") == "and this is long\n"
    assert len(log("done", "--limit-bytes=3")) == 3
    assert log("done", "--since=1h").count("\n") == 4
    assert log("done", "--since-time=2100-01-01T00:00:00Z") == ""
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:]+\.\d{9}Z (one|two)\n", log("done", "--timestamps"))
    path = f"/api/v1/namespaces/{room}/pods/done/log?stream="
    assert cluster.kubectl("get", "--raw", f"{path}Stderr").stdout == "two\n"
    assert "two" not in cluster.kubectl("get", "--raw", f"{path}Stdout").stdout
    everything = cluster.kubectl("logs", "web", "--all-containers", namespace=room, check=False)
    assert everything.returncode == 0
    unclear = cluster.kubectl("get", "--raw", f"/api/v1/namespaces/{room}/pods/web/log", check=False).stderr
    assert "a container name must be specified for pod web, choose one of: [main tty]" in unclear
    none = cluster.kubectl("logs", "done", "--previous", namespace=room, check=False).stderr
    assert 'previous terminated container "main" in pod "done" not found' in none
    assert log("again", "-f") == "run\n"  # ends with the container
    eventually_sync(
        lambda: statuses(cluster.get("pod", "again", namespace=room))["main"]["restartCount"] > 0, "it ran again"
    )
    assert log("again", "--previous") == "run\n"


def test_a_pod_is_debugged_from_within(cluster: Cluster, room: str, terminal: Terminal) -> None:
    """KEP-277: an ephemeral container in a pod that runs, which sees the processes of its target."""
    cluster.apply(documents(pod("bugged", shell("sleep 777777"))), room)
    cluster.wait_ready("app=bugged", 1, room)
    argv = ("debug", "-it", "bugged", "--image=sampan/hello:1", "--target=main", "-c", "dbg", "--", "sh")
    with started(cluster, *argv, tty=terminal.theirs) as process:
        terminal.wait_for("# ", within=30)
        terminal.type("ps | grep 'sleep 77777[7]'; echo sid\\e$?\n")
        terminal.wait_for("sleep 777777\r\n")
        terminal.wait_for("side0")
        terminal.type("exit\n")
        process.wait(15)

    def ended() -> object:
        told = cluster.get("pod", "bugged", namespace=room)["status"].get("ephemeralContainerStatuses") or [{}]
        return (told[0].get("state") or {}).get("terminated")

    eventually_sync(ended, "the debugger has ended", within=15)
    after = cluster.get("pod", "bugged", namespace=room)
    assert after["status"]["phase"] == "Running"
    assert statuses(after)["main"]["restartCount"] == 0
    assert "side0" in cluster.kubectl("logs", "bugged", "-c", "dbg", namespace=room).stdout
