"""Counters and gauges of this process. Counting is a dict update; prometheus_client is imported only when
somebody asks for /metrics, since most processes are never asked.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

_counters: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
_gauges: dict[str, Callable[[], float]] = {}


def count(name: str, amount: float = 1, **labels: str) -> None:
    """Add to the counter `name` (without the _total that the text form appends)."""
    series = _counters.setdefault(name, {})
    at = tuple(sorted(labels.items()))
    series[at] = series.get(at, 0) + amount


def value(name: str, **labels: str) -> float:
    return _counters.get(name, {}).get(tuple(sorted(labels.items())), 0)


def gauge(name: str, read: Callable[[], float]) -> None:
    """`read` is called at each scrape."""
    _gauges[name] = read


class _Collector:
    def __init__(self, core: Any) -> None:
        self._core = core

    def collect(self) -> Iterator[Any]:
        for name, series in _counters.items():
            names = sorted({label for at in series for label, _ in at})
            family = self._core.CounterMetricFamily(name, name, labels=names)
            for at, amount in series.items():
                values = dict(at)
                family.add_metric([values.get(n, "") for n in names], amount)
            yield family
        for name, read in _gauges.items():
            yield self._core.GaugeMetricFamily(name, name, value=read())


def text() -> bytes:
    """The Prometheus text exposition, with the process's own CPU and memory."""
    prometheus = importlib.import_module("prometheus_client")
    registry = prometheus.CollectorRegistry()
    prometheus.ProcessCollector(registry=registry)
    registry.register(_Collector(importlib.import_module("prometheus_client.core")))
    shown: bytes = prometheus.generate_latest(registry)
    return shown
