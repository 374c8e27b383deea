"""`sampan status`: the daemons and nodes as tables. Healthy or not, and why not."""

from __future__ import annotations

import http.client
from collections.abc import Sequence

from deploy import cluster, credentials, host, nodes, processes, readiness, supervision
from deploy.api_calls import ApiServer, condition
from deploy.layout import Layout


def status(layout: Layout) -> list[str]:
    """Prints the tables. Returns what is wrong."""
    host.require_root("status")
    known = cluster.require(layout)
    keeper = supervision.supervision(layout)
    wrong: list[str] = []
    lines = [("COMPONENT", "STATE", "PID", "UP", "MEMORY")]
    for row in supervision.rows_on_disk(layout):
        process = keeper.running(row["name"])
        ailment = readiness.ailment(row, keeper)
        if ailment:
            wrong.append(f"{row['name']} {ailment}{readiness.log_tail(layout, row['name'])}")
        if process is None:
            lines.append((row["name"], "stopped", "-", "-", "-"))
            continue
        memory = f"{processes.resident(process) // 1024**2} MB"
        state = "unhealthy" if ailment else "running"
        lines.append((row["name"], state, str(process.pid), span(processes.uptime(process)), memory))
    print(table(lines))
    print()
    node_lines, ailments = _nodes(layout, known)
    print(table(node_lines))
    return wrong + ailments


def _nodes(layout: Layout, known: cluster.Cluster) -> tuple[list[tuple[str, ...]], list[str]]:
    lines: list[tuple[str, ...]] = [("NODE", "STATE", "ADDRESS", "PODS")]
    names = {node.name: node.ip for node in nodes.existing(layout, known)}
    wrong = []
    try:
        server = ApiServer(credentials.admin(layout))
        why = server.readiness()
        if why:
            wrong.append(f"the apiserver is not ready: {why}")
        objects = {each["metadata"]["name"]: each for each in (server.get("/api/v1/nodes") or {"items": []})["items"]}
    except (OSError, http.client.HTTPException) as error:
        lines += [(name, "Unknown", address, "-") for name, address in names.items()]
        return lines, wrong or [f"the apiserver does not answer: {error}"]
    for name in [*names, *(objects.keys() - names.keys())]:
        ready = condition(objects.get(name, {}), "Ready")
        state = "Ready" if ready.get("status") == "True" else "NotReady"
        cidr = objects.get(name, {}).get("spec", {}).get("podCIDR") or "-"
        lines.append((name, state, names.get(name, "-"), cidr))
        if state == "NotReady":
            wrong.append(f"node {name} is not Ready: {ready.get('message') or 'it has not registered'}")
    return lines, wrong


def table(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def span(seconds: float) -> str:
    """Two units at most: 42s, 3m5s, 2h10m, 4d3h."""
    whole = int(seconds)
    for size, unit, small_size, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= size:
            rest = whole % size // small_size
            return f"{whole // size}{unit}{f'{rest}{small}' if rest else ''}"
    return f"{whole}s"
