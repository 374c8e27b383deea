"""The wires between machines: bridge, namespaces, links and the host's rules for them.

Every function is idempotent: it makes what is missing and leaves what is right. Removal undoes exactly what
was made; `found` says what the host was like before (forwarding, /run/netns), `restore` puts it back.
The host's rules live in chains named SAMPAN-MACHINES, one in `nat` and one in `filter`.
"""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import json
import os
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from client.mountinfo import is_mounted

NETNS = Path("/run/netns")
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
CHAIN = "SAMPAN-MACHINES"
_MNT_DETACH = 2


class MachineError(Exception):
    """A command about a machine failed; the message names the command and what it said."""


def run(*argv: str) -> str:
    """stdout of a command; MachineError with its stderr when it fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    except FileNotFoundError as error:
        raise MachineError(f"{argv[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise MachineError(f"`{' '.join(argv)}` gave no answer within 60 s") from error
    if done.returncode:
        raise MachineError(f"`{' '.join(argv)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _succeeds(*argv: str) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


def _addresses(device: str) -> list[str]:
    """`172.30.0.1/24` for each IPv4 address of a device; none when there is no such device."""
    if not Path("/sys/class/net", device).exists():
        return []
    links: list[dict[str, Any]] = json.loads(run("ip", "-j", "-4", "addr", "show", "dev", device) or "[]")
    return [f"{a['local']}/{a['prefixlen']}" for link in links for a in link.get("addr_info", ())]


def find_subnet(bridge: str) -> str:
    """The subnet the bridge already has, else the first candidate that no route of the host overlaps."""
    for address in _addresses(bridge):
        return str(ipaddress.ip_interface(address).network)
    routes: list[dict[str, Any]] = json.loads(run("ip", "-j", "-4", "route", "show", "table", "all") or "[]")
    return free_subnet(str(route.get("dst", "")) for route in routes)


def free_subnet(destinations: Iterable[str]) -> str:
    """Pure: the first of 172.30.0.0/24, 172.30.1.0/24 … 172.31.255.0/24 that overlaps no destination."""
    taken: list[ipaddress.IPv4Network] = []
    for destination in destinations:
        with suppress(ValueError):  # "default" and other words are no networks
            taken.append(ipaddress.IPv4Network(destination, strict=False))
    for candidate in ipaddress.IPv4Network("172.30.0.0/15").subnets(new_prefix=24):
        if not any(candidate.overlaps(other) for other in taken if other.prefixlen):
            return str(candidate)
    raise MachineError("no free /24 in 172.30.0.0/15 for the machines' network: pass one with subnet=")


# -- the host's side ---------------------------------------------------------------------------------------


def ensure_bridge(bridge: str, subnet: str) -> None:
    network = ipaddress.IPv4Network(subnet)
    if not Path("/sys/class/net", bridge).exists():
        run("ip", "link", "add", "name", bridge, "type", "bridge")
    address = f"{network[1]}/{network.prefixlen}"
    if address not in _addresses(bridge):
        run("ip", "addr", "add", address, "dev", bridge)
    run("ip", "link", "set", bridge, "up")


def remove_bridge(bridge: str) -> None:
    if Path("/sys/class/net", bridge).exists():
        run("ip", "link", "del", bridge)


def _rules(bridge: str, subnet: str) -> list[tuple[str, tuple[str, ...]]]:
    """(table, rule) of one bridge. Bridged frames pass FORWARD too where bridge-nf-call-iptables is 1."""
    return [
        ("filter", ("-i", bridge, "-j", "ACCEPT")),
        ("filter", ("-o", bridge, "-j", "ACCEPT")),
        ("nat", ("-s", subnet, "!", "-o", bridge, "-j", "MASQUERADE")),
    ]


_HOOKS = (("filter", "FORWARD"), ("filter", "INPUT"), ("nat", "POSTROUTING"))


def _iptables(table: str, *argv: str) -> tuple[str, ...]:
    return ("iptables", "--wait", "10", "--table", table, *argv)


def ensure_rules(bridge: str, subnet: str) -> None:
    """Machines reach the host and whatever the host reaches, whatever the host's FORWARD policy is."""
    for table in ("filter", "nat"):
        if not _succeeds(*_iptables(table, "-S", CHAIN)):
            run(*_iptables(table, "-N", CHAIN))
    for table, rule in _rules(bridge, subnet):
        if not _succeeds(*_iptables(table, "-C", CHAIN, *rule)):
            run(*_iptables(table, "-A", CHAIN, *rule))
    for table, hook in _HOOKS:
        if not _succeeds(*_iptables(table, "-C", hook, "-j", CHAIN)):
            run(*_iptables(table, "-I", hook, "1", "-j", CHAIN))


