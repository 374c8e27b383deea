"""Short ways to write services, slices and nodes."""

from __future__ import annotations

from typing import Any

from api.meta import Obj


def service(name: str = "default/web", ip: str = "10.96.1.1", **spec: Any) -> Obj:
    namespace, _, short = name.partition("/")
    body = {"type": "ClusterIP", "clusterIP": ip, "ports": [{"port": 80, "protocol": "TCP"}], **spec}
    return {"metadata": {"namespace": namespace, "name": short}, "spec": body}


def endpoint(ip: str, node: str = "", **conditions: bool) -> Obj:
    body: Obj = {"addresses": [ip], "conditions": {"ready": True, **conditions}}
    if node:
        body["nodeName"] = node
    return body


def endpoint_slice(*endpoints: Obj, of: str = "default/web", ports: list[Obj] | None = None) -> Obj:
    namespace, _, short = of.partition("/")
    return {
        "metadata": {
            "namespace": namespace,
            "name": f"{short}-abc",
            "labels": {"kubernetes.io/service-name": short},
        },
        "addressType": "IPv4",
        "ports": ports if ports is not None else [{"port": 8080, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


def node(name: str, cidr: str = "", ip: str = "") -> Obj:
    addresses = [{"type": "Hostname", "address": name}]
    if ip:
        addresses.append({"type": "InternalIP", "address": ip})
    return {
        "metadata": {"name": name},
        "spec": {"podCIDR": cidr, "podCIDRs": [cidr]} if cidr else {},
        "status": {"addresses": addresses},
    }
