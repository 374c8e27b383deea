"""`sampan up`: from nothing, or from anything in between, to a cluster that answers. Run again it changes nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from deploy import (
    audit,
    changes,
    cluster,
    credentials,
    encryption,
    engine,
    host,
    images,
    kubelet_config,
    nodes,
    pki,
    preflight,
    readiness,
    supervision,
    tables,
)
from deploy.api_calls import ApiServer
from deploy.cluster import Cluster, ExternalEtcd
from deploy.components import components, python
from deploy.docker_api import Engine
from deploy.errors import Failure
from deploy.layout import Layout
from deploy.nodes import Places
from deploy.steps import Steps

EXAMPLE_PORT = 30080
_DOCKER_DEADLINE = 60.0


def up(layout: Layout, wanted_nodes: int | None, etcd: ExternalEtcd, *, example: bool, steps: Steps) -> None:
    host.require_root("up")
    with cluster.only_one(layout):
        with steps.step("checking the machine") as step:
            now = datetime.now(UTC)
            preflight.check(layout, now)
            chosen = cluster.decide(cluster.load(layout), wanted_nodes, etcd)
            program, step.note = preflight.etcd_program(chosen)
            cluster.save(layout, chosen)
        with steps.step("nodes") as step:
            tables.note(layout)
            changes.set_sysctl(layout, "net.ipv4.ip_forward", "1")
            places = nodes.prepare(layout, chosen)
            step.note = ", ".join(f"{node.name} {node.ip}" for node in places.nodes)
        with steps.step("certificates") as step:
            step.note = _certificates(layout, places, now)
            encryption.ensure(layout.encryption_file, needed=chosen.encrypted)
            audit.ensure(layout.audit_policy)
            for node in places.nodes:
                kubelet_config.ensure(node)
            chosen = replace(chosen, encrypted=True)
            cluster.save(layout, chosen)
        with steps.step("daemons") as step:
            rows, started = _start(layout, chosen, places, program)
            step.note = f"started {', '.join(started)}" if started else "all run"
        server = ApiServer(credentials.admin(layout))
        with steps.step("apiserver"):
            readiness.api(server, layout)
        # Now, so that kubectl can be asked when a later step fails.
        told = credentials.merge(layout, host.invoking_user())
        with steps.step("nodes Ready"):
            readiness.nodes(server, [node.name for node in places.nodes], layout)
        ready_after = steps.elapsed
        with steps.step("health"):
            readiness.health(rows, supervision.supervision(layout), layout)
        with steps.step("images") as step:
            step.note = _load_images(places)
        if example and not chosen.example:
            with steps.step("example"):
                _deploy_example(layout, server)
                cluster.save(layout, replace(chosen, example=True))
        answers = _try_example(server, places, steps)
    _farewell(steps, places, answers, told, ready_after)


def _certificates(layout: Layout, places: Places, now: datetime) -> str:
    addresses = [host.node_name(), places.api_address, *(node.ip for node in places.nodes if not node.machine)]
    names = pki.apiserver_names(addresses, cluster.SERVICE_CIDR, cluster.DOMAIN)
    identities = [pki.NodeName(node.name, (node.ip,), node.directory) for node in places.nodes]
    written = pki.ensure(layout.pki, identities, names, now)
    credentials.write_all(layout, places)
    renewed = [f"{path.name} {why}" for path, why in written.items() if why]
    if renewed:
        return f"renewed: {'; '.join(renewed)}"
    return f"made {len(written)}" if written else "valid"


def _start(
    layout: Layout, chosen: Cluster, places: Places, program: Path | None
) -> tuple[list[dict[str, Any]], list[str]]:
    own_docker = engine.choose(layout) if chosen.nodes == 1 else ()
    table = components(layout, chosen, places, program, own_docker)
    keeper = supervision.supervision(layout)
    preflight.check_ports(table, [each.name for each in table if keeper.running(each.name)])
    rows = [supervision.row(layout, each) for each in table]
    return rows, supervision.start(layout, rows)


def _load_images(places: Places) -> str:
    """The example's images, and ready for tests, on every node."""
    loaded: set[str] = set()
    for node in places.nodes:
        docker = Engine(node.docker_socket)
        if not readiness.until(docker.answers, _DOCKER_DEADLINE):
            raise Failure(
                f"Docker does not answer on {node.docker_socket}", "sampan logs docker, or Docker's own log, tells why"
            )
        loaded.update(images.load(docker))
    return f"made {', '.join(sorted(loaded))}" if loaded else "there"


def _deploy_example(layout: Layout, server: ApiServer) -> None:
    manifest = resources.files("deploy") / "examples" / "hello.yaml"
    argv = python("kubectl.cli", "--kubeconfig", str(layout.kubeconfig("admin")), "apply", "-f", str(manifest))
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"the example was refused: {done.stderr.strip()}", "sampan logs apiserver tells more")
    readiness.deployment(server, "default", "hello")


def _try_example(server: ApiServer, places: Places, steps: Steps) -> str:
    """Shows the example answering, if the user has it still."""
    if server.get("/api/v1/namespaces/default/services/hello") is None:
        return ""
    deployment = server.get("/apis/apps/v1/namespaces/default/deployments/hello")
    if deployment is None or not deployment["spec"].get("replicas"):
        return ""
    url = f"http://{places.nodes[0].ip}:{EXAMPLE_PORT}"
    with steps.step("example answers") as step:
        step.note = readiness.answer(url, 30)
    return url


def _farewell(steps: Steps, places: Places, url: str, told: str, ready_after: float) -> None:
    count = len(places.nodes)
    steps.say()
    steps.say(f"{count} node{'s' * (count > 1)} Ready after {ready_after:.1f} s, all done after {steps.elapsed:.1f} s.")
    lines: Sequence[str] = [told[:1].upper() + told[1:] + "."] if told else []
    for line in (*lines, f"Try:  curl {url}" if url else "", f"      {_kubectl()} get pods -o wide"):
        if line:
            steps.say(line)


def _kubectl() -> str:
    """As the user has to type it: theirs if there is one, else ours."""
    return "kubectl" if shutil.which("kubectl") else str(Path(sys.executable).with_name("kubectl"))
