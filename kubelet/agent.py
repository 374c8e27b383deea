"""The kubelet put together: what each part is given, and what runs."""

from __future__ import annotations

import argparse
import asyncio
import platform
import socket
from pathlib import Path
from typing import Any

from api.builtin import NODES, PODS, SERVICES
from api.meta import Obj
from client.daemon import Daemon
from client.events import EventRecorder
from client.informer import Informer
from kubelet import configuration
from kubelet.configuration import Configuration
from kubelet.docker.images import DockerImages
from kubelet.docker.observer import Observer
from kubelet.docker.runtime import DockerRuntime
from kubelet.eviction import dead_containers
from kubelet.eviction.admitting import refused
from kubelet.eviction.manager import Evictions
from kubelet.eviction.signals import Signals
from kubelet.images.collector import Collector
from kubelet.images.credentials import Credentials
from kubelet.images.puller import Images
from kubelet.images.pulls import Pulls
from kubelet.network.pod_network import PodNetwork
from kubelet.node.agent import NodeAgent
from kubelet.node.oom import KernelLog
from kubelet.node.shutdown import Shutdown
from kubelet.node.status import VERSION
from kubelet.pods import admission, resize_plan
from kubelet.pods.admission import Rejection
from kubelet.pods.critical import is_static
from kubelet.pods.ending import Endings
from kubelet.pods.facts import Facts, has_app_armor, has_selinux, may_lower_oom_score
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


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--node-name", default=platform.node(), help="the Node's name (default: the host's)")
    parser.add_argument("--node-ip", default="", help="address other nodes reach this one at")
    parser.add_argument("--docker-host", default="unix:///var/run/docker.sock", metavar="URL")
    parser.add_argument("--root-dir", default="", metavar="DIR", help="where volumes and pod files are kept")
    parser.add_argument("--cluster-name", default="sampan", help="label value of this cluster's containers")
    parser.add_argument("--tls-cert-file", required=True, metavar="FILE")
    parser.add_argument("--tls-private-key-file", required=True, metavar="FILE")
    parser.add_argument("--client-ca-file", required=True, metavar="FILE")
    parser.add_argument("--port", type=int, default=10250, help="HTTPS port (default %(default)s)")
    parser.add_argument("--config", type=configuration.read, default=Configuration(), metavar="FILE",
        help="a KubeletConfiguration of kubelet.config.k8s.io/v1beta1")  # fmt: skip
    parser.add_argument("--node-labels", default="", metavar="KEY=VALUE,…", help="labels of the Node")


def parse_labels(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split(",") if "=" in pair)


def own_address(server: str) -> str:
    """The address this machine would use towards the apiserver."""
    host = server.split("//")[-1].split("/")[0].rsplit(":", 1)[0].strip("[]")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 1))
        return str(probe.getsockname()[0])


