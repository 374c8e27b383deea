"""What the server counts, under upstream's metric names.

https://kubernetes.io/docs/reference/instrumentation/metrics/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from apiserver.histogram import BYTES, SECONDS, Histogram, Labels
from apiserver.request import RequestInfo

_REQUEST = ("verb", "group", "version", "resource", "subresource", "scope")
_METHODS = {"create": "POST", "update": "PUT"}


def labels_of(info: RequestInfo, *, served: bool = True) -> Labels:
    """The values of _REQUEST. Paths that are `served` by no resource stay out, so that nobody can make labels up."""
    verb = _METHODS.get(info.verb) or info.verb.upper()
    if not served:
        return (verb, "", "", "", "", "")
    named = info.name or info.verb == "create"
    scope = "resource" if named else "namespace" if info.namespace else "cluster"
    return (verb, info.group, info.version, info.resource, info.subresource, scope)


class Metrics(Collector):
    def __init__(self, build: Mapping[str, str]) -> None:
        self.inflight = {"readOnly": 0, "mutating": 0}
        self.longrunning: Counter[Labels] = Counter()
        self.rejected: Counter[str] = Counter()
        self.watch_events: Counter[Labels] = Counter()  # by group, version, resource
        self.init_events: Counter[Labels] = Counter()  # by group, resource
        self.objects: Callable[[], Mapping[Labels, int]] = dict  # by group, resource
        self.etcd_requests = Histogram(SECONDS)  # by operation, group, resource
        self.more: list[Callable[[], Iterable[Metric]]] = []  # what other parts count
        self._build = build
        self._requests: Counter[Labels] = Counter()
        self._seconds = Histogram(SECONDS)
        self._sizes = Histogram(BYTES)

    def observe(self, labels: Labels, code: int, *, seconds: float | None, size: int, dry_run: bool = False) -> None:
        """seconds None: a stream, whose duration says nothing."""
        self._requests[(*labels, "All" if dry_run else "", str(code))] += 1
        if seconds is not None:
            self._seconds.observe(labels, seconds)
            if labels[0] in ("GET", "LIST"):
                self._sizes.observe(labels, size)

    def collect(self) -> Iterator[Metric]:
        own = (*_REQUEST, "component")

        def of_server(counts: Mapping[Labels, int]) -> dict[Labels, int]:
            return {(*labels, "apiserver"): count for labels, count in counts.items()}

        requests = {(*key[:-2], "apiserver", *key[-2:]): n for key, n in self._requests.items()}
        yield counter("apiserver_request", "Requests by HTTP code.", (*own, "dry_run", "code"), requests)
        yield histogram("apiserver_request_duration_seconds", "Response latency.", own, self._seconds, "apiserver")
        yield histogram("apiserver_response_sizes", "Bytes of answers to reads.", own, self._sizes, "apiserver")
        inflight = {(kind,): number for kind, number in self.inflight.items()}
        yield gauge("apiserver_current_inflight_requests", "Requests being served.", ("request_kind",), inflight)
        running = of_server({key: n for key, n in self.longrunning.items() if n})
        yield gauge("apiserver_longrunning_requests", "Open watches and other streams.", own, running)
        rejected = {(kind,): number for kind, number in self.rejected.items()}
        yield counter("apiserver_dropped_requests", "Requests refused with 429.", ("request_kind",), rejected)
        kind = ("group", "version", "resource")
        yield counter("apiserver_watch_events", "Events sent to watchers.", kind, self.watch_events)
        yield counter("apiserver_init_events", "Events that watches began with.", ("group", "resource"),
                       self.init_events)  # fmt: skip
        objects = self.objects()
        qualified = {(f"{plural}.{group}" if group else plural,): n for (group, plural), n in objects.items()}
        yield gauge("apiserver_storage_objects", "Stored objects.", ("resource",), qualified)
        yield gauge("apiserver_resource_objects", "Stored objects.", ("group", "resource"), objects)
        etcd = ("operation", "group", "resource")
        yield histogram("etcd_request_duration_seconds", "Latency of etcd.", etcd, self.etcd_requests)
        yield gauge("kubernetes_build_info", "Always 1.", tuple(self._build), {tuple(self._build.values()): 1})
        for collect in self.more:
            yield from collect()

    def text(self) -> bytes:
        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        return generate_latest(registry)


def counter(name: str, help: str, labels: Sequence[str], values: Mapping[Any, int]) -> Metric:
    family = CounterMetricFamily(name, help, labels=labels)
    for key, number in values.items():
        family.add_metric(key, number)
    return family


def gauge(name: str, help: str, labels: Sequence[str], values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(name, help, labels=labels)
    for key, number in values.items():
        family.add_metric(key, number)
    return family


def histogram(name: str, help: str, labels: Sequence[str], values: Histogram, *more: str) -> Metric:
    family = HistogramMetricFamily(name, help, labels=labels)
    for key, buckets, total in values:
        family.add_metric((*key, *more), buckets, total)
    return family
