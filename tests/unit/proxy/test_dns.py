"""The cluster's DNS zone, name by name, and what goes over the wire."""

from __future__ import annotations

from collections.abc import Iterable

import dns.flags
import dns.message
import dns.rcode
import pytest

from api import meta
from proxy.dns import NXDOMAIN, Zone
from proxy.dns_server import Responder
from proxy.view import cluster_ips, endpoint_addresses, service_of
from tests.unit.proxy.build import endpoint, endpoint_slice, service

NAMED = [{"name": "http", "port": 80, "protocol": "TCP"}, {"name": "peer", "port": 99, "protocol": "UDP"}]


def many(count: int) -> list[meta.Obj]:
    return [endpoint(f"10.244.{n // 200 + 100}.{n % 200 + 2}") for n in range(count)]


class Fixture:
    """A view over a few objects, without informers."""

    def __init__(self) -> None:
        self._services = [
            service("default/web", "10.96.1.1", ports=NAMED),
            service("default/db", "None", ports=NAMED),
            service("default/none", "None"),
            service("default/big", "None"),
            service("default/out", type="ExternalName", externalName="Example.org", clusterIP=""),
            service("default/alias", "", type="ExternalName", externalName="web.default.svc.cluster.local"),
        ]
        self._slices = [
            endpoint_slice(
                {**endpoint("10.244.1.5"), "hostname": "db-0"},
                endpoint("10.244.2.6"),
                endpoint("10.244.2.7", ready=False),
                of="default/db",
                ports=[
                    {"name": "http", "port": 8080, "protocol": "TCP"},
                    {"name": "peer", "port": 9999, "protocol": "UDP"},
                ],
            ),
            endpoint_slice(endpoint("10.244.3.3", ready=False), of="default/none"),
            endpoint_slice(*many(300), of="default/big"),
        ]

    def service(self, key: str) -> meta.Obj | None:
        return next((s for s in self._services if meta.key(s) == key), None)

    def slices(self, service_key: str) -> Iterable[meta.Obj]:
        return [s for s in self._slices if service_of(s) == service_key]

    def has_namespace(self, namespace: str) -> bool:
        return namespace == "default"

    def services_at(self, ip: str) -> Iterable[meta.Obj]:
        return [s for s in self._services if ip in cluster_ips(s)]

    def slices_at(self, ip: str) -> Iterable[meta.Obj]:
        return [s for s in self._slices if ip in endpoint_addresses(s)]


ZONE = Zone(Fixture(), "cluster.local", "10.96.0.10", ("10.244.0.0/16", "10.96.0.0/16"))
SVC = "default.svc.cluster.local"
NODATA: list[str] = []


