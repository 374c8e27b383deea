"""What PodSecurity counts, under upstream's names (k8s.io/pod-security-admission/metrics)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client import Metric

from api.builtin import PODS
from apiserver.admission.chain import Attempt
from apiserver.admission.pod_security import standards
from apiserver.admission.pod_security.policy import LATEST, Standard
from apiserver.histogram import Labels
from apiserver.metrics import counter

_REQUEST = ("request_operation", "resource", "subresource")
_EVALUATION = ("decision", "policy_level", "policy_version", "mode", *_REQUEST)


class Counts:
    def __init__(self) -> None:
        self._evaluations: Counter[Labels] = Counter()
        self._exemptions: Counter[Labels] = Counter()
        self._errors: Counter[Labels] = Counter()

    def evaluated(self, attempt: Attempt, standard: Standard, mode: str, decision: str) -> None:
        version = standard.version
        if version != LATEST and int(version[3:]) > standards.NEWEST:
            version = "future"  # or anybody could make up as many as he likes
        self._evaluations[decision, standard.level, version, mode, *_of(attempt)] += 1

    def exempted(self, attempt: Attempt) -> None:
        self._exemptions[_of(attempt)] += 1

    def failed(self, attempt: Attempt) -> None:
        """Labels could not be read; something was decided all the same."""
        self._errors["false", *_of(attempt)] += 1

    def collect(self) -> Iterator[Metric]:
        yield counter("pod_security_evaluations", "Pods judged.", _EVALUATION, self._evaluations)
        yield counter("pod_security_exemptions", "Requests of the exempt.", _REQUEST, self._exemptions)
        yield counter("pod_security_errors", "What got in the way.", ("fatal", *_REQUEST), self._errors)


def _of(attempt: Attempt) -> Labels:
    return (attempt.verb, "pod" if attempt.res is PODS else "controller", attempt.subresource)
