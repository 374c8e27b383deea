"""`sampan image`: the images of all nodes, wherever these are.

Nodes are reached through the apiserver, which passes what we send to their kubelets: what works for this machine works
for any other, and needs no more than the administrator's credentials.
"""

from __future__ import annotations

import http.client
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode

from deploy import cluster, credentials, host
from deploy.api_calls import ApiServer
from deploy.docker_api import Engine
from deploy.errors import Failure
from deploy.image_archives import Source, source, tagged
from deploy.layout import Layout
from deploy.steps import Steps
from deploy.verbs.status import table

T = TypeVar("T")
_LOAD_SECONDS = 600.0
"""A node may take so long over one piece of an image."""


def load(layout: Layout, given: Sequence[str], steps: Steps) -> None:
    server = _server(layout, "image load")
    sources = [source(each, Engine()) for each in given]
    for each in sources:
        with steps.step(f"load {each.name}") as step:
            put = _on_all(server, partial(_load, server, each))
            new = [node for node, is_new in put.items() if is_new]
            there = len(put) - len(new)
            step.note = ", ".join(
                part for part in (f"put on {', '.join(new)}" if new else "", _there(there) if there else "") if part
            )


def _there(count: int) -> str:
    return f"already on {count} node{'s' * (count > 1)}"


def _load(server: ApiServer, wanted: Source, node: str) -> bool:
    """False when the node has all of it already."""
    known = {name: image["id"] for image in _images(server, node) for name in (*image["names"], image["id"])}
    if wanted.images and all(known.get(name) == identity for name, identity in wanted.images.items()):
        return False
    server.send("POST", f"{_path(node)}/load", wanted.pieces(), _LOAD_SECONDS)
    return True


def show(layout: Layout) -> None:
    server = _server(layout, "image list")
    found = _on_all(server, lambda node: _images(server, node))
    rows: dict[tuple[str, str, int], list[str]] = defaultdict(list)
    for node, images in found.items():
        for image in images:
            tags = [name for name in image["names"] if "@" not in name]
            for name in tags or image["names"][:1] or ["<none>"]:
                rows[name, image["id"], image["size"]].append(node)
    lines = [("IMAGE", "ID", "SIZE", "NODES")]
    for (name, identity, size), nodes in sorted(rows.items()):
        where = "all" if len(nodes) == len(found) else ", ".join(nodes)
        lines.append((name, identity.removeprefix("sha256:")[:12], f"{size / 1e6:.1f} MB", where))
    print(table(lines))


def remove(layout: Layout, names: Sequence[str], steps: Steps) -> None:
    server = _server(layout, "image rm")
    for name in names:
        with steps.step(f"remove {name}") as step:
            gone = _on_all(server, partial(_remove, server, name))
            if not any(gone.values()):
                raise Failure(f"no node has an image {name}", "sampan image list shows what there is")
            step.note = f"from {', '.join(node for node, had_it in gone.items() if had_it)}"


def _remove(server: ApiServer, name: str, node: str) -> bool:
    """False when the node does not have it."""
    names = {known for image in _images(server, node) for known in (*image["names"], image["id"])}
    if not {name, tagged(name)} & names:
        return False
    server.send("DELETE", f"{_path(node)}?{urlencode({'name': name})}", timeout=_LOAD_SECONDS)
    return True


def _images(server: ApiServer, node: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(server.send("GET", _path(node)))
    return found


def _path(node: str) -> str:
    return f"/api/v1/nodes/{node}/proxy/images"


def _server(layout: Layout, verb: str) -> ApiServer:
    host.require_root(verb)
    cluster.require(layout)
    return ApiServer(credentials.admin(layout))


def _on_all(server: ApiServer, do: Callable[[str], T]) -> Mapping[str, T]:
    """Node → what came of it, on all nodes at once. Failure tells of every node that failed, after all are done."""
    try:
        nodes = sorted(node["metadata"]["name"] for node in (server.get("/api/v1/nodes") or {"items": []})["items"])
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"the apiserver does not answer: {error}", "sampan status tells more") from error
    done: dict[str, T] = {}
    failed = []
    with ThreadPoolExecutor(max_workers=max(len(nodes), 1)) as pool:
        for node, future in [(node, pool.submit(do, node)) for node in nodes]:
            try:
                done[node] = future.result()
            except (OSError, http.client.HTTPException) as error:
                failed.append(f"node {node}: {error}")
    if failed:
        raise Failure("; ".join(failed), "sampan status tells how the nodes are")
    return done
