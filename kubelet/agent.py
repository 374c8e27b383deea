"""The kubelet put together: what each part is given, and what runs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.builtin import NODES, PODS, SERVICES
from client.clock import Clock
from client.daemon import Daemon
from client.events import EventRecorder
from client.informer import Informer
from kubelet.configuration import Configuration
from kubelet.docker.images import DockerImages
from kubelet.docker.observer import Observer
from kubelet.docker.runtime import DockerRuntime
from kubelet.eviction import dead_containers
from kubelet.eviction.manager import Evictions
from kubelet.eviction.signals import Signals
from kubelet.flags import own_address
from kubelet.images.collector import Collector
from kubelet.images.credentials import Credentials
from kubelet.images.puller import Images
from kubelet.images.pulls import Pulls
from kubelet.network.pod_network import PodNetwork
from kubelet.node.admission import NodeAdmission
from kubelet.node.agent import NodeAgent
from kubelet.node.oom import KernelLog
from kubelet.node.shutdown import Shutdown
from kubelet.node.status import VERSION
from kubelet.pods.critical import is_static
from kubelet.pods.ending import Endings
from kubelet.pods.facts import Facts, discover
from kubelet.pods.lookup import Lookup
from kubelet.pods.mirrors import Mirrors
from kubelet.pods.pods import Pods
from kubelet.pods.preemption import Preemption
from kubelet.pods.runner import Runner
from kubelet.pods.shared import Shared
from kubelet.pods.status_manager import StatusManager
from kubelet.probing.checks import Checks
from kubelet.probing.commands import Commands
from kubelet.probing.hooks import Hooks
from kubelet.probing.prober import Probing
from kubelet.server.app import Server
from kubelet.server.auth import Access
from kubelet.server.containers import Containers
from kubelet.server.images import ImageHandlers
from kubelet.server.node import About, NodeHandlers
from kubelet.stats.stats import Stats
from kubelet.volumes.manager import Volumes
from kubelet.volumes.refresher import Refresher

if TYPE_CHECKING:
    from kubelet.pods.manifests import Manifests


async def serve(daemon: Daemon) -> None:
    """Until cancelled. Pods that run go on running."""
    args, client, clock = daemon.args, daemon.client, daemon.clock
    config: Configuration = args.config
    root = Path(args.root_dir or f"/var/lib/sampan/nodes/{args.node_name}/kubelet")
    await asyncio.to_thread(root.mkdir, 0o750, True, True)
    address = args.node_ip or own_address(daemon.config.server)
    facts = await asyncio.to_thread(discover, args.node_name, address, root, config)

    # What is wanted.
    pod_informer = Informer(client, PODS, fields=f"spec.nodeName={args.node_name}", clock=clock)
    node_informer = Informer(client, NODES, fields=f"metadata.name={args.node_name}", clock=clock)
    services = Informer(client, SERVICES, clock=clock)
    lookup = Lookup(client, clock)

    # What is there, and what is told of it.
    runtime = DockerRuntime(args.docker_host, args.cluster_name, args.node_name)
    docker_images = DockerImages(runtime)
    observer = Observer(runtime, clock)
    recorder = EventRecorder(client, "kubelet", host=args.node_name, clock=clock)

    # What pods are made of.
    credentials = Credentials(lookup.secret, lambda pod, *news: recorder.event(pod, "Warning", *news), root)
    pulls = Pulls(docker_images, credentials, root, config, clock)
    images = Images(docker_images, credentials, pulls, clock)
    network = PodNetwork(runtime, observer.sandboxes)
    volumes = Volumes(facts, lookup, clock, docker_images.export)
    runner = Runner(
        runtime, observer, images, volumes, lookup, network, services.store.list, recorder, facts, clock,
    )  # fmt: skip
    commands = Commands(runtime, clock)
    endings = Endings(runtime, observer, Hooks(commands, observer, recorder, clock, facts.host_ip), recorder, clock)
    probing = Probing(Checks(commands), recorder, clock, facts.host_ip)

    # The pods, and the node that has them.
    pods = Pods(pod_informer, node_informer, observer, volumes, clock)
    observer.on_change(pods.container_changed)
    refresher = Refresher(client, pod_informer, lookup, volumes, clock, config.sync_seconds, pods.retry_volumes)
    statuses = StatusManager(client, pods.stored, clock)
    node = NodeAgent(
        client, runtime, docker_images, network, node_informer, facts, recorder, clock,
        port=args.port, labels=args.node_labels,
    )  # fmt: skip
    stats = Stats(observer, root, clock, volumes.claimed)
    collector = Collector(docker_images, images, pulls, recorder, node.reference, config, clock)
    evictions = Evictions(
        Signals(root), docker_images.disk, stats, pods, observer, recorder, node.reference, config, clock,
        reclaim=[lambda: dead_containers.remove(pods.all(), observer, runner.remove), collector.free],
        changed=node.wake,
    )  # fmt: skip
    node.pressure = lambda: evictions.conditions
    shutdown = Shutdown(pods, observer, statuses.flush, recorder, node.reference, config, clock, node.wake)
    node.shutting_down = lambda: shutdown.coming
    admission = NodeAdmission(node.known, pods, shutdown, evictions, facts)
    pods.use(
        Shared(
            client, observer, runner, endings, probing, volumes, statuses, recorder, clock,
            lambda pod: node.network_ready and (services.synced or is_static(pod)),
            Preemption(admission.admit, pods, recorder, clock).admit, admission.resize,
        )
    )  # fmt: skip
    mirrors = Mirrors(client, pods.static_state, node.stored, clock)
    pods.on_static = mirrors.wake
    node_informer.on_event(lambda *_: mirrors.wake())

    # Who asks.
    settings = {**config.document(), "address": facts.host_ip, "port": args.port}
    about = About(args.node_name, root, VERSION, settings, docker_images.usage, probing.counts.text)
    containers = Containers(runtime, observer, pods, clock, config.stream_idle_seconds)
    rooms = (containers, NodeHandlers(about, observer, pods, stats), ImageHandlers(docker_images))
    access = Access(client, args.node_name, config, clock)
    server = Server(access, [route for room in rooms for route in room.routes()])

    daemon.ready_when("node", lambda: node.ready)
    daemon.ready_when("pods", lambda: pod_informer.synced)
    parts: tuple[Any, ...] = (
        recorder, pod_informer, services, observer, node, pods, collector, evictions, refresher, shutdown,
        KernelLog(recorder, node.reference), mirrors, *await _manifests(facts, pods, recorder, node, clock),
    )  # fmt: skip
    await server.start(facts.host_ip, args.port, args.tls_cert_file, args.tls_private_key_file, args.client_ca_file)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_adopt(observer, network))
            for part in parts:
                group.create_task(part.run())
    finally:
        await server.stop()
        await commands.close()
        runtime.close()


async def _manifests(
    facts: Facts, pods: Pods, recorder: EventRecorder, node: NodeAgent, clock: Clock
) -> list[Manifests]:
    """The folder of static pods, looked at once; none where none is configured."""
    folder = facts.configuration.static_pod_path
    if not folder:
        return []
    # Not above: what reads a manifest is what makes the apiserver big: schemas, defaults, validation.
    from kubelet.pods.manifests import Manifests  # noqa: PLC0415

    def complain(text: str) -> None:
        recorder.event(node.reference, "Warning", "FailedValidation", text)

    found = Manifests(Path(folder), facts.node_name, pods.take_static, complain, clock)
    await found.look()
    return [found]


async def _adopt(observer: Observer, network: PodNetwork) -> None:
    await observer.wait_listed()
    await network.adopt()
