"""Several machines on one: what `sampan up --nodes N` and the tests stand on.

A machine is a network namespace on a bridge, with a Docker daemon of its own.

    machines = Machines(Path("/var/lib/sampan"))
    for machine in machines.up(3):     # makes what is missing, adopts what is there; Docker answers
        machine.name, machine.ip       # "sampan-node-1", "172.30.0.2"
        machine.prefix                 # ("nsenter", "--net=/run/netns/sampan-node-1"), before a daemon's argv
        machine.docker_host            # "unix:///run/sampan/machines/sampan-node-1/docker.sock"
        machine.docker_command         # for a supervisor that keeps dockerd alive: machine.docker.prepare()
        machine.docker_pidfile         # comes before each start
        machine.resolv_conf            # name servers that are reached from in there: proxy --resolv-conf
    machines.host_ip                   # "172.30.0.1": the host's apiserver, as every machine reaches it
    machines.existing()                # those that exist, running or not
    machines.unplug(name), .plug(name) # the cable is pulled: everything runs on, unheard
    machines.power_off(name)           # kill -9 of all that runs on it, mounts gone, cable dead
    machines.power_on(name)            # cable and Docker are back; its daemons are the caller's to start
    machines.stop_docker(name)         # the daemon alone; containers run on (live-restore)
    machines.start_docker(name)
    machines.remove()                  # exactly what was made: processes, mounts, cgroups, links, rules…

The daemons that run inside with `prefix` are the caller's. power_off and remove kill them with everything
else, so stop their supervision first. All calls need root, block, and raise MachineError with a cause.
Several clusters can share one host when each has its own `name` prefix, `bridge` and data directory.
"""

from __future__ import annotations

import ipaddress
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from client import trees
from deploy import machine_links as links
from deploy.machine_docker import RUN, Docker, kill_all
from deploy.machine_links import MachineError

__all__ = ["Machine", "MachineError", "Machines"]

_RESOLVED = Path("/run/systemd/resolve/resolv.conf")


@dataclass(frozen=True, slots=True)
class Machine:
    name: str
    index: int
    ip: str
    netns: Path
    directory: Path  # <data-dir>/nodes/<name>
    resolv_conf: Path
    docker: Docker

    @property
    def prefix(self) -> tuple[str, ...]:
        """Not `ip netns exec`: that also hides the cgroup mounts."""
        return ("nsenter", f"--net={self.netns}")

    @property
    def docker_socket(self) -> Path:
        return self.docker.socket

    @property
    def docker_host(self) -> str:
        return f"unix://{self.docker.socket}"

    @property
    def docker_command(self) -> tuple[str, ...]:
        return self.docker.command

    @property
    def docker_pidfile(self) -> Path:
        return self.docker.pidfile


