"""Services, Endpoints and EndpointSlices."""

from __future__ import annotations

from datetime import datetime

from api.meta import Obj
from kubectl.describe.events import events_block
from kubectl.describe.sheet import Sheet, lower, pairs, status

_SHOWN_ENDPOINTS = 3


def _head(sheet: Sheet, obj: Obj) -> None:
    sheet.line(0, f"Name:\t{obj['metadata']['name']}")
    sheet.line(0, f"Namespace:\t{obj['metadata'].get('namespace', '')}")
    sheet.labels("Labels", obj["metadata"].get("labels"))
    sheet.annotations(obj["metadata"].get("annotations"))


def service(obj: Obj, slices: list[Obj], events: list[Obj] | None, now: datetime) -> str:
    """`slices` are the service's EndpointSlices."""
    sheet = Sheet(now)
    spec = obj["spec"]
    _head(sheet, obj)
    sheet.line(0, f"Selector:\t{pairs(spec.get('selector'))}")
    sheet.line(0, f"Type:\t{spec.get('type', '')}")
    if spec.get("ipFamilyPolicy"):
        sheet.line(0, f"IP Family Policy:\t{spec['ipFamilyPolicy']}")
    sheet.line(0, f"IP Families:\t{','.join(spec.get('ipFamilies') or []) or '<none>'}")
    sheet.line(0, f"IP:\t{spec.get('clusterIP', '')}")
    sheet.line(0, f"IPs:\t{','.join(spec.get('clusterIPs') or []) or '<none>'}")
    if spec.get("externalIPs"):
        sheet.line(0, f"External IPs:\t{','.join(spec['externalIPs'])}")
    if spec.get("loadBalancerIP"):
        sheet.line(0, f"Desired LoadBalancer IP:\t{spec['loadBalancerIP']}")
    if spec.get("externalName"):
        sheet.line(0, f"External Name:\t{spec['externalName']}")
    ingress = (status(obj).get("loadBalancer") or {}).get("ingress") or []
    if ingress:
        sheet.line(0, f"LoadBalancer Ingress:\t{', '.join(_ingress(i) for i in ingress)}")
    for port in spec.get("ports") or []:
        _port(sheet, port, slices)
    sheet.line(0, f"Session Affinity:\t{spec.get('sessionAffinity', '')}")
    for title, field in (
        ("External Traffic Policy", "externalTrafficPolicy"),
        ("Internal Traffic Policy", "internalTrafficPolicy"),
        ("HealthCheck NodePort", "healthCheckNodePort"),
    ):
        if spec.get(field):
            sheet.line(0, f"{title}:\t{spec[field]}")
    if spec.get("loadBalancerSourceRanges"):
        sheet.line(0, f"LoadBalancer Source Ranges:\t{','.join(spec['loadBalancerSourceRanges'])}")
    if spec.get("trafficDistribution"):
        sheet.line(0, f"Traffic Distribution:\t{spec['trafficDistribution']}")
    events_block(sheet, events)
    return sheet.text()


def _ingress(ingress: Obj) -> str:
    if not ingress.get("ip"):
        return str(ingress.get("hostname", ""))
    mode = f" ({ingress['ipMode']})" if ingress.get("ipMode") else ""
    return f"{ingress['ip']}{mode}"


def _port(sheet: Sheet, port: Obj, slices: list[Obj]) -> None:
    name, protocol = port.get("name") or "<unset>", port.get("protocol", "TCP")
    sheet.line(0, f"Port:\t{name}\t{port['port']}/{protocol}")
    sheet.line(0, f"TargetPort:\t{port.get('targetPort', 0)}/{protocol}")
    if port.get("nodePort"):
        sheet.line(0, f"NodePort:\t{name}\t{port['nodePort']}/{protocol}")
    sheet.line(0, f"Endpoints:\t{slice_addresses(slices, port.get('name') or '')}")


def slice_addresses(slices: list[Obj], port_name: str) -> str:
    """`10.244.0.3:80,10.244.0.4:80,10.244.0.5:80 + 2 more...`: the ready ones."""
    if not slices:
        return "<none>"
    ready: list[str] = []
    for each in slices:
        addresses = [
            e["addresses"][0]
            for e in each.get("endpoints") or []
            if (e.get("conditions") or {}).get("ready") is not False
        ]
        if not each.get("ports"):
            ready += addresses
        for port in each.get("ports") or []:
            if (port.get("name") or "") == port_name:
                ready += [f"[{a}]:{port['port']}" if ":" in a else f"{a}:{port['port']}" for a in addresses]
    text = ",".join(ready[:_SHOWN_ENDPOINTS])
    more = len(ready) - _SHOWN_ENDPOINTS
    return f"{text} + {more} more..." if more > 0 else text


def endpoints(obj: Obj, events: list[Obj] | None, now: datetime) -> str:
    sheet = Sheet(now)
    _head(sheet, obj)
    sheet.line(0, "Subsets:")
    for subset in obj.get("subsets") or []:
        for title, field in (("Addresses", "addresses"), ("NotReadyAddresses", "notReadyAddresses")):
            listed = ",".join(a["ip"] for a in subset.get(field) or [])
            sheet.line(1, f"{title}:\t{listed or '<none>'}")
        if subset.get("ports"):
            sheet.line(1, "Ports:")
            sheet.line(2, "Name\tPort\tProtocol")
            sheet.line(2, "----\t----\t--------")
            for port in subset["ports"]:
                sheet.line(2, f"{port.get('name') or '<unset>'}\t{port['port']}\t{port.get('protocol', 'TCP')}")
        sheet.line(0, "")
    events_block(sheet, events)
    return sheet.text()


def endpoint_slice(obj: Obj, events: list[Obj] | None, now: datetime) -> str:
    sheet = Sheet(now)
    _head(sheet, obj)
    sheet.line(0, f"AddressType:\t{obj.get('addressType', '')}")
    sheet.line(0, "Ports:" if obj.get("ports") else "Ports: <unset>")
    if obj.get("ports"):
        sheet.line(1, "Name\tPort\tProtocol")
        sheet.line(1, "----\t----\t--------")
    for port in obj.get("ports") or []:
        number = port.get("port") if port.get("port") is not None else "<unset>"
        sheet.line(1, f"{port.get('name') or '<unset>'}\t{number}\t{port.get('protocol', 'TCP')}")
    sheet.line(0, "Endpoints:" if obj.get("endpoints") else "Endpoints: <none>")
    for endpoint in obj.get("endpoints") or []:
        sheet.line(1, f"- Addresses:\t{', '.join(endpoint.get('addresses') or []) or '<none>'}")
        sheet.line(2, "Conditions:")
        ready = (endpoint.get("conditions") or {}).get("ready")
        sheet.line(3, f"Ready:\t{'<unset>' if ready is None else lower(ready)}")
        sheet.line(2, f"Hostname:\t{endpoint.get('hostname') or '<unset>'}")
        if endpoint.get("targetRef"):
            sheet.line(2, f"TargetRef:\t{endpoint['targetRef']['kind']}/{endpoint['targetRef']['name']}")
        sheet.line(2, f"NodeName:\t{endpoint.get('nodeName') or '<unset>'}")
        sheet.line(2, f"Zone:\t{endpoint.get('zone') or '<unset>'}")
    events_block(sheet, events)
    return sheet.text()
