"""How probes went, under upstream's names, for /metrics/probes (pkg/kubelet/prober/prober_manager.go).

Counting is a dict update; prometheus_client is imported only when somebody asks.
"""

from __future__ import annotations

import importlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Any

_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_RESULTS = {True: "successful", False: "failed"}
_AT = ("probe_type", "container", "pod", "namespace", "pod_uid")

_Key = tuple[str, ...]


class Counts:
    def __init__(self) -> None:
        self._results: dict[_Key, dict[str, int]] = {}
        self._seconds: dict[_Key, tuple[list[int], list[float]]] = {}
        """How many successes took at most so long, each bound on its own; and the sum."""

    def note(self, kind: str, pod: Mapping[str, Any], container: str, success: bool, seconds: float) -> None:
        meta = pod["metadata"]
        key = (kind.capitalize(), container, meta["name"], meta.get("namespace", ""), meta.get("uid", ""))
        results = self._results.setdefault(key, {})
        results[_RESULTS[success]] = results.get(_RESULTS[success], 0) + 1
        if success:
            counts, total = self._seconds.setdefault(key, ([0] * (len(_BOUNDS) + 1), [0.0]))
            counts[bisect_left(_BOUNDS, seconds)] += 1
            total[0] += seconds

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        for table in (self._results, self._seconds):
            for key in [key for key in table if key[-1] == uid]:
                del table[key]

    def collect(self) -> Iterator[Any]:
        core = importlib.import_module("prometheus_client.core")
        help_ = "Cumulative number of a liveness, readiness or startup probe for a container by result."
        totals = core.CounterMetricFamily("prober_probe", help_, labels=("result", *_AT))
        for key, results in self._results.items():
            for result, count in results.items():
                totals.add_metric((result, *key), count)
        yield totals
        times = core.HistogramMetricFamily(
            "prober_probe_duration_seconds", "Duration in seconds for a probe response.", labels=_AT[:-1]
        )
        for key, (counts, total) in self._seconds.items():
            buckets, so_far = [], 0
            for bound, count in zip((*map(str, _BOUNDS), "+Inf"), counts, strict=True):
                so_far += count
                buckets.append((bound, so_far))
            times.add_metric(key[:-1], buckets, total[0])
        yield times

    def text(self) -> bytes:
        """The Prometheus text exposition."""
        prometheus = importlib.import_module("prometheus_client")
        registry = prometheus.CollectorRegistry()
        registry.register(self)
        shown: bytes = prometheus.generate_latest(registry)
        return shown