def remove_rules(bridge: str, subnet: str) -> None:
    """The rules of this bridge; the chain goes with its last rule, since other bridges may share it."""
    for table, rule in _rules(bridge, subnet):
        while _succeeds(*_iptables(table, "-D", CHAIN, *rule)):
            pass
    for table in ("filter", "nat"):
        if not _succeeds(*_iptables(table, "-S", CHAIN)) or "-A" in run(*_iptables(table, "-S", CHAIN)):
            continue
        for hook_table, hook in _HOOKS:
            while hook_table == table and _succeeds(*_iptables(table, "-D", hook, "-j", CHAIN)):
                pass
        run(*_iptables(table, "-X", CHAIN))


# -- one machine's side ------------------------------------------------------------------------------------


def namespaces() -> list[str]:
    return sorted(p.name for p in NETNS.iterdir()) if NETNS.is_dir() else []


def ensure_machine(name: str, link: str, bridge: str, address: str, gateway: str) -> None:
    """Namespace `name` with eth0 = `address` (with prefix length) on the bridge and a default route."""
    if not is_namespace(name):
        (NETNS / name).unlink(missing_ok=True)  # a file without a namespace: left by a reboot
        run("ip", "netns", "add", name)
    inside = ("ip", "-n", name)
    if not Path("/sys/class/net", link).exists():
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
    run("ip", "link", "set", link, "master", bridge)
    run(*inside, "link", "set", "lo", "up")
    run(*inside, "addr", "replace", address, "dev", "eth0")
    run(*inside, "link", "set", "eth0", "up")
    run("ip", "link", "set", link, "up")
    run(*inside, "route", "replace", "default", "via", gateway, "dev", "eth0")


def is_namespace(name: str) -> bool:
    """True when /run/netns/<name> holds a network namespace, not just an empty file."""
    try:
        return os.stat(NETNS / name).st_dev != os.stat(NETNS).st_dev
    except FileNotFoundError:
        return False


def set_cable(link: str, plugged: bool) -> None:
    run("ip", "link", "set", link, "up" if plugged else "down")


def remove_machine(name: str, link: str) -> None:
    if Path("/sys/class/net", link).exists():
        run("ip", "link", "del", link)
    if (NETNS / name).exists():
        run("ip", "netns", "del", name)


# -- what was found and must be put back -------------------------------------------------------------------


def found() -> dict[str, str]:
    """What `restore` needs, read before the first change: forwarding and how /run/netns looked."""
    netns = "mounted" if is_mounted(NETNS) else "directory" if NETNS.is_dir() else "absent"
    return {"ip_forward": FORWARD.read_text().strip(), "netns": netns}


def unmount(path: str) -> None:
    """Detach a mount. By system call, since umount(8) leaves /run/mount behind."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(path), _MNT_DETACH) and ctypes.get_errno() not in (errno.EINVAL, errno.ENOENT):
        raise MachineError(f"unmounting {path} failed: {os.strerror(ctypes.get_errno())}")


def enable_forwarding() -> None:
    if FORWARD.read_text().strip() != "1":
        FORWARD.write_text("1\n")


def restore(before: dict[str, str]) -> None:
    """Put forwarding and /run/netns back as `found` saw them. Namespaces of others keep /run/netns alive."""
    if before.get("ip_forward") == "0":
        FORWARD.write_text("0\n")
    if before.get("netns") == "mounted" or namespaces():
        return
    if is_mounted(NETNS):
        unmount(str(NETNS))
    if before.get("netns") == "absent" and NETNS.is_dir():
        NETNS.rmdir()
