"""The informers' stores, indexed for DNS and for rules. Reads memory only."""

from __future__ import annotations

from collections.abc import Iterable

from api import meta
from client.informer import Informer
from proxy.endpoints import SERVICE_NAME


class ServiceView:
    """Implements `proxy.dns.View`."""

    def __init__(self, services: Informer, slices: Informer) -> None:
        self._services, self._slices = services.store, slices.store
        services.add_indexer("namespace", lambda obj: [meta.namespace(obj)])
        services.add_indexer("ip", cluster_ips)
        slices.add_indexer("service", lambda obj: [service_of(obj)])
        slices.add_indexer("address", endpoint_addresses)

    def service(self, key: str) -> meta.Obj | None:
        return self._services.get(key)

    def slices(self, service_key: str) -> Iterable[meta.Obj]:
        return self._slices.by_index("service", service_key)

    def has_namespace(self, namespace: str) -> bool:
        return bool(self._services.by_index("namespace", namespace))

    def services_at(self, ip: str) -> Iterable[meta.Obj]:
        return self._services.by_index("ip", ip)

    def slices_at(self, ip: str) -> Iterable[meta.Obj]:
        return self._slices.by_index("address", ip)


def service_of(endpoint_slice: meta.Obj) -> str:
    """Key of the Service a slice belongs to."""
    return f"{meta.namespace(endpoint_slice)}/{meta.labels(endpoint_slice).get(SERVICE_NAME, '')}"


def cluster_ips(service: meta.Obj) -> list[str]:
    spec = service.get("spec") or {}
    return [ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP")] if ip and ip != "None"]


def endpoint_addresses(endpoint_slice: meta.Obj) -> list[str]:
    return [a for e in endpoint_slice.get("endpoints") or [] for a in e.get("addresses") or []]
