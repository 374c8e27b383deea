"""What is asked of the node: its health, pods, figures, configuration and logs.

Paths: pkg/kubelet/server/server.go.
"""

from __future__ import annotations

import asyncio
import html
import platform
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

from api.errors import InternalError, NotFound
from api.meta import Obj
from client import metrics
from kubelet.docker.observer import Observer
from kubelet.pods.pods import Pods
from kubelet.stats import exposition, machine
from kubelet.stats.exposition import Family, Sample
from kubelet.stats.stats import Stats
from kubelet.stats.summary import summary
from kubelet.volumes.claims import claim_name

LOGS = Path("/var/log")
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_FRESH = 1.0
"""Seconds: who asks twice within is told the same."""


@dataclass(frozen=True, slots=True)
class About:
    name: str
    root: Path
    """The kubelet's directory."""
    version: str
    settings: Mapping[str, object]
    """What /configz tells: a KubeletConfiguration."""
    images: Callable[[], Awaitable[tuple[Path, int]]]
    """Where Docker keeps images, and how many bytes they take."""
    probes: Callable[[], bytes]
    """How probes went, as Prometheus reads it."""


class NodeHandlers:
    def __init__(self, node: About, observer: Observer, pods: Pods, stats: Stats) -> None:
        self._node, self._observer, self._pods, self._stats = node, observer, pods, stats

    def routes(self) -> list[web.RouteDef]:
        table = {
            "/healthz": self._healthz,
            "/healthz/{check}": self._healthz,
            "/pods": self._list_pods,
            "/runningpods/": self._running_pods,
            "/configz": self._configz,
            "/stats/summary": self._summary,
            "/metrics": self._metrics,
            "/metrics/resource": self._resource,
            "/metrics/cadvisor": self._cadvisor,
            "/metrics/probes": self._probes,
            "/logs": self._logs,
            "/logs/{path:.*}": self._logs,
        }
        return [web.get(path, handler) for path, handler in table.items()]

    async def _healthz(self, request: web.Request) -> web.Response:
        """Alive is who answers: ping and log pass; syncloop, when both pods and containers are known."""
        checks = {"ping": True, "log": True, "syncloop": self._pods.working}
        asked = request.match_info.get("check", "")
        if asked and asked not in checks:
            raise NotFound("404 page not found")
        failing = [name for name, passes in checks.items() if not passes and asked in ("", name)]
        if asked:
            return web.Response(status=500 if failing else 200, text="not ok" if failing else "ok")
        told = [(name, "+" if passes else "-", "ok" if passes else "failed") for name, passes in checks.items()]
        lines = "".join(f"[{sign}]{name} {word}\n" for name, sign, word in told)
        if failing:
            return web.Response(status=500, text=f"{lines}healthz check failed\n")
        return web.Response(text=f"{lines}healthz check passed\n" if "verbose" in request.query else "ok")

    async def _list_pods(self, _: web.Request) -> web.Response:
        return _pod_list(self._pods.all())

    async def _running_pods(self, _: web.Request) -> web.Response:
        """What runs, whatever should."""
        items: list[Obj] = []
        for uid in self._observer.pods():
            running = self._observer.of_pod(uid).running()
            containers = [{"name": c.name, "image": c.image, "resources": {}} for c in running]
            if running:
                meta = {"name": running[0].pod_name, "namespace": running[0].pod_namespace, "uid": uid}
                items.append({"metadata": meta, "spec": {"containers": containers}, "status": {}})
        return _pod_list(items)

    async def _configz(self, _: web.Request) -> web.Response:
        return web.json_response({"kubeletconfig": dict(self._node.settings)})

    # Figures.

    async def _summary(self, request: web.Request) -> web.Response:
        short = request.query.get("only_cpu_and_memory", "").lower() in ("true", "1")
        try:
            before, last = await self._stats.pair(_FRESH)
            disks = None if short else await self._stats.disk(last.pods)
            images, used = await self._node.images()
            claimed = {uid: of_pod for (uid, _), of_pod in claims(self._pods.all()).items()}
            around = await asyncio.to_thread(
                machine.surroundings, self._node.name, self._node.root, images, used, claimed
            )
        except OSError as error:
            raise InternalError(f"Internal Error: {error}") from error
        return web.json_response(summary(before, last, around, disks))

    async def _resource(self, _: web.Request) -> web.Response:
        return _exposed(exposition.render(exposition.resource(await self._stats.look(_FRESH))))

    async def _cadvisor(self, _: web.Request) -> web.Response:
        look = await self._stats.look(_FRESH)
        disks = await self._stats.disk(look.pods)
        images, used = await self._node.images()
        around = await asyncio.to_thread(machine.surroundings, self._node.name, self._node.root, images, used, {})
        versions = {"kernelVersion": platform.release(), "cadvisorVersion": self._node.version}
        return _exposed(exposition.render(exposition.cadvisor(look, disks, around, versions)))

    async def _probes(self, _: web.Request) -> web.Response:
        return web.Response(body=self._node.probes(), headers={"Content-Type": _TEXT})

    async def _metrics(self, _: web.Request) -> web.Response:
        states: dict[str, int] = {}
        running = 0
        for uid in self._observer.pods():
            of_pod = self._observer.of_pod(uid)
            running += of_pod.live_sandbox is not None
            for container in of_pod.all():
                states[container.state] = states.get(container.state, 0) + 1
        families = [
            Family("kubelet_node_name", "gauge", "The node's name. The count is always 1.",
                   [Sample({"node": self._node.name}, 1)]),
            Family("kubelet_running_pods", "gauge", "Number of pods that have a running pod sandbox",
                   [Sample({}, running)]),
            Family("kubelet_running_containers", "gauge", "Number of containers currently running",
                   [Sample({"container_state": state}, count) for state, count in states.items()]),
            Family("kubernetes_build_info", "gauge", "The version this node runs.",
                   [Sample({"git_version": self._node.version, "platform": "linux"}, 1)]),
        ]  # fmt: skip
        claimed = {
            uid: {volume: {"persistentvolumeclaim": claim, "namespace": namespace} for volume, claim in of_pod.items()}
            for (uid, namespace), of_pod in claims(self._pods.all()).items()
        }
        families += exposition.claims(await self._stats.disk(claimed), claimed)
        return _exposed(metrics.text().decode() + exposition.render(families))

    # Logs.

    async def _logs(self, request: web.Request) -> web.StreamResponse:
        """Files under /var/log, as upstream's file server; nothing that a symbolic link leads out to."""
        path, kind = await asyncio.to_thread(_below, LOGS, request.match_info.get("path", ""))
        if kind == "directory":
            names = await asyncio.to_thread(_names, path)
            lines = "".join(f'<a href="{quote(name)}">{html.escape(name)}</a>\n' for name in names)
            return web.Response(text=f"<pre>\n{lines}</pre>\n", content_type="text/html")
        if kind != "file":
            raise NotFound("404 page not found")
        return web.FileResponse(path, headers={"Content-Type": "text/plain; charset=utf-8"})


def _below(top: Path, asked: str) -> tuple[Path, str]:
    """(where it is, file or directory or "")"""
    root = top.resolve()
    path = (root / asked.strip("/")).resolve()
    if not path.is_relative_to(root):
        return root, ""
    return path, "directory" if path.is_dir() else "file" if path.is_file() else ""


def _names(directory: Path) -> list[str]:
    return sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in directory.iterdir())


def claims(pods: list[Obj]) -> dict[tuple[str, str], dict[str, str]]:
    """By uid and namespace of a pod, the claims behind its volumes by the volume's name."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for pod in pods:
        for volume in pod["spec"].get("volumes") or []:
            if claim := claim_name(pod, volume):
                meta = pod["metadata"]
                found.setdefault((meta["uid"], meta["namespace"]), {})[volume["name"]] = claim
    return found


def _pod_list(items: list[Obj]) -> web.Response:
    return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})


def _exposed(text: str) -> web.Response:
    return web.Response(text=text, headers={"Content-Type": _TEXT})
