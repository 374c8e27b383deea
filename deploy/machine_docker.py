"""The Docker daemon of one machine, and the end of everything that runs on it.

`dockerd` runs in the machine's network namespace and the host's other namespaces, with everything of its own:
data root, exec root, socket, pid file, configuration, cgroup parent, and a containerd (run-dockerd.sh sees to that).

It runs with `iptables: false` and `bridge: none`: a machine's namespace is wholly ours, so `proxy` writes
every rule in it; two writers would only race for the first place in FORWARD. Start-up is faster, too.
`live-restore` keeps containers running while dockerd is away. The cgroup driver is `cgroupfs` since there
may be no systemd; containers stand under /sampan/<machine>, which makes their cgroups removable.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from client.mountinfo import points_below
from deploy.machine_links import NETNS, MachineError, unmount

RUN = Path("/run/sampan/machines")  # sockets stay short (108 bytes at most), and a reboot clears stale pid files
CGROUPS = Path("/sys/fs/cgroup")


def settings(name: str) -> dict[str, object]:
    """daemon.json of a machine."""
    return {
        "iptables": False,
        "bridge": "none",
        "live-restore": True,
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "cgroup-parent": f"/sampan/{name}",
        "log-driver": "json-file",
        "log-opts": {"max-size": "10m", "max-file": "5"},
    }


class Docker:
    """dockerd of the machine `name`, with its data under `directory`."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.runtime = RUN / name
        self.socket = self.runtime / "docker.sock"
        self.pidfile = self.runtime / "docker.pid"
        self.log = directory / "dockerd.log"
        self.config = directory / "daemon.json"

    @property
    def command(self) -> tuple[str, ...]:
        """What to run, e.g. by a supervisor. `prepare` comes first."""
        return (
            "nsenter", f"--net={NETNS / self.name}", "dockerd",
            "--config-file", str(self.config),
            "--data-root", str(self.directory / "data"),
            "--exec-root", str(self.runtime / "exec"),
            "--pidfile", str(self.pidfile),
            "--host", f"unix://{self.socket}",
        )  # fmt: skip

    def prepare(self) -> None:
        """Directories, configuration, and no stale pid file: dockerd refuses one whose pid was reused."""
        for path in (self.directory, self.runtime):
            path.mkdir(parents=True, exist_ok=True, mode=0o711)
        text = json.dumps(settings(self.name), indent=2) + "\n"
        if not self.config.exists() or self.config.read_text() != text:
            self.config.write_text(text)
        if self.pid is None:
            self.pidfile.unlink(missing_ok=True)

    @property
    def pid(self) -> int | None:
        """The pid of the running dockerd, else None."""
        with suppress(FileNotFoundError, ValueError, ProcessLookupError):
            pid = int(self.pidfile.read_text())
            argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if str(self.pidfile).encode() in argv:
                return pid
        return None

    def start(self) -> None:
        """Start dockerd unless it runs. Returns at once; `wait` for the answer."""
        self.prepare()
        if self.pid is not None:
            return
        with self.log.open("ab") as log:
            subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, cwd="/",
            )  # fmt: skip

    def wait(self, seconds: float = 30) -> None:
        """Until the socket answers. MachineError with the last words of the log when it does not."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.socket.exists() and self.pid is not None and self._answers():
                return
            time.sleep(0.05)
        tail = self.log.read_text(errors="replace").splitlines()[-3:] if self.log.exists() else []
        raise MachineError(
            f"Docker of machine {self.name} does not answer within {seconds:.0f} s; "
            f"its log {self.log} ends with: {' | '.join(tail) or 'nothing'}"
        )

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in connection.recv(64)
            except OSError:
                return False

    def stop(self, seconds: float = 15) -> None:
        """dockerd ends, its containers run on (live-restore)."""
        pid = self.pid
        if pid is None:
            return
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + seconds
        while self.pid == pid and time.monotonic() < deadline:
            time.sleep(0.05)
        if self.pid == pid:
            os.kill(pid, signal.SIGKILL)

    def sweep(self, *under: Path) -> None:
        """After `kill_all`: mounts, cgroups and shim sockets of the machine's containers are gone.

        `under` names further directories whose mounts go (the kubelet's volumes).
        """
        for address in self.runtime.glob("exec/containerd/daemon/*/moby/*/address"):
            Path(address.read_text().strip().removeprefix("unix://")).unlink(missing_ok=True)
        for mount in sorted(mounts_under(self.directory, self.runtime, *under), key=len, reverse=True):
            unmount(mount)
        remove_cgroups(f"sampan/{self.name}")
        shutil.rmtree(self.runtime, ignore_errors=True)


def mounts_under(*directories: Path) -> list[str]:
    """Mount points below any of the directories, which may be mounts themselves: those are the user's."""
    return [
        point for directory in directories for point in points_below(directory) if point != os.path.realpath(directory)
    ]


def remove_cgroups(path: str) -> None:
    """The cgroup `path` and all below it, in every hierarchy; parents too, once they are empty."""
    roots = [CGROUPS] if (CGROUPS / "cgroup.controllers").exists() else list(CGROUPS.iterdir())
    for root in roots:
        top = root / path
        if root.is_symlink() or not top.is_dir():
            continue
        for directory, _, _ in os.walk(top, topdown=False):
            _remove_cgroup(Path(directory))
        with suppress(OSError):  # another machine's cgroups are still in it
            top.parent.rmdir()


def _remove_cgroup(directory: Path) -> None:
    for _ in range(100):  # the kernel lets go of a killed process a moment after it
        try:
            directory.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise MachineError(f"the cgroup {directory} is still in use")


def processes(name: str) -> set[int]:
    """Every process of a machine: those in its network namespace and all that descend from them.

    Containers have namespaces of their own, but their shim stays in the machine's and is their parent.
    """
    try:
        inode = os.stat(NETNS / name).st_ino
    except FileNotFoundError:
        return set()
    parents: dict[int, int] = {}
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with suppress(OSError):  # it ended meanwhile
            pid = int(entry.name)
            parents[pid] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if os.stat(entry / "ns" / "net").st_ino == inode:
                found.add(pid)
    grown = True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in found} - found
        found |= children
        grown = bool(children)
    return found - {os.getpid()}


def kill_all(name: str, seconds: float = 15) -> None:
    """SIGKILL to every process of a machine, until none is left."""
    deadline = time.monotonic() + seconds
    while alive := {pid for pid in processes(name) if not _is_zombie(pid)}:
        if time.monotonic() > deadline:
            raise MachineError(f"processes {sorted(alive)} of machine {name} survive SIGKILL")
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
