"""Ingress, IngressClass, NetworkPolicy, IPAddress, ServiceCIDR: defaults, validation, columns."""

from __future__ import annotations

from api import selectors
from api.columns import AGE, Cell, at, joined, tabled
from api.meta import Obj
from api.registry import Hooks

_SHOWN_HOSTS = 3


def _hosts(ingress: Obj) -> str:
    rules = ingress["spec"].get("rules") or []
    hosts = [r["host"] for r in rules[:_SHOWN_HOSTS] if r.get("host")]
    if not hosts:
        return "*"
    more = f" + {len(rules) - _SHOWN_HOSTS} more..." if len(rules) > _SHOWN_HOSTS else ""
    return ",".join(hosts) + more


def _addresses(ingress: Obj) -> str:
    balancer = (ingress.get("status") or {}).get("loadBalancer") or {}
    return ",".join(sorted({i.get("ip") or i.get("hostname") or "" for i in balancer.get("ingress") or []} - {""}))


def _parameters(ingress_class: Obj) -> str:
    parameters = (ingress_class.get("spec") or {}).get("parameters")
    if not parameters:
        return "<none>"
    group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
    return f"{parameters['kind']}{group}/{parameters['name']}"


def _pods(policy: Obj) -> str:
    selector = (policy.get("spec") or {}).get("podSelector") or {}
    return str(selectors.from_label_selector(selector)) or "<none>"


def _parent(address: Obj) -> str:
    parent = address["spec"].get("parentRef")
    if not parent:
        return "<none>"
    group = f".{parent['group']}" if parent.get("group") else ""
    return "/".join(p for p in (f"{parent['resource']}{group}".lower(), parent.get("namespace"), parent["name"]) if p)


INGRESS = tabled(
    Hooks(),
    Cell("Class", at("spec", "ingressClassName", absent="<none>")),
    Cell("Hosts", _hosts),
    Cell("Address", _addresses),
    Cell("Ports", lambda i: "80, 443" if i["spec"].get("tls") else "80"),
    AGE,
)
INGRESS_CLASS = tabled(Hooks(), Cell("Controller", at("spec", "controller")), Cell("Parameters", _parameters), AGE)
NETWORK_POLICY = tabled(Hooks(), Cell("Pod-Selector", _pods), AGE)
IP_ADDRESS = tabled(Hooks(), Cell("ParentRef", _parent))
SERVICE_CIDR = tabled(Hooks(), Cell("CIDRs", joined("spec", "cidrs", absent="")), AGE)
