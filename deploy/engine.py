"""The host's Docker Engine: the one that runs, else the machine's own service, else one that we run ourselves."""

from __future__ import annotations

import subprocess
from pathlib import Path

from deploy import changes, host, processes, supervision
from deploy.components import HOST_DOCKER, dockerd
from deploy.docker_api import DEFAULT_SOCKET, Engine
from deploy.errors import Failure
from deploy.layout import Layout
from deploy.machine_docker import Docker

_KEY = "docker"


def own_engine(layout: Layout) -> Docker:
    """dockerd as we run it on the host: as on a machine of `--nodes N`, but in no other network namespace."""
    return Docker("host", layout.docker)


def choose(layout: Layout) -> tuple[str, ...]:
    """Finds or starts Docker. Returns the command of the Engine that we have to supervise, () when it is
    somebody else's."""
    ours = changes.recorded(layout).get(_KEY) == "own"
    running = supervision.supervision(layout).running(HOST_DOCKER) is not None
    if not ours and Engine().answers():
        return ()
    if ours and not running and Engine().answers():
        changes.forget(layout, _KEY)  # somebody has started theirs since
        return ()
    if not ours and host.has_systemd() and _service_exists():
        changes.record(layout, _KEY, "systemd")
        done = subprocess.run(["systemctl", "start", "docker"], capture_output=True, text=True, check=False)
        if done.returncode or not Engine().answers(30):
            raise Failure(
                f"Docker does not start: {done.stderr.strip() or 'it does not answer'}",
                "journalctl -u docker tells why",
            )
        return ()
    if not running and Engine().listens():
        raise Failure(
            f"Docker is there but does not answer on {DEFAULT_SOCKET}",
            "restart it: systemctl restart docker, or service docker restart",
        )
    changes.record(layout, _KEY, "own")
    docker = own_engine(layout)
    docker.prepare()
    enters_namespace = 2  # the first words of the command of a machine
    return dockerd(docker, [*docker.command[enters_namespace:], "--host", f"unix://{DEFAULT_SOCKET}"])


def remove(layout: Layout) -> list[str]:
    """After everything else of ours has stopped: undoes what `choose` did."""
    how = changes.recorded(layout).get(_KEY)
    if how == "systemd":
        subprocess.run(["systemctl", "stop", "docker.service", "docker.socket"], check=False)
        return ["the Docker service, started for the cluster, is stopped again"]
    if how != "own":
        return []
    docker = own_engine(layout)
    for pid in _family(layout, docker):
        process = processes.find(pid)
        if process is not None:
            processes.stop(process, 10)
    docker.sweep(layout.docker)
    DEFAULT_SOCKET.unlink(missing_ok=True)
    Path("/run/docker.pid").unlink(missing_ok=True)
    return ["the Docker Engine that sampan ran, with its data"]


def _family(layout: Layout, docker: Docker) -> list[int]:
    """dockerd's containerd and shims: processes whose command line names our directories."""
    marks = [str(docker.runtime).encode(), str(layout.docker).encode()]
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = file.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        program = command.split(b"\0")[0].rpartition(b"/")[2]
        if program.startswith((b"dockerd", b"containerd")) and any(mark in command for mark in marks):
            found.append(int(file.parent.name))
    return found


def _service_exists() -> bool:
    return not subprocess.run(["systemctl", "cat", "docker.service"], capture_output=True, check=False).returncode