async def serve(daemon: Daemon) -> None:
    """Until cancelled. Pods that run go on running."""
    args, client, clock = daemon.args, daemon.client, daemon.clock
    root = Path(args.root_dir or f"/var/lib/sampan/nodes/{args.node_name}/kubelet")
    await asyncio.to_thread(root.mkdir, 0o750, True, True)
    config: Configuration = args.config
    facts = Facts(
        args.node_name, args.node_ip or own_address(daemon.config.server), config.cluster_dns,
        config.cluster_domain, configuration=config,
    )  # fmt: skip
    facts.lower_oom_score = await asyncio.to_thread(may_lower_oom_score)
    facts.selinux, facts.app_armor, facts.root = has_selinux(), has_app_armor(), root
    runtime = DockerRuntime(args.docker_host, args.cluster_name, args.node_name)
    recorder = EventRecorder(client, "kubelet", host=args.node_name, clock=clock)
    pod_informer = Informer(client, PODS, fields=f"spec.nodeName={args.node_name}", clock=clock)
    node_informer = Informer(client, NODES, fields=f"metadata.name={args.node_name}", clock=clock)
    services = Informer(client, SERVICES, clock=clock)
    lookup = Lookup(client, clock)
    docker_images = DockerImages(runtime)
    volumes = Volumes(root, lookup, clock, docker_images.export)
    volumes.host_ip = facts.host_ip
    observer = Observer(runtime, clock)
    commands = Commands(runtime, clock)
    endings = Endings(runtime, observer, Hooks(commands, observer, recorder, clock, facts.host_ip), recorder, clock)
    probing = Probing(Checks(commands), recorder, clock, facts.host_ip)
    pods = Pods(pod_informer, observer, volumes, clock)
    refresher = Refresher(client, pod_informer, lookup, volumes, clock, config.sync_seconds, pods.retry_volumes)
    observer.on_change(pods.container_changed)
    network = PodNetwork(runtime, observer.sandboxes)
    credentials = Credentials(lookup.secret, lambda pod, *news: recorder.event(pod, "Warning", *news), root)
    pulls = Pulls(docker_images, credentials, root, config, clock)
    images = Images(docker_images, credentials, pulls, clock)
    runner = Runner(
        runtime, observer, images, volumes, lookup, network, services.store.list, recorder, facts, clock,
    )  # fmt: skip
    node = NodeAgent(
        client, runtime, docker_images, network, node_informer, facts, volumes, recorder, clock,
        root=root, port=args.port, labels=parse_labels(args.node_labels),
    )  # fmt: skip
    collector = Collector(docker_images, images, pulls, recorder, node.reference, config, clock)
    stats = Stats(observer, root, clock, volumes.claimed)

    async def remove_dead() -> None:
        await dead_containers.remove(pods.all(), observer, runner.remove)

    evictions = Evictions(
        Signals(root), docker_images.disk, stats, pods, observer, recorder, node.reference, config, clock,
        reclaim=[remove_dead, collector.free], changed=node.wake,
    )  # fmt: skip
    node.pressure = lambda: evictions.conditions
    manager = StatusManager(client, pods.stored, clock)
    shutdown = Shutdown(pods, observer, manager.flush, recorder, node.reference, config, clock, node.wake)
    node.shutting_down = lambda: shutdown.coming

    def judge(pod: Obj) -> Rejection | None:
        others = pods.admitted(pod["metadata"]["uid"])
        return (
            shutdown.refused()
            or refused(pod, evictions.conditions)
            or admission.admit(pod, node_informer.store.get(args.node_name) or {}, others, config)
            or admission.app_armor(pod, facts.app_armor)
        )

    pods.use(
        Shared(
            client, observer, runner, endings, probing, volumes, manager, recorder, clock,
            lambda pod: node.network_ready and (services.synced or is_static(pod)),
            Preemption(judge, pods, recorder, clock).admit,
            lambda pod: resize_plan.judge(
                pod, node_informer.store.get(args.node_name) or {}, pods.admitted(pod["metadata"]["uid"]), config
            ),
        )
    )  # fmt: skip
    mirrors = Mirrors(client, pods.static_state, node.stored, clock)
    pods.on_static = mirrors.wake
    node_informer.on_event(lambda *_: mirrors.wake())
    manifests = []
    if config.static_pod_path:
        # What reads a manifest is what makes the apiserver big: schemas, defaults, validation.
        from kubelet.pods.manifests import Manifests  # noqa: PLC0415

        def complain(text: str) -> None:
            recorder.event(node.reference, "Warning", "FailedValidation", text)

        manifests.append(Manifests(Path(config.static_pod_path), args.node_name, pods.take_static, complain, clock))
        await manifests[0].look()
    settings = {**config.document(), "address": facts.host_ip, "port": args.port}
    access = Access(
        client, args.node_name, clock,
        (config.token_review_seconds, config.allowed_seconds, config.denied_seconds),
    )  # fmt: skip
    containers = Containers(runtime, observer, pods, clock, config.stream_idle_seconds)

    async def image_files() -> tuple[Path, int]:
        return await docker_images.disk(), sum(image.size for image in await docker_images.all())

    about = About(args.node_name, root, VERSION, settings, image_files, probing.counts.text)
    of_node = NodeHandlers(about, observer, pods, stats)
    server = Server(access, [*containers.routes(), *of_node.routes(), *ImageHandlers(docker_images).routes()])
    daemon.ready_when("node", lambda: node.ready)
    daemon.ready_when("pods", lambda: pod_informer.synced)
    parts: tuple[Any, ...] = (
        recorder, pod_informer, services, observer, node, pods, collector, evictions, refresher, shutdown,
        KernelLog(recorder, node.reference), mirrors, *manifests,
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


async def _adopt(observer: Observer, network: PodNetwork) -> None:
    await observer.wait_listed()
    await network.adopt()
