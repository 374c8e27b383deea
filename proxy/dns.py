"""What the cluster's DNS zone says. Pure: a view of services and endpoint slices in, records out.

Follows the Kubernetes DNS specification 1.1.0 (github.com/kubernetes/dns/docs/specification.md), and CoreDNS
where that is silent:

    <service>.<ns>.svc.<zone>                   A: the cluster IP, or each ready endpoint when headless
    _<port>._<protocol>.<service>.<ns>.svc…     SRV
    <hostname or a-b-c-d>.<service>.<ns>.svc…   A: one endpoint of a headless service
    a-b-c-d.<ns>.pod.<zone>                     A: that address
    d.c.b.a.in-addr.arpa                        PTR of cluster IPs and headless endpoints

A name that exists, or below which one exists, without a record of the asked type is NODATA, not NXDOMAIN.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from api import meta

TTL = 5
NOERROR, NXDOMAIN = 0, 3
_REVERSE = "in-addr.arpa"


@dataclass(frozen=True, slots=True)
class Record:
    """`name` without the trailing dot; `data` in zone file form, names in it with their trailing dot."""

    name: str
    type: str
    data: str
    ttl: int = TTL


@dataclass(slots=True)
class Answer:
    """`cname` is a target that the caller still has to look up (an ExternalName)."""

    code: int = NOERROR
    records: list[Record] = field(default_factory=list)
    additional: list[Record] = field(default_factory=list)
    cname: str = ""


class View(Protocol):
    """What the zone is made from."""

    def service(self, key: str) -> meta.Obj | None: ...
    def slices(self, service_key: str) -> Iterable[meta.Obj]: ...
    def has_namespace(self, namespace: str) -> bool:
        """Whether any Service is in it."""
        ...

    def services_at(self, ip: str) -> Iterable[meta.Obj]:
        """By cluster IP."""
        ...

    def slices_at(self, ip: str) -> Iterable[meta.Obj]:
        """By the address of an endpoint."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint as DNS sees it."""

    ip: str
    hostname: str


