"""What must be known of the machine we are on: its name, addresses, ports, tools, and who asked."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from deploy.errors import Failure

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LISTEN = "0A"


def require_root(command: str) -> None:
    if os.geteuid() != 0:
        raise Failure(f"`sampan {command}` changes the machine's network and needs root", "run it with sudo")


def has_systemd() -> bool:
    """systemd runs here, not only lies on the disk: the test of sd_booted(3)."""
    return Path("/run/systemd/system").is_dir()


def node_name() -> str:
    """The host name as an object name: lower case, RFC 1123."""
    name = re.sub(r"[^a-z0-9.-]+", "-", socket.gethostname().lower()).strip("-.")
    if not name:
        raise Failure("this machine has no host name", "set one: hostnamectl set-hostname NAME")
    return name


def default_address() -> str | None:
    """The IPv4 address this machine would speak to the world from, None without a default route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # asks the routing table; a datagram socket sends nothing
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if address.startswith("127.") or address == "0.0.0.0" else address


def require_tools(tools: dict[str, str]) -> None:
    """`tools` maps programs to the Debian packages that hold them."""
    missing = {tool: package for tool, package in tools.items() if find_tool(tool) is None}
    if missing:
        raise Failure(
            f"not installed: {', '.join(missing)}",
            f"run `make up`, or: apt-get install {' '.join(sorted(set(missing.values())))}",
        )


def find_tool(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:{PATH}")


def require_space(directory: Path, megabytes: int) -> None:
    there = next(path for path in (directory, *directory.parents) if path.exists())
    usage = os.statvfs(there)
    free = usage.f_bavail * usage.f_frsize // 1024**2
    if free < megabytes:
        raise Failure(
            f"{there} has {free} MB left, a cluster needs {megabytes} MB", "free some space, or give --data-dir"
        )
    if usage.f_favail < 1000 and usage.f_files:
        raise Failure(f"{there} has no free inodes", "delete files, or give --data-dir")


def listeners(ports: set[int]) -> dict[int, str]:
    """Which of the TCP ports are taken in this network namespace, and by whom: `name (pid 12)`."""
    inodes: dict[str, int] = {}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not Path(table).exists():
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            port = int(fields[1].rpartition(":")[2], 16)
            if fields[3] == _LISTEN and port in ports:
                inodes[f"socket:[{fields[9]}]"] = port
    taken = dict.fromkeys(inodes.values(), "another process")
    for descriptor in Path("/proc").glob("[0-9]*/fd/*") if inodes else ():
        try:
            port = inodes.get(os.readlink(descriptor), 0)
            if port:
                process = descriptor.parent.parent
                taken[port] = f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue  # it ended, or closed that file, while we looked
    return taken


@dataclass(frozen=True, slots=True)
class User:
    """Who typed the command, seen through sudo."""

    name: str
    uid: int
    gid: int
    home: Path

    @property
    def kubeconfig(self) -> Path:
        """The file kubectl would write: the first of $KUBECONFIG (sudo drops it, mostly), else ~/.kube/config."""
        listed = [path for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path]
        return Path(listed[0]) if listed else self.home / ".kube" / "config"


def invoking_user() -> User:
    uid = os.getuid()
    if uid == 0 and os.environ.get("SUDO_UID", "").isdigit():
        uid = int(os.environ["SUDO_UID"])
    entry = pwd.getpwuid(uid)
    own = uid == os.getuid() and os.environ.get("HOME")
    return User(entry.pw_name, uid, entry.pw_gid, Path(own or entry.pw_dir))
