"""Counts and durations of requests, under upstream's metric names.

https://kubernetes.io/docs/reference/instrumentation/metrics/

Counting is on every request's path, so it is a dictionary look-up and three additions; the library makes the text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from apiserver.request import RequestInfo

_BUCKETS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0)
_LABELS = ("verb", "group", "version", "resource", "subresource", "scope", "component")
_Key = tuple[str, ...]


class _Series:
    """One combination of labels."""

    __slots__ = ("buckets", "count", "seconds")

    def __init__(self) -> None:
        self.count = 0
        self.seconds = 0.0
        self.buckets = [0] * (len(_BUCKETS) + 1)


class Metrics(Collector):
    def __init__(self) -> None:
        self._series: dict[tuple[str, str, str, str, str, str, int], _Series] = {}
        self.inflight = {"readOnly": 0, "mutating": 0}
        self.longrunning: Counter[tuple[str, str]] = Counter()
        self.rejected: Counter[str] = Counter()

    def observe(self, info: RequestInfo, served: bool, code: int, seconds: float | None) -> None:
        """`served` False keeps paths of no known resource out of the labels. seconds None: a long stream."""
        if served:
            scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
            key = (info.verb, info.group, info.version, info.resource, info.subresource, scope, code)
        else:
            key = (info.verb, "", "", "", "", "", code)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series()
        series.count += 1
        if seconds is not None:
            series.seconds += seconds
            series.buckets[bisect_left(_BUCKETS, seconds)] += 1

    def collect(self) -> Iterator[Metric]:
        total = CounterMetricFamily(
            "apiserver_request", "Requests, by verb, resource and HTTP code.", labels=(*_LABELS, "code")
        )
        latency: dict[_Key, _Series] = {}
        for (verb, *labels, code), series in self._series.items():
            key = (verb.upper(), *(str(label) for label in labels), "apiserver")
            total.add_metric((*key, str(code)), series.count)
            merged = latency.setdefault(key, _Series())
            merged.seconds += series.seconds
            merged.buckets = [a + b for a, b in zip(merged.buckets, series.buckets, strict=True)]
        yield total
        yield _histogram(latency)
        inflight = GaugeMetricFamily(
            "apiserver_current_inflight_requests", "Requests being served, by kind.", labels=("request_kind",)
        )
        for kind, number in self.inflight.items():
            inflight.add_metric((kind,), number)
        yield inflight
        streams = GaugeMetricFamily(
            "apiserver_longrunning_requests", "Watches and other open streams.", labels=("verb", "resource")
        )
        for stream, number in self.longrunning.items():
            streams.add_metric(stream, number)
        yield streams
        rejected = CounterMetricFamily(
            "apiserver_dropped_requests", "Requests refused with 429.", labels=("request_kind",)
        )
        for kind, number in self.rejected.items():
            rejected.add_metric((kind,), number)
        yield rejected

    def text(self) -> bytes:
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)


def _histogram(latency: dict[_Key, _Series]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        "apiserver_request_duration_seconds", "Response latency, long-running requests excluded.", labels=_LABELS
    )
    bounds = [*(str(bound) for bound in _BUCKETS), "+Inf"]
    for key, series in latency.items():
        running, buckets = 0, []
        for bound, number in zip(bounds, series.buckets, strict=True):
            running += number
            buckets.append((bound, float(running)))
        family.add_metric(key, buckets, series.seconds)
    return family
