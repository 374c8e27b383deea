"""Counts and durations of requests, under upstream's metric names.

https://kubernetes.io/docs/reference/instrumentation/metrics/
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from apiserver.request import RequestInfo

_BUCKETS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2, 3, 5, 10, 30, 60)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("verb", "group", "version", "resource", "subresource", "scope", "component")
        self._total = Counter(
            "apiserver_request", "Requests, by verb, resource and HTTP code.", (*labels, "code"),
            registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "apiserver_request_duration_seconds", "Response latency, long-running requests excluded.", labels,
            buckets=_BUCKETS, registry=self.registry,
        )  # fmt: skip
        self.inflight = Gauge(
            "apiserver_current_inflight_requests", "Requests being served, by kind.", ("request_kind",),
            registry=self.registry,
        )  # fmt: skip
        self.longrunning = Gauge(
            "apiserver_longrunning_requests", "Watches and other open streams.", ("verb", "resource"),
            registry=self.registry,
        )  # fmt: skip
        self.rejected = Counter(
            "apiserver_dropped_requests", "Requests refused with 429.", ("request_kind",), registry=self.registry
        )
        self._known: dict[tuple[str, ...], tuple[Counter, Histogram]] = {}

    def observe(self, info: RequestInfo, served: bool, code: int, seconds: float | None) -> None:
        """`served` False keeps paths of no known resource out of the labels. seconds None: a long stream."""
        if not served:
            key = (info.verb.upper(), "", "", "", "", "", "apiserver", str(code))
        else:
            scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
            key = (
                info.verb.upper(), info.group, info.version, info.resource, info.subresource, scope, "apiserver",
                str(code),
            )  # fmt: skip
        children = self._known.get(key)
        if children is None:
            children = self._known[key] = (self._total.labels(*key), self._seconds.labels(*key[:-1]))
        children[0].inc()
        if seconds is not None:
            children[1].observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)
