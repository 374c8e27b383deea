"""Durations and sizes counted into buckets, as Prometheus wants them. Counting is on every request's path, so it is a
dictionary look-up and three additions; making text of it is for whoever asks (metrics.py)."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

Labels = tuple[str, ...]

# What k8s.io/apiserver counts request and etcd latencies in.
SECONDS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
)  # fmt: skip
BYTES = tuple(1000.0 * 10**n for n in range(7))


class _Series:
    __slots__ = ("buckets", "total")

    def __init__(self, size: int) -> None:
        self.total = 0.0
        self.buckets = [0] * size


class Histogram:
    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._series: dict[Labels, _Series] = {}

    def observe(self, labels: Labels, value: float) -> None:
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = _Series(len(self._bounds) + 1)
        series.total += value
        series.buckets[bisect_left(self._bounds, value)] += 1

    def __iter__(self) -> Iterator[tuple[Labels, list[tuple[str, float]], float]]:
        """(labels, cumulative buckets by upper bound, sum) of each series."""
        bounds = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        for labels, series in self._series.items():
            running, buckets = 0, []
            for bound, number in zip(bounds, series.buckets, strict=True):
                running += number
                buckets.append((bound, float(running)))
            yield labels, buckets, series.total