@pytest.mark.parametrize(
    ("name", "type_", "expected"),
    [
        (f"web.{SVC}", "A", ["10.96.1.1"]),
        (f"web.{SVC}", "AAAA", NODATA),
        (f"web.{SVC}", "TXT", NODATA),
        (f"nope.{SVC}", "A", NXDOMAIN),
        ("web.other.svc.cluster.local", "A", NXDOMAIN),
        (f"db.{SVC}", "A", ["10.244.1.5", "10.244.2.6"]),
        (f"db-0.db.{SVC}", "A", ["10.244.1.5"]),
        (f"10-244-2-6.db.{SVC}", "A", ["10.244.2.6"]),
        (f"10-244-2-7.db.{SVC}", "A", NXDOMAIN),
        (f"db-9.db.{SVC}", "A", NXDOMAIN),
        (f"none.{SVC}", "A", NXDOMAIN),
        (f"db-0.web.{SVC}", "A", NXDOMAIN),
        (f"_http._tcp.web.{SVC}", "SRV", [f"0 100 80 web.{SVC}."]),
        (f"_peer._udp.web.{SVC}", "SRV", [f"0 100 99 web.{SVC}."]),
        (f"_peer._tcp.web.{SVC}", "SRV", NXDOMAIN),
        (f"_http._tcp.web.{SVC}", "A", NODATA),
        (f"_tcp.web.{SVC}", "A", NODATA),
        (f"_http._tcp.db.{SVC}", "SRV", [f"0 50 8080 db-0.db.{SVC}.", f"0 50 8080 10-244-2-6.db.{SVC}."]),
        (f"web.{SVC}", "SRV", [f"0 100 80 web.{SVC}.", f"0 100 99 web.{SVC}."]),
        (f"out.{SVC}", "A", ["example.org."]),
        (f"out.{SVC}", "AAAA", ["example.org."]),
        ("10-244-9-9.default.pod.cluster.local", "A", ["10.244.9.9"]),
        ("10-244-9.default.pod.cluster.local", "A", NXDOMAIN),
        ("default.svc.cluster.local", "A", NODATA),
        ("other.svc.cluster.local", "A", NXDOMAIN),
        ("svc.cluster.local", "A", NODATA),
        ("cluster.local", "A", NODATA),
        ("cluster.local", "NS", ["ns.dns.cluster.local."]),
        ("ns.dns.cluster.local", "A", ["10.96.0.10"]),
        ("dns-version.cluster.local", "TXT", ['"1.1.0"']),
        ("what.cluster.local", "A", NXDOMAIN),
        ("1.1.96.10.in-addr.arpa", "PTR", [f"web.{SVC}."]),
        ("1.1.96.10.in-addr.arpa", "A", NODATA),
        ("5.1.244.10.in-addr.arpa", "PTR", [f"db-0.db.{SVC}."]),
        ("10.0.96.10.in-addr.arpa", "PTR", ["ns.dns.cluster.local."]),
        ("99.99.244.10.in-addr.arpa", "PTR", NXDOMAIN),
        ("8.8.8.8.in-addr.arpa", "PTR", None),
        ("example.org", "A", None),
        ("notcluster.local", "A", None),
        ("web.default.svc", "A", None),
    ],
)
def test_zone(name: str, type_: str, expected: list[str] | int | None) -> None:
    answer = ZONE.lookup(name, type_)
    if expected is None:
        assert answer is None
        return
    assert answer is not None
    if isinstance(expected, int):
        assert (answer.code, answer.records) == (expected, [])
    else:
        assert (answer.code, [record.data for record in answer.records]) == (0, expected)


async def ask(
    name: str, type_: str = "A", *, tcp: bool = False, ready: bool = True, **options: int
) -> dns.message.Message:
    responder = Responder(ZONE, list, lambda: ready)
    query = dns.message.make_query(name, type_, **options)  # type: ignore[arg-type]  # forwarded as they are
    wire = await responder.answer(query.to_wire(), tcp=tcp)
    assert wire is not None
    response = dns.message.from_wire(wire)
    assert response.id == query.id
    return response


async def test_negative_answers_say_how_long_they_hold() -> None:
    response = await ask(f"nope.{SVC}")
    assert response.rcode() == dns.rcode.NXDOMAIN
    assert response.flags & dns.flags.AA
    [soa] = response.authority
    assert soa.ttl == 5
    assert soa[0].minimum == 5
    nodata = await ask(f"web.{SVC}", "AAAA")
    assert (nodata.rcode(), nodata.answer, len(nodata.authority)) == (dns.rcode.NOERROR, [], 1)


async def test_names_are_compared_without_case() -> None:
    assert (await ask(f"WEB.{SVC}")).answer[0][0].address == "10.96.1.1"


async def test_a_large_answer_over_udp_is_cut_and_marked() -> None:
    small = await ask(f"big.{SVC}")
    assert small.flags & dns.flags.TC
    whole = await ask(f"big.{SVC}", tcp=True)
    assert not whole.flags & dns.flags.TC
    assert len(whole.answer[0]) == 300


async def test_srv_brings_the_addresses_along() -> None:
    response = await ask(f"_http._tcp.db.{SVC}", "SRV")
    assert sorted(r[0].address for r in response.additional) == ["10.244.1.5", "10.244.2.6"]


async def test_an_external_name_in_the_zone_is_followed() -> None:
    response = await ask(f"alias.{SVC}")
    assert [r[0].to_text() for r in response.answer] == [f"web.{SVC}.", "10.96.1.1"]


async def test_without_knowledge_or_upstream_it_admits_so() -> None:
    assert (await ask(f"web.{SVC}", ready=False)).rcode() == dns.rcode.SERVFAIL
    assert (await ask("example.org")).rcode() == dns.rcode.SERVFAIL


async def test_broken_queries() -> None:
    responder = Responder(ZONE, list)
    assert await responder.answer(b"\x12\x34") is None
    broken = await responder.answer(b"\x12\x34\x01\x00\x00\x09" + bytes(6))
    assert broken is not None
    assert broken[:4] == b"\x12\x34\x80\x01"
