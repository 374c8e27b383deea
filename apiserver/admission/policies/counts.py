"""What is counted of policies, under upstream's names (k8s.io/apiserver/pkg/admission/plugin/policy/*/metrics)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client import Metric

from apiserver.histogram import Histogram, Labels
from apiserver.metrics import counter, histogram

_SECONDS = (0.0000005, 0.001, 0.01, 0.1, 1.0)


class PolicyCounts:
    """`kind`: validating or mutating. `labels`: beyond the policy and its binding."""

    def __init__(self, kind: str, *labels: str) -> None:
        self.checks: Counter[Labels] = Counter()
        self._seconds = Histogram(_SECONDS)
        self._name = f"apiserver_{kind}_admission_policy_check"
        self._labels = ("policy", "policy_binding", *labels)

    def saw(self, *labels: str, seconds: float) -> None:
        self.checks[labels] += 1
        self._seconds.observe(labels, seconds)

    def collect(self) -> Iterator[Metric]:
        yield counter(self._name, "Checks.", self._labels, self.checks)
        yield histogram(f"{self._name}_duration_seconds", "Latency.", self._labels, self._seconds)