class Machines:
    def __init__(
        self, data_dir: Path, *, name: str = "sampan-node", bridge: str = "sampan-br", subnet: str = ""
    ) -> None:
        if len(bridge) > 11:
            raise MachineError(f"bridge name {bridge!r} is too long: its links need 4 more of 15 characters")
        self._data_dir = data_dir
        self._prefix = name
        self._bridge = bridge
        self._file = data_dir / "machines.json"
        self._asked_subnet = subnet

    # -- all of them -----------------------------------------------------------------------------------

    def up(self, count: int, *, docker: bool = True) -> list[Machine]:
        """Machines 1 to `count`, wired, with Docker answering unless `docker` is False."""
        self.wire(count)
        machines = self.existing()[:count]
        if docker:
            with ThreadPoolExecutor(max_workers=max(count, 1)) as pool:
                list(pool.map(self._start_docker, machines))
        return machines

    def wire(self, count: int) -> None:
        """Bridge, rules and namespaces for `count` machines; a machine that is off stays off."""
        subnet = self._remember()
        links.enable_forwarding()
        links.ensure_bridge(self._bridge, subnet)
        links.ensure_rules(self._bridge, subnet)
        known = {machine.name for machine in self.existing()}
        for index in range(1, count + 1):
            machine = self._machine(index)
            if machine.name not in known:
                self._wire_one(machine)
            write_resolv_conf(machine.resolv_conf)

    def _wire_one(self, machine: Machine) -> None:
        network = self._network()
        links.ensure_machine(
            machine.name, self._link(machine), self._bridge, f"{machine.ip}/{network.prefixlen}", self.host_ip
        )

    def existing(self) -> list[Machine]:
        """The machines whose namespaces exist, in order."""
        found = []
        for name in links.namespaces():
            head, _, tail = name.rpartition("-")
            if head == self._prefix and tail.isdigit() and links.is_namespace(name):
                found.append(self._machine(int(tail)))
        return sorted(found, key=lambda m: m.index)

    def get(self, name: str) -> Machine:
        machine = next((m for m in self.existing() if m.name == name), None)
        if machine is None:
            raise MachineError(f"there is no machine {name}")
        return machine

    @property
    def host_ip(self) -> str:
        return str(self._network()[1])

    def remove(self) -> None:
        """All machines and what joins them. Data under <data-dir>/nodes/<name>/docker goes too."""
        machines = self.existing()
        with ThreadPoolExecutor(max_workers=max(len(machines), 1)) as pool:
            list(pool.map(self._remove_one, machines))
        if not self._file.exists():
            return
        links.remove_rules(self._bridge, str(self._network()))
        links.remove_bridge(self._bridge)
        links.restore(self._state()["before"])
        self._file.unlink()
        for directory in (RUN, RUN.parent, self._data_dir / "nodes"):
            remove_empty(directory)

    def _remove_one(self, machine: Machine) -> None:
        kill_all(machine.name)
        machine.docker.sweep(machine.directory)
        links.remove_machine(machine.name, self._link(machine))
        if machine.docker.directory.exists():
            trees.remove(machine.docker.directory)
        machine.resolv_conf.unlink(missing_ok=True)
        remove_empty(machine.directory)

    # -- one of them -----------------------------------------------------------------------------------

    def unplug(self, name: str) -> None:
        links.set_cable(self._link(self.get(name)), plugged=False)

    def plug(self, name: str) -> None:
        links.set_cable(self._link(self.get(name)), plugged=True)

    def power_off(self, name: str) -> None:
        """As if the plug was pulled. Containers are dead; their files stay for the next start."""
        machine = self.get(name)
        links.set_cable(self._link(machine), plugged=False)
        kill_all(name)
        machine.docker.sweep(machine.directory)

    def power_on(self, name: str) -> Machine:
        """The cable is live and Docker answers. The caller starts its daemons again."""
        machine = self.get(name)
        self._wire_one(machine)
        self._start_docker(machine)
        return machine

    def stop_docker(self, name: str) -> None:
        self.get(name).docker.stop()

    def start_docker(self, name: str) -> None:
        self._start_docker(self.get(name))

    def _start_docker(self, machine: Machine) -> None:
        machine.docker.start()
        machine.docker.wait()

    # -- names and addresses ---------------------------------------------------------------------------

    def _machine(self, index: int) -> Machine:
        name = f"{self._prefix}-{index}"
        directory = self._data_dir / "nodes" / name
        return Machine(
            name=name,
            index=index,
            ip=str(self._network()[index + 1]),
            netns=links.NETNS / name,
            directory=directory,
            resolv_conf=directory / "resolv.conf",
            docker=Docker(name, directory / "docker"),
        )

    def _link(self, machine: Machine) -> str:
        return f"{self._bridge}-{machine.index}"

    def _network(self) -> ipaddress.IPv4Network:
        return ipaddress.IPv4Network(self._remember())

    def _remember(self) -> str:
        """The subnet, chosen once; with it what the host looked like before the first change."""
        if self._file.exists():
            return str(self._state()["subnet"])
        subnet = self._asked_subnet or links.find_subnet(self._bridge)
        self._data_dir.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps({"subnet": subnet, "before": links.found()}) + "\n")
        fresh.rename(self._file)
        return subnet

    def _state(self) -> dict[str, dict[str, str]]:
        state: dict[str, dict[str, str]] = json.loads(self._file.read_text())
        return state


def remove_empty(directory: Path) -> None:
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()


def write_resolv_conf(path: Path) -> None:
    """The host's upstream name servers. One on loopback is not reached from a machine, so it is left out."""
    source = _RESOLVED if _RESOLVED.exists() else Path("/etc/resolv.conf")
    text = reachable_resolvers(source.read_text() if source.exists() else "")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def reachable_resolvers(resolv_conf: str) -> str:
    """Pure: resolv.conf without name servers that answer on loopback only."""
    lines = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if words[:1] == ["nameserver"] and len(words) > 1 and words[1].startswith(("127.", "::1")):
            continue
        lines.append(line)
    return "".join(f"{line}\n" for line in lines)