class Zone:
    def __init__(self, view: View, domain: str, address: str, own_cidrs: Iterable[str] = ()) -> None:
        """`own_cidrs`: addresses whose reverse names no other server is asked for."""
        self._view = view
        self.domain = domain.strip(".").lower()
        self._address = address
        self._own = [ipaddress.IPv4Network(cidr) for cidr in own_cidrs]

    def soa(self) -> Record:
        return Record(self.domain, "SOA", f"ns.dns.{self.domain}. hostmaster.{self.domain}. 1 7200 1800 86400 {TTL}")

    def lookup(self, name: str, type_: str) -> Answer | None:
        """None when the name is not ours to answer. `name` in lower case, without the trailing dot."""
        if name == self.domain or name.endswith(f".{self.domain}"):
            labels = name.removesuffix(self.domain).rstrip(".").split(".")
            return self._forward([label for label in labels if label], name, type_)
        if name.endswith(f".{_REVERSE}"):
            return self._reverse(name, type_)
        return None

    # -- names ------------------------------------------------------------------------------------------

    def _forward(self, labels: list[str], name: str, type_: str) -> Answer:
        match labels:
            case []:
                apex = {"SOA": [self.soa()], "NS": [Record(name, "NS", f"ns.dns.{self.domain}.")]}
                return Answer(records=apex.get(type_, []))
            case ["dns-version"]:
                return Answer(records=[Record(name, "TXT", '"1.1.0"')] if type_ == "TXT" else [])
            case ["ns", "dns"]:
                return _addresses(name, type_, [self._address])
            case ["svc"] | ["pod"] | ["dns"]:
                return Answer()
            case [namespace, "svc" | "pod"]:
                return Answer() if self._view.has_namespace(namespace) else Answer(NXDOMAIN)
            case [dashed, _, "pod"]:
                ip = _from_dashes(dashed)
                return _addresses(name, type_, [ip]) if ip else Answer(NXDOMAIN)
            case [*rest, service, namespace, "svc"]:
                found = self._view.service(f"{namespace}/{service}")
                return self._service(found, rest, name, type_) if found else Answer(NXDOMAIN)
        return Answer(NXDOMAIN)

    def _service(self, service: meta.Obj, rest: list[str], name: str, type_: str) -> Answer:
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            if rest:
                return Answer(NXDOMAIN)
            target = str(spec.get("externalName") or "").rstrip(".").lower()
            return Answer(records=[Record(name, "CNAME", f"{target}.")], cname=target)
        headless = spec.get("clusterIP") in ("None", None, "")
        targets = list(self._targets(service)) if headless else []
        if headless and not targets:
            return Answer(NXDOMAIN)  # the specification's word for a headless service without endpoints
        match rest:
            case []:
                if type_ == "SRV":
                    return self._srv(service, targets, name, "", "")
                return _addresses(name, type_, [t.ip for t in targets] or [spec["clusterIP"]])
            case [protocol] if protocol in ("_tcp", "_udp", "_sctp"):
                return Answer()
            case [port, protocol] if port.startswith("_") and protocol.startswith("_"):
                return self._srv(service, targets, name, port[1:], protocol[1:], only=type_)
            case [hostname] if one := [t for t in targets if t.hostname == hostname]:
                if type_ == "SRV":
                    return self._srv(service, one, name, "", "")
                return _addresses(name, type_, [t.ip for t in one])
        return Answer(NXDOMAIN)

    def _srv(
        self, service: meta.Obj, targets: list[Target], name: str, port: str, protocol: str, only: str = "SRV"
    ) -> Answer:
        """For every port that `port` and `protocol` (both or neither) select."""
        base = self._name_of(service)
        answer = Answer()
        for number, port_name, port_protocol in self._ports(service, bool(targets)):
            if port and (port_name, port_protocol.lower()) != (port, protocol):
                continue
            for target in targets or [Target(service["spec"]["clusterIP"], "")]:
                host = f"{target.hostname}.{base}" if target.hostname else base
                answer.records.append(Record(name, "SRV", f"0 {100 // (len(targets) or 1)} {number} {host}."))
                answer.additional.append(Record(host, "A", target.ip))
        if not answer.records:
            return Answer(NXDOMAIN)
        return answer if only == "SRV" else Answer()

    def _ports(self, service: meta.Obj, headless: bool) -> Iterator[tuple[int, str, str]]:
        """(number, name, protocol): the Service's own, or what the endpoints of a headless one listen on."""
        if not headless:
            for port in service["spec"].get("ports") or []:
                yield int(port["port"]), port.get("name") or "", port.get("protocol") or "TCP"
            return
        seen = set()
        for item in self._view.slices(meta.key(service)):
            for port in item.get("ports") or []:
                entry = (int(port.get("port") or 0), port.get("name") or "", port.get("protocol") or "TCP")
                if entry[0] and entry not in seen:
                    seen.add(entry)
                    yield entry

    def _targets(self, service: meta.Obj) -> Iterator[Target]:
        """Ready endpoints. With publishNotReadyAddresses the controller marks them all ready."""
        seen: set[Target] = set()
        for item in self._view.slices(meta.key(service)):
            for target in _slice_targets(item):
                if target not in seen:
                    seen.add(target)
                    yield target

    def _name_of(self, service: meta.Obj) -> str:
        return f"{meta.name(service)}.{meta.namespace(service)}.svc.{self.domain}"

    # -- addresses --------------------------------------------------------------------------------------

    def _reverse(self, name: str, type_: str) -> Answer | None:
        try:
            address = ipaddress.IPv4Address(".".join(reversed(name.removesuffix(f".{_REVERSE}").split("."))))
        except ValueError:
            return None
        hosts = [self._name_of(service) for service in self._view.services_at(str(address))]
        if str(address) == self._address and not hosts:
            hosts = [f"ns.dns.{self.domain}"]
        for item in self._view.slices_at(str(address)) if not hosts else ():
            key = f"{meta.namespace(item)}/{meta.labels(item).get('kubernetes.io/service-name', '')}"
            service = self._view.service(key)
            if service is not None and service["spec"].get("clusterIP") == "None":
                base = self._name_of(service)
                hosts += [f"{t.hostname}.{base}" for t in _slice_targets(item) if t.ip == str(address)]
        if hosts:
            unique = sorted(set(hosts))
            return Answer(records=[Record(name, "PTR", f"{h}.") for h in unique] if type_ == "PTR" else [])
        return Answer(NXDOMAIN) if any(address in network for network in self._own) else None


def _slice_targets(item: meta.Obj) -> Iterator[Target]:
    if item.get("addressType") != "IPv4":
        return
    for endpoint in item.get("endpoints") or []:
        if (endpoint.get("conditions") or {}).get("ready") is not False and endpoint.get("addresses"):
            ip = endpoint["addresses"][0]
            yield Target(ip, endpoint.get("hostname") or ip.replace(".", "-"))


def _addresses(name: str, type_: str, ips: Iterable[str]) -> Answer:
    return Answer(records=[Record(name, "A", ip) for ip in ips] if type_ in ("A", "ANY") else [])


def _from_dashes(label: str) -> str:
    try:
        return str(ipaddress.IPv4Address(label.replace("-", ".")))
    except ValueError:
        return ""
