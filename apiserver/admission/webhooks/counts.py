"""What is counted of webhooks, under upstream's names (k8s.io/apiserver/pkg/admission/metrics)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client import Metric

from apiserver.histogram import Histogram, Labels
from apiserver.metrics import counter, gauge, histogram

ADMIT, VALIDATE = "admit", "validating"
CALLING, INTERNAL, NO_ERROR = "calling_webhook_error", "apiserver_internal_error", "no_error"
_SECONDS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0)
_HIGHEST = 600
_KIND = ("name", "type", "operation")


class WebhookCounts:
    def __init__(self) -> None:
        self._seconds = Histogram(_SECONDS)
        self._requests: Counter[Labels] = Counter()
        self._rejections: Counter[Labels] = Counter()
        self._open: Counter[Labels] = Counter()
        self._excluded: Counter[Labels] = Counter()
        self._undecided: Counter[Labels] = Counter()

    def called(self, name: str, kind: str, operation: str, seconds: float, code: int, rejected: bool) -> None:
        refused = str(rejected).lower()
        self._requests[(name, kind, operation, str(min(code, _HIGHEST)), refused)] += 1
        self._seconds.observe((name, kind, operation, refused), seconds)

    def rejected(self, name: str, kind: str, operation: str, why: str, code: int) -> None:
        self._rejections[(name, kind, operation, why, str(min(code, _HIGHEST)))] += 1

    def failed_open(self, name: str, kind: str) -> None:
        self._open[(name, kind)] += 1

    def excluded(self, name: str, kind: str, operation: str) -> None:
        """By its match conditions."""
        self._excluded[(name, "webhook", kind, operation)] += 1

    def undecided(self, name: str, kind: str, operation: str) -> None:
        """A match condition has no value."""
        self._undecided[(name, "webhook", kind, operation)] += 1

    def collect(self) -> Iterator[Metric]:
        name, condition = "apiserver_admission_webhook", ("name", "kind", "type", "operation")
        yield counter(f"{name}_request", "Calls.", (*_KIND, "code", "rejected"), self._requests)
        # As gauges, for the library would end the names of counters in _total.
        yield gauge(f"{name}_rejection_count", "Refusals.", (*_KIND, "error_type", "rejection_code"), self._rejections)
        yield gauge(f"{name}_fail_open_count", "Failures that were ignored.", ("name", "type"), self._open)
        match = "apiserver_admission_match_condition"
        yield counter(f"{match}_exclusions", "Requests that match conditions kept out.", condition, self._excluded)
        yield counter(f"{match}_evaluation_errors", "Match conditions without a value.", condition, self._undecided)
        yield histogram(f"{name}_admission_duration_seconds", "Latency.", (*_KIND, "rejected"), self._seconds)
