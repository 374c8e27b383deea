"""`python -m proxy`: the node's network. Rules for Services, routes to other nodes' pods, cluster DNS.

It flushes nothing when it starts and nothing when it stops: connections and Services outlive it.
`--cleanup` removes every rule, chain, route and address of ours from this network namespace and puts back the
kernel settings that were changed.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from pathlib import Path

from api.builtin import ENDPOINT_SLICES, NODES, SERVICES
from client import daemon, log
from client.daemon import Daemon
from client.informer import Informers
from proxy import dns_server, memory, netlink, sysctls
from proxy.dns import Zone
from proxy.iptables import Iptables, IptablesError, backend
from proxy.resolvers import Resolvers
from proxy.rules import Network
from proxy.syncer import RESYNC, Syncer
from proxy.view import ServiceView

SYSCTLS, MEMORY = "sysctls.json", "last-known.json"  # in the state directory
_log = log.get("proxy")


def parser() -> argparse.ArgumentParser:
    flags = daemon.flags("proxy", "The node's network: services, routes, DNS.", healthz_port=10256)
    host = socket.gethostname().lower()
    flags.add_argument("--node-name", default=host, help="name of this Node (default %(default)s)")
    flags.add_argument("--node-ip", default="", help="its InternalIP")
    flags.add_argument("--cluster-cidr", default="10.244.0.0/16", help="all pods (default %(default)s)")
    flags.add_argument("--service-cidr", default="10.96.0.0/16", help="all Services (default %(default)s)")
    flags.add_argument("--cluster-dns", default="10.96.0.10", help="DNS address; empty is off")
    flags.add_argument("--cluster-domain", default="cluster.local", help="DNS zone (default %(default)s)")
    flags.add_argument("--resolv-conf", default="/etc/resolv.conf", help="where other names are asked for")
    flags.add_argument("--pod-bridge", default="sampan0", help="bridge of the pods (default %(default)s)")
    flags.add_argument("--state-dir", default="", help="default /run/sampan/proxy-<node name>")
    flags.add_argument("--cleanup", action="store_true", help="remove everything of ours, then exit")
    return flags


def _state_dir(args: argparse.Namespace) -> Path:
    return Path(args.state_dir or f"/run/sampan/proxy-{args.node_name}")


async def serve(d: Daemon) -> None:
    args = d.args
    state = _state_dir(args)
    sysctls.apply(state / SYSCTLS)
    informers = Informers(d.client, clock=d.clock)
    services, slices, nodes = (informers.of(res) for res in (SERVICES, ENDPOINT_SLICES, NODES))
    view = ServiceView(services, slices)
    syncer = Syncer(
        services, slices, nodes, view,
        node_name=args.node_name, node_ip=args.node_ip, bridge=args.pod_bridge, clock=d.clock,
        network=Network(args.cluster_cidr, args.cluster_dns),
    )  # fmt: skip
    known = {"services": services, "slices": slices}
    recalled = memory.recall(state / MEMORY, known)
    d.ready_when("informers", lambda: informers.synced)
    d.ready_when("rules", lambda: syncer.programmed)
    _log.info("network", iptables=await backend(), node=args.node_name)
    async with asyncio.TaskGroup() as group:
        group.create_task(informers.run())
        group.create_task(memory.keep(state / MEMORY, known, d.clock))
        group.create_task(netlink.watch_links(syncer.links_changed))
        if args.cluster_dns:
            await asyncio.to_thread(netlink.add_address, args.cluster_dns)
            zone = Zone(view, args.cluster_domain, args.cluster_dns, (args.cluster_cidr, args.service_cidr))
            resolvers = Resolvers(Path(args.resolv_conf), args.cluster_dns)
            responder = dns_server.Responder(zone, resolvers, lambda: recalled or (services.synced and slices.synced))
            group.create_task(_serve_dns(d, responder, args.cluster_dns))
        await informers.wait_synced()  # half a picture would withdraw what runs
        group.create_task(syncer.rules())
        group.create_task(syncer.routes())
        group.create_task(syncer.verify())
        group.create_task(syncer.links_pulse.every(RESYNC))
        group.create_task(syncer.routes_pulse.every(RESYNC))


async def _serve_dns(d: Daemon, responder: dns_server.Responder, address: str) -> None:
    while True:
        try:
            await dns_server.serve(responder, address)
        except OSError as error:
            _log.error("DNS cannot listen", address=address, port=dns_server.PORT, why=str(error))
            await d.clock.sleep(5)


async def cleanup(args: argparse.Namespace) -> None:
    """Exactly what `serve` made in this network namespace."""
    await Iptables().remove()
    await asyncio.to_thread(netlink.set_tunnel, set(), "", "")
    await asyncio.to_thread(netlink.set_routes, set())
    await asyncio.to_thread(netlink.remove_addresses)
    state = _state_dir(args)
    sysctls.restore(state / SYSCTLS)
    (state / MEMORY).unlink(missing_ok=True)
    for directory in (state, state.parent):
        if directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()


def main() -> int:
    flags = parser()
    args = flags.parse_args()
    if not args.cleanup:
        return daemon.run("proxy", serve, flags)
    log.configure(args.verbosity)
    try:
        asyncio.run(cleanup(args))
    except (IptablesError, sysctls.SysctlError, OSError) as error:
        _log.error("cleanup failed", why=str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
