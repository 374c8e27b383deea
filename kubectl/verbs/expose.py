"""`kubectl expose`: a Service in front of a deployment, replica set, service or pod."""

from __future__ import annotations

from typing import Annotated

import typer

from api.builtin import SERVICES
from api.meta import Obj
from kubectl import options as opt
from kubectl.failures import CliError
from kubectl.generators import label_pairs
from kubectl.marks import objects
from kubectl.results import Results
from kubectl.session import Session, run
from kubectl.targets import find_targets


def command(
    arguments: opt.Arguments = None,
    filename: opt.Filenames = None,
    name: Annotated[str, typer.Option("--name", help="Of the new service; the object's is the default")] = "",
    port: Annotated[str, typer.Option("--port", help="The service's port, several with commas")] = "",
    target_port: Annotated[str, typer.Option("--target-port", help="Name or number on the pod")] = "",
    protocol: Annotated[str, typer.Option("--protocol", help="TCP, UDP or SCTP")] = "",
    type_: Annotated[str, typer.Option("--type", help="ClusterIP, NodePort, LoadBalancer, ExternalName")] = "",
    selector: Annotated[str, typer.Option("--selector", help="Of the service; the object's is the default")] = "",
    labels: Annotated[str, typer.Option("-l", "--labels", help="Of the service; the object's are the default")] = "",
    cluster_ip: Annotated[str, typer.Option("--cluster-ip", help="None makes it headless")] = "",
    session_affinity: Annotated[str, typer.Option("--session-affinity", help="None or ClientIP")] = "",
    dry_run: opt.DryRun = "none",
    output: opt.ResultOutput = "",
) -> None:
    results = Results(output, dry_run)

    async def verb(session: Session) -> None:
        for target in await find_targets(session, arguments or [], filenames=filename, need_name=not filename):
            for obj in await objects(session, target):
                chosen = label_pairs(selector) if selector else _selector(target.resource.kind, obj)
                service = make_service(
                    name or obj["metadata"]["name"],
                    chosen,
                    label_pairs(labels) if labels else obj["metadata"].get("labels") or {},
                    ports(obj, port, target_port, protocol),
                    kind=type_,
                    cluster_ip=cluster_ip,
                    affinity=session_affinity,
                )
                if not results.pretend:
                    params = {**results.params, "fieldManager": "kubectl-expose", "fieldValidation": "Strict"}
                    path = SERVICES.path(session.namespace)
                    service = await session.call("POST", path, params=params, body=service)
                results.show(SERVICES, service, "exposed")

    run(verb)


def _selector(kind: str, obj: Obj) -> dict[str, str]:
    spec = obj.get("spec") or {}
    if kind == "Pod":
        found = obj["metadata"].get("labels")
        if not found:
            raise CliError("the pod has no labels and cannot be exposed")
        return dict(found)
    if kind == "Service":
        found = spec.get("selector")
        if not found:
            raise CliError("the service has no pod selector set")
        return dict(found)
    if kind not in ("Deployment", "ReplicaSet", "ReplicationController"):
        raise CliError(f"cannot expose a {kind}")
    found = spec.get("selector") or {}
    if kind == "ReplicationController":
        return dict(found)
    if found.get("matchExpressions"):
        raise CliError('couldn\'t convert expressions - "matchExpressions" to map-based selector format')
    return dict(found.get("matchLabels") or {})


def ports(obj: Obj, port: str, target_port: str, protocol: str) -> list[Obj]:
    """From --port, else every port the object's containers declare."""
    spec = obj.get("spec") or {}
    if port:
        numbers = [(int(p), protocol or "TCP") for p in port.split(",") if p.isdigit()]
    elif spec.get("ports"):
        numbers = [(p["port"], protocol or p.get("protocol", "TCP")) for p in spec["ports"]]
    else:
        pod_spec: Obj = (spec.get("template") or {}).get("spec") or spec
        containers = pod_spec.get("containers") or []
        declared = [p for c in containers for p in c.get("ports") or []]
        numbers = [(p["containerPort"], protocol or p.get("protocol", "TCP")) for p in declared]
    if not numbers:
        raise CliError("couldn't find port via --port flag or introspection")
    target: int | str = int(target_port) if target_port.isdigit() else target_port
    made = []
    for index, (number, kind) in enumerate(numbers):
        entry: Obj = {"port": number, "protocol": kind, "targetPort": target or number}
        if len(numbers) > 1:
            entry["name"] = f"port-{index + 1}"
        made.append(entry)
    return made


def make_service(
    name: str,
    selector: dict[str, str],
    labels: dict[str, str],
    port_list: list[Obj],
    *,
    kind: str = "",
    cluster_ip: str = "",
    affinity: str = "",
) -> Obj:
    spec: Obj = {"ports": port_list, "selector": selector}
    spec |= {k: v for k, v in (("type", kind), ("clusterIP", cluster_ip), ("sessionAffinity", affinity)) if v}
    metadata: Obj = {"name": name}
    if labels:
        metadata["labels"] = dict(labels)
    return {"kind": "Service", "apiVersion": "v1", "metadata": metadata, "spec": spec, "status": {"loadBalancer": {}}}
